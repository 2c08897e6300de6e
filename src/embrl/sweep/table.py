"""Text of the results of a sweep: for the terminal, as Markdown, as CSV and as JSON."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from embrl.config.run import RunConfig
from embrl.config.settings_by_name import replaced
from embrl.config.used_settings import unused
from embrl.core.statistics import bootstrap_mean
from embrl.report.drawing import decimals
from embrl.sweep.runs import PointResult, Sweep, SweepResult, plan_json

if TYPE_CHECKING:
    from rich.table import Table

TITLES = {"auc": "mean return over training (AUC)", "final": "final return"}
"""Description of each value of `Sweep.by`."""

EDGE = 0.05
"""Fraction of a range at each of its ends that counts as its edge."""

WORST, BEST = "worst seed", "best seed"


def point_flags(sweep: Sweep, point: Mapping[str, Any]) -> list[str]:
    """Return the flags of `embrl train` that make a point of a sweep, without the environment."""
    variant = sweep.variant(point)
    choice = [
        word
        for name, value in variant.choice.items()
        if name != "environment"
        for word in (f"--{name}", value)
    ]
    rest = {name: value for name, value in point.items() if name not in variant.choice}
    return [*choice, *flags(variant.config, rest)]


def flags(config: RunConfig, settings: dict[str, Any]) -> list[str]:
    """Return the flags of `embrl train` for settings given by dotted name.

    Settings that have no effect with the others have none.
    """
    hidden = unused(replaced(config, settings))
    settings = {name: value for name, value in settings.items() if name not in hidden}
    found: list[str] = []
    weights = {
        name.partition(".")[2]: value
        for name, value in settings.items()
        if name.startswith("objectives.")
    }
    if weights:
        pairs = {**config.objectives, **weights}.items()
        found += ["--objectives", *(str(item) for pair in pairs for item in pair)]
    for name, value in settings.items():
        if name.startswith("objectives."):
            continue
        section, dot, field = name.replace("_", "-").partition(".")
        if isinstance(value, bool):
            found.append(f"--{section}.{'' if value else 'no-'}{field}")
        else:
            found += [f"--{section}{dot}{field}", *_flat(value)]
    return found


def as_json(result: SweepResult, command: Sequence[str] = ()) -> dict[str, Any]:
    """Return the contents of `sweep.json`: the plan, the best point and how it was chosen.

    Args:
        result: The results of the sweep.
        command: Start of the command `embrl train` with the rest of the configuration.
    """
    sweep, best = result.sweep, result.best
    return {
        "plan": plan_json(sweep),
        "points": len(result.outcomes),
        **({"missing": plain([dict(point) for point in result.missing])} if result.missing else {}),
        "diverged": sum(outcome.diverged > 0 for outcome in result.outcomes),
        "chosen_by": TITLES[sweep.by],
        "seed": sweep.config.seed,
        "seeds": sweep.config.seeds,
        "wall_s": result.wall_s,
        "best": None
        if best.diverged
        else {
            "at_the_edge_of": edges(result),
            "command": [*command, *point_flags(sweep, best.settings)],
            **_point_json(sweep, best),
        },
        **(
            {"best_of_each": [_point_json(sweep, each) for each in best_of_each(result)]}
            if sweep.chosen
            else {}
        ),
    }


def best_of_each(result: SweepResult) -> list[PointResult]:
    """Return the best point of each method, algorithm and environment that has one."""
    found = (
        next((each for each in result.outcomes if variant.has(each.settings)), None)
        for variant in result.sweep.variants
    )
    return [each for each in found if each is not None and not each.diverged]


def _point_json(sweep: Sweep, point: PointResult) -> dict[str, Any]:
    return {
        "settings": plain(dict(point.settings)),
        "flags": point_flags(sweep, point.settings),
        "final_return_mean": float(point.final.mean()),
        "auc_mean": float(point.auc.mean()),
    }


def plain(value: Any) -> Any:
    """Return a value as JSON has it: tuples become lists."""
    return json.loads(json.dumps(value))


def to_csv(result: SweepResult) -> str:
    """Return a CSV table with all digits, the best point first.

    Statistics that a diverged point does not have are empty.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = [f"{kind}_{n}" for kind in ("final", "auc") for n in ("mean", "low", "high")]
    names = result.sweep.names
    writer.writerow([*names, *numbers, "worst", "best", "seeds", "diverged"])
    for outcome in result.outcomes:
        settings = [value_text(outcome.settings[name]) for name in names]
        values = [*_interval(outcome.final), *_interval(outcome.auc), *_ends(outcome.final)]
        counts = [len(outcome.final), outcome.diverged]
        writer.writerow([*settings, *("" if np.isnan(v) else v for v in values), *counts])
    return text.getvalue()


