"""Runs side by side: for the terminal, as Markdown, as CSV."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from embrl.errors import EmbrlError
from embrl.report.curves import Curve
from embrl.report.numbers import decimals, short_count
from embrl.statistics import area_under_curve, bootstrap_mean, samples_to

if TYPE_CHECKING:
    from rich.table import Table

LEVELS = {"gridworld": 0.5, "continuous_gridworld": 0.5}
"""Returns that count as "has learned it", where half way to the best known one says little: a
random walk in the gridworld pays for its collisions with returns far below zero."""

NOTHING = "–"


@dataclasses.dataclass(frozen=True)
class Row:
    """One run."""

    label: str
    seeds: int
    final_mean: float
    """Mean over seeds of the return at the last evaluation."""
    final_low: float
    """Its 95 % bootstrap interval; nan with one seed."""
    final_high: float
    final_worst: float
    """The last return of the worst seed."""
    final_best: float
    samples_to_level: float
    """Mean over the seeds that reached the level; nan if none did."""
    seeds_at_level: int
    """How many reached it: `samples_to_level` leaves the others out."""
    auc: float
    """Mean over seeds of the mean return over the curve's samples."""
    samples_per_s: float | None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs side by side."""

    rows: tuple[Row, ...]
    level: float | None
    """The return that "samples to" means; None where nothing suggests one."""
    notes: tuple[str, ...]
    """What keeps the rows from being comparable as they stand."""


def compare(curves: Sequence[Curve], level: float | None = None) -> Comparison:
    """What the curves come to, a row each, in their order.

    Arguments:
        curves: one or more.
        level: the return for "samples to"; else the environment's in `LEVELS`, else half way from
            the random return to the best known one, where a run's summary has both.

    Raises:
        EmbrlError: no curves.
    """
    if not curves:
        raise EmbrlError("there is nothing to compare: name at least one run")
    if level is None:
        level = default_level(curves)
    rows = tuple(_row(curve, level) for curve in curves)
    return Comparison(rows, level, tuple(_notes(curves)))


def default_level(curves: Sequence[Curve]) -> float | None:
    """See `compare`."""
    environments = {curve.environment for curve in curves}
    if len(environments) == 1 and (known := LEVELS.get(next(iter(environments)))) is not None:
        return known
    halves = [
        (curve.random_return + curve.best_known_return) / 2
        for curve in curves
        if curve.random_return is not None and curve.best_known_return is not None
    ]
    return float(np.mean(halves)) if halves else None


def to_rich(comparison: Comparison) -> "Table":
    """For `rich.print`; fits 80 columns, the labels are what gives way."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    notes = Text("\n".join(comparison.notes)) if comparison.notes else None
    table = Table(box=box.SIMPLE_HEAD, padding=0, caption=notes, caption_justify="left")
    header, *rows = _cells(comparison, line_break="\n")
    for at, name in enumerate(header):
        table.add_column(name, justify="left" if at == 0 else "right", no_wrap=at > 0)
    for row in rows:
        table.add_row(*map(Text, row))  # Text: a label's brackets are no markup
    return table


def to_markdown(comparison: Comparison) -> str:
    """A Markdown table, the notes below it."""
    header, *rows = [[cell.replace("|", "\\|") for cell in row] for row in _cells(comparison)]
    rule = ["---", *["---:"] * (len(header) - 1)]
    lines = [f"| {' | '.join(row)} |" for row in [header, rule, *rows]]
    notes = "".join(f"\n{note}\n" for note in comparison.notes)
    return "\n".join(lines) + "\n" + notes


def to_csv(comparison: Comparison) -> str:
    """All digits, in the fields of `Row` and the level; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(Row)] + ["level"])
    for row in comparison.rows:
        values = [*dataclasses.astuple(row), comparison.level]
        writer.writerow(["" if value is None or value != value else value for value in values])
    return text.getvalue()


def _row(curve: Curve, level: float | None) -> Row:
    final = curve.returns[:, -1]
    mean, low, high = (float(value) for value in bootstrap_mean(final))
    needed = samples_to(curve.samples, curve.returns, np.inf if level is None else level)
    needed = needed[np.isfinite(needed)]
    return Row(
        label=curve.label,
        seeds=curve.seeds,
        final_mean=mean,
        final_low=low,
        final_high=high,
        final_worst=float(final.min()),
        final_best=float(final.max()),
        samples_to_level=float(needed.mean()) if needed.size else np.nan,
        seeds_at_level=int(needed.size),
        auc=float(area_under_curve(curve.samples, curve.returns).mean()),
        samples_per_s=curve.samples_per_s,
    )


def _notes(curves: Sequence[Curve]) -> list[str]:
    notes = []
    environments = sorted({curve.environment for curve in curves})
    if len(environments) > 1:
        named = ", ".join(name or "unnamed" for name in environments)
        notes.append(f"These runs are of different environments: {named}.")
    ranges = {(curve.samples[0], curve.samples[-1]) for curve in curves}
    if len(ranges) > 1:
        spans = ", ".join(f"{short_count(a)} to {short_count(b)}" for a, b in sorted(ranges))
        notes.append(
            "The final return is that of each run's last evaluation and the AUC the mean return "
            f"over its own samples, and these ranges differ: {spans}."
        )
    return notes


def _cells(comparison: Comparison, line_break: str = " ") -> list[list[str]]:
    """Header and rows as text; returns share their number of decimals, so that columns align.

    `line_break` stands where a narrow column may break.
    """
    rows, level = comparison.rows, comparison.level
    digits = decimals(*(value for row in rows for value in (row.final_worst, row.final_best)))

    def number(value: float) -> str:
        return f"{value:.{digits}f}"

    def final(row: Row) -> str:
        if row.final_low != row.final_low:  # nan: a single seed
            return number(row.final_mean)
        interval = f"[{number(row.final_low)}, {number(row.final_high)}]"
        return f"{number(row.final_mean)}{line_break}{interval}"

    def reached(row: Row) -> str:
        if level is None:
            return NOTHING
        samples = short_count(row.samples_to_level) if row.seeds_at_level else NOTHING
        return f"{samples}{line_break}({row.seeds_at_level} of {row.seeds})"

    header = [
        "run",
        "seeds",
        f"final return{line_break}[95 % interval]",
        f"worst{line_break}seed",
        f"best{line_break}seed",
        f"samples to{line_break}" + ("level" if level is None else f"{level:.4g} (seeds)"),
        "AUC",
        "samples/s",
    ]
    return [header] + [
        [
            row.label,
            str(row.seeds),
            final(row),
            number(row.final_worst),
            number(row.final_best),
            reached(row),
            number(row.auc),
            NOTHING if row.samples_per_s is None else short_count(row.samples_per_s),
        ]
        for row in rows
    ]
