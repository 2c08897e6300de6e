"""Text of a comparison of runs: for the terminal, as Markdown and as CSV."""

import csv
import dataclasses
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from embrl.core.statistics import Interval
from embrl.report.comparison import BaselineDifference, Comparison, ComparisonRow
from embrl.report.drawing import decimals, short_count

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

NOTHING = "–"


def to_rich(comparison: Comparison) -> "Group":
    """Return tables and notes for `rich.print`; they fit 80 columns by wrapping labels."""
    from rich.console import Group
    from rich.text import Text

    tables = [_rich(cells) for cells in _tables(comparison, line_break="\n")]
    return Group(*tables, *map(Text, comparison.notes))


def to_markdown(comparison: Comparison) -> str:
    """Return Markdown tables with the notes below them."""
    parts = []
    for cells in _tables(comparison):
        header, *rows = [[cell.replace("|", "\\|") for cell in row] for row in cells]
        rule = ["---", *["---:"] * (len(header) - 1)]
        parts.append("".join(f"| {' | '.join(row)} |\n" for row in [header, rule, *rows]))
    return "\n".join([*parts, *(f"{note}\n" for note in comparison.notes)])


def to_csv(comparison: Comparison) -> str:
    """Return a CSV table with all digits: a column for each field of `ComparisonRow`.

    The level, the fields of `BaselineDifference` and the label of the baseline follow. An interval
    has three columns: its estimate under its own name, and NAME_low and NAME_high. Unknown values
    are empty.
    """
    plain = [field.name for field in dataclasses.fields(ComparisonRow) if field.name != "against"]
    intervals = [field.name for field in dataclasses.fields(BaselineDifference)]
    ends = [f"{name}{end}" for name in intervals for end in ("", "_low", "_high")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*plain, "level", *ends, "baseline"])
    for row in comparison.rows:
        values = [*(getattr(row, name) for name in plain), comparison.level]
        for name in intervals:
            values += [None] * 3 if row.against is None else map(float, getattr(row.against, name))
        values.append(comparison.baseline)
        writer.writerow(["" if value is None or value != value else value for value in values])
    return text.getvalue()


def conclusions(comparison: Comparison) -> list[str]:
    """Return a sentence on each run that is compared with the baseline: sooner, and higher?"""
    base = next((row for row in comparison.rows if row.label == comparison.baseline), None)
    compared = [row for row in comparison.rows if row.against is not None]
    if base is None or comparison.level is None:
        return []
    return [f"{_sooner(row, base, comparison.level)}; {_higher(row)}." for row in compared]


def _sooner(row: ComparisonRow, base: ComparisonRow, level: float) -> str:
    if row.seeds_at_level < row.seeds or base.seeds_at_level < base.seeds:
        return (
            f"{row.label}: {row.seeds_at_level} of {row.seeds} seeds reached {level:.4g}, "
            f"{base.label}: {base.seeds_at_level} of {base.seeds}"
        )
    mine, its = row.timesteps_to_level, base.timesteps_to_level
    text = (
        f"{row.label} reached {level:.4g} after {short_count(mine)} timesteps, {base.label} after "
        f"{short_count(its)}"
    )
    if min(mine, its) <= 0.0:  # random actions reach it: nothing is so many times as many
        return text
    ratio = f"{its / mine:.1f} times as many" if its >= mine else f"{mine / its:.1f} times as few"
    return f"{text}, {ratio}"


def _higher(row: ComparisonRow) -> str:
    assert row.against is not None
    difference, low, high = map(float, row.against.final_difference)
    digits = decimals(difference, low, high)
    direction = "lower" if difference < 0.0 else "higher"
    text = f"its final return is {abs(difference):.{digits}f} {direction}"
    if low != low:  # nan: a single seed
        return text
    chance = ", which may be chance" if low <= 0.0 <= high else ""
    return f"{text} [{low:+.{digits}f}, {high:+.{digits}f}]{chance}"


def _rich(cells: list[list[str]]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=0)
    header, *rows = cells
    for at, name in enumerate(header):
        # As Text, brackets of a label are not markup; folding keeps all of a long label.
        justify = "left" if at == 0 else "right"
        table.add_column(Text(name), justify=justify, no_wrap=at > 0, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _tables(comparison: Comparison, line_break: str = " ") -> list[list[list[str]]]:
    """Return the header and rows of each table as text: of the runs, and of their differences.

    `line_break` stands where a narrow column may break.
    """
    tables = [_cells(comparison, line_break)]
    if any(row.against is not None for row in comparison.rows):
        tables.append(_against_cells(comparison, line_break))
    return tables


def _with_interval(
    interval: Interval | tuple[float, float, float], number: Callable[[float], str], space: str
) -> str:
    mean, low, high = map(float, interval)
    if low != low:  # nan: a single seed
        return number(mean)
    return f"{number(mean)}{space}[{number(low)}, {number(high)}]"


def _cells(comparison: Comparison, line_break: str) -> list[list[str]]:
    """Return the header and rows of the runs, all returns with the same number of decimals."""
    rows, level = comparison.rows, comparison.level
    digits = decimals(*(value for row in rows for value in (row.final_worst, row.final_best)))

    def number(value: float) -> str:
        return f"{value:.{digits}f}"

    def reached(row: ComparisonRow) -> str:
        if level is None:
            return NOTHING
        timesteps = short_count(row.timesteps_to_level) if row.seeds_at_level else NOTHING
        return f"{timesteps}{line_break}({row.seeds_at_level} of {row.seeds})"

    header = [
        "run",
        "seeds",
        f"final return{line_break}[95 %]",
        f"worst,{line_break}best{line_break}seed",
        f"steps to{line_break}" + ("level" if level is None else f"{level:.4g} (seeds)"),
        f"AUC{line_break}[95 %]",
        f"steps{line_break}per s",
    ]
    return [header] + [
        [
            row.label,
            str(row.seeds),
            _with_interval((row.final_mean, row.final_low, row.final_high), number, line_break),
            f"{number(row.final_worst)},{line_break}{number(row.final_best)}",
            reached(row),
            _with_interval((row.auc, row.auc_low, row.auc_high), number, line_break),
            NOTHING if row.timesteps_per_s is None else short_count(row.timesteps_per_s),
        ]
        for row in rows
    ]


def _against_cells(comparison: Comparison, line_break: str) -> list[list[str]]:
    found = [(row.label, row.against) for row in comparison.rows if row.against is not None]
    digits = decimals(
        *(
            float(value)
            for _, against in found
            for value in (*against.final_difference, *against.auc_difference)
        )
    )

    def difference(value: float) -> str:
        return f"{value:+.{digits}f}"

    def probability(value: float) -> str:
        return f"{value:.2f}"

    header = [
        f"against {comparison.baseline}",
        f"final return{line_break}difference",
        f"probability of{line_break}improvement",
        f"AUC{line_break}difference",
    ]
    return [header] + [
        [
            label,
            _with_interval(against.final_difference, difference, line_break),
            _with_interval(against.improvement, probability, line_break),
            _with_interval(against.auc_difference, difference, line_break),
        ]
        for label, against in found
    ]
