"""What a sweep came to: for the terminal, as Markdown, as CSV, as JSON."""

import csv
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from embrl.config.run import RunConfig
from embrl.core.statistics import bootstrap_mean
from embrl.experiments.sweep import Result, plan_json
from embrl.report.numbers import decimals

if TYPE_CHECKING:
    from rich.table import Table

TITLES = {"auc": "mean return over training (AUC)", "final": "final return"}
"""What `by` means."""

WORST, BEST = "worst seed", "best seed"


def flags(config: RunConfig, settings: dict[str, Any]) -> list[str]:
    """The flags of `embrl train` that say these settings, by dotted name."""
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
        if section == "hyper":
            section = config.algorithm
        if isinstance(value, bool):
            found.append(f"--{section}.{'' if value else 'no-'}{field}")
        else:
            found += [f"--{section}{dot}{field}", *_flat(value)]
    return found


def as_json(result: Result, command: Sequence[str] = ()) -> dict[str, Any]:
    """`sweep.json`: the plan, the best point and what it was chosen by.

    Arguments:
        command: what begins `embrl train` with the rest of the configuration.
    """
    sweep, best = result.sweep, result.best
    chosen = flags(sweep.config, dict(best.settings))
    return {
        "plan": plan_json(sweep),
        "points": len(result.outcomes),
        "diverged": sum(outcome.diverged > 0 for outcome in result.outcomes),
        "chosen_by": TITLES[sweep.by],
        "seed": sweep.config.seed,
        "seeds": sweep.config.seeds,
        "wall_s": result.wall_s,
        "best": None
        if best.diverged
        else {
            "at_the_edge_of": edges(result),
            "settings": json.loads(json.dumps(dict(best.settings))),
            "flags": chosen,
            "command": [*command, *chosen],
            "final_return_mean": float(best.final.mean()),
            "auc_mean": float(best.auc.mean()),
        },
    }


def to_csv(result: Result) -> str:
    """All digits, a line for each point, the best first; what a diverged point lacks is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = [f"{kind}_{n}" for kind in ("final", "auc") for n in ("mean", "low", "high")]
    names = list(result.sweep.grid)
    writer.writerow([*names, *numbers, "worst", "best", "seeds", "diverged"])
    for outcome in result.outcomes:
        settings = [said(outcome.settings[name]) for name in names]
        values = [*_interval(outcome.final), *_interval(outcome.auc), *_ends(outcome.final)]
        counts = [len(outcome.final), outcome.diverged]
        writer.writerow([*settings, *("" if np.isnan(v) else v for v in values), *counts])
    return text.getvalue()


def to_markdown(result: Result) -> str:
    """Every point, the best first, and what they were ordered by."""
    header, *rows = _cells(result)
    rule = ["---:"] * len(header)
    lines = [f"| {' | '.join(cell)} |" for cell in [header, rule, *rows]]
    return "\n".join(lines) + f"\n\n{_note(result)}\n"


def to_rich(result: Result, limit: int = 10) -> "Table":
    """The best `limit` points, for `rich.print`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    header, *rows = _cells(result, line_break="\n")
    left = len(rows) - limit
    note = _note(result) + (f" {left} more in table.md." if left > 0 else "")
    table = Table(box=box.SIMPLE_HEAD, padding=0, caption=Text(note), caption_justify="left")
    # For 80 columns: the ends are in table.md.
    shown = [at for at, name in enumerate(header) if name not in (WORST, BEST)]
    if not any(outcome.diverged for outcome in result.outcomes):
        shown = shown[:-1]
    for at in shown:
        setting = header[at] in result.sweep.grid
        table.add_column(header[at].replace(".", ".\n"), justify="right", no_wrap=not setting)
    for row in rows[:limit]:
        table.add_row(*(Text(row[at]) for at in shown))
    return table


def edges(result: Result) -> list[str]:
    """Names of the numbers whose best value is the least or the largest of those tried, so that a
    better one may lie beyond.
    """
    return [
        name
        for name, values in result.sweep.grid.items()
        if len(values) > 2
        and all(isinstance(value, int | float) for value in values)
        and result.best.settings[name] in (min(values), max(values))
    ]


def _note(result: Result) -> str:
    config = result.sweep.config
    seeds = "1 seed" if config.seeds == 1 else f"{config.seeds} seeds"
    return (
        f"{len(result.outcomes)} points, {seeds} each (--seed {config.seed}), ordered by "
        f"{TITLES[result.sweep.by]}, mean over seeds; intervals are 95 % bootstrap."
    )


def _cells(result: Result, line_break: str = " ") -> list[list[str]]:
    """Header and rows as text."""
    names = list(result.sweep.grid)
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
            *(said(outcome.settings[name]) for name in names),
            with_interval(outcome.final),
            with_interval(outcome.auc),
            *map(number, _ends(outcome.final)),
            f"{outcome.diverged} of {len(outcome.final)}" if outcome.diverged else "",
        ]
        for outcome in result.outcomes
    ]


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, low, high; nan where a seed diverged, low and high also where there is one seed."""
    if np.isnan(values).any():
        return np.nan, np.nan, np.nan
    mean, low, high = bootstrap_mean(values)
    return float(mean), float(low), float(high)


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Worst and best of the seeds that did not diverge."""
    left = values[~np.isnan(values)]
    return (float(left.min()), float(left.max())) if left.size else (np.nan, np.nan)


def said(value: Any) -> str:
    """A setting's value as text."""
    return f"{value:g}" if isinstance(value, float) else ",".join(_flat(value))


def _flat(value: Any) -> list[str]:
    if isinstance(value, tuple | list):
        return [text for item in value for text in _flat(item)]
    return [str(value)]