def to_markdown(result: SweepResult) -> str:
    """Return a Markdown table of all points, the best first, with a note on their order."""
    header, *rows = _cells(result)
    rule = ["---:"] * len(header)
    lines = [f"| {' | '.join(cell)} |" for cell in [header, rule, *rows]]
    return "\n".join(lines) + f"\n\n{_note(result)}\n"


def to_rich(result: SweepResult, limit: int = 10) -> "Table":
    """Return a table of the best `limit` points for `rich.print`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    header, *rows = _cells(result, line_break="\n")
    left = len(rows) - limit
    note = _note(result) + (f" {left} more in table.md." if left > 0 else "")
    table = Table(box=box.SIMPLE_HEAD, padding=0, caption=Text(note), caption_justify="left")
    # To fit 80 columns, worst and best seeds are in table.md only.
    shown = [at for at, name in enumerate(header) if name not in (WORST, BEST)]
    if not any(outcome.diverged for outcome in result.outcomes):
        shown = shown[:-1]
    for at in shown:
        setting = header[at] in result.sweep.names
        table.add_column(header[at].replace(".", ".\n"), justify="right", no_wrap=not setting)
    for row in rows[:limit]:
        table.add_row(*(Text(row[at]) for at in shown))
    return table


def edges(result: SweepResult) -> list[str]:
    """Return the numeric settings whose best value is the smallest or the largest of those tried.

    A better value may lie beyond. Of a range, that is one in the outermost `EDGE` of it.
    """
    best = result.best.settings
    chosen = [
        name
        for name, values in result.sweep.grid.items()
        if len(values) > 2
        and all(isinstance(value, int | float) for value in values)
        and best[name] in (min(values), max(values))
    ]
    ranges = result.sweep.ranges.items()
    return chosen + [n for n, each in ranges if not EDGE < each.place(best[n]) < 1 - EDGE]


def _note(result: SweepResult) -> str:
    config = result.sweep.config
    seeds = "1 seed" if config.seeds == 1 else f"{config.seeds} seeds"
    lost = f" {len(result.missing)} more are missing: their runs failed." if result.missing else ""
    points = "points" if result.sweep.search is None else "trials"
    return (
        f"{len(result.outcomes)} {points}, {seeds} each (--seed {config.seed}), ordered by "
        f"{TITLES[result.sweep.by]}, mean over seeds; intervals are 95 % bootstrap.{lost}"
    )


def _cells(result: SweepResult, line_break: str = " ") -> list[list[str]]:
    """Return the header and rows of the table as text."""
    names = result.sweep.names
    known = [o for o in result.outcomes if not o.diverged] or list(result.outcomes)
    digits = decimals(*(float(v) for o in known for v in o.final))

    def number(value: float) -> str:
        return "–" if np.isnan(value) else f"{value:.{digits}f}"

    def with_interval(values: np.ndarray) -> str:
        mean, low, high = _interval(values)
        if np.isnan(low):
            return number(mean)
        return f"{number(mean)}{line_break}[{number(low)}, {number(high)}]"

    header = [*names, "final return", "AUC", WORST, BEST, "diverged"]
    return [header] + [
        [
            *(value_text(outcome.settings[name]) for name in names),
            with_interval(outcome.final),
            with_interval(outcome.auc),
            *map(number, _ends(outcome.final)),
            f"{outcome.diverged} of {len(outcome.final)}" if outcome.diverged else "",
        ]
        for outcome in result.outcomes
    ]


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return mean, lower and upper bound; nan if a seed diverged, bounds also for a single seed."""
    if np.isnan(values).any():
        return np.nan, np.nan, np.nan
    mean, low, high = bootstrap_mean(values)
    return float(mean), float(low), float(high)


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Return the worst and the best value of the seeds that did not diverge."""
    left = values[~np.isnan(values)]
    return (float(left.min()), float(left.max())) if left.size else (np.nan, np.nan)


def value_text(value: Any) -> str:
    """Return a setting's value as text."""
    return f"{value:g}" if isinstance(value, float) else ",".join(_flat(value))


def _flat(value: Any) -> list[str]:
    if isinstance(value, tuple | list):
        return [text for item in value for text in _flat(item)]
    return [str(value)]
