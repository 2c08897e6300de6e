"""Statistical claims about differences, with 95 % intervals, and their Markdown tables."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from embrl.core.statistics import Interval
from embrl.report.drawing import decimals, short_count

MINUS = "\N{MINUS SIGN}"


class Difference(NamedTuple):
    """Difference of two means with its 95 % interval."""

    mean: float
    ci95: list[float] | None
    """Lower and upper bound; None if there is no interval, as with a single seed."""


def ci95(interval: Interval) -> list[float] | None:
    """Return the bounds of `interval` as JSON can store them: None in place of nan."""
    ends = [float(interval.low), float(interval.high)]
    return ends if np.isfinite(ends).all() else None


def judge(
    text: str, found: Difference, kind: str = "above", margin: float = 0.0, **more: Any
) -> dict[str, Any]:
    """Decide if a claim holds and return it as an entry of a summary file.

    Args:
        text: The claim in words.
        found: The difference that the claim is about.
        kind: `"above"` if the whole interval must lie above `margin`, `"below"` if it must lie
            below `-margin`, `"level"` if it must lie within plus or minus `margin`.
        margin: Threshold in the unit of the difference.
        **more: Further entries of the result.

    Returns:
        The entries `claim`, `holds`, `difference`, `ci95`, `kind` and those of `more`. A claim
        without an interval never holds.
    """
    low, high = found.ci95 or (-np.inf, np.inf)
    holds = {
        "above": low > margin,
        "below": high < -margin,
        "level": -margin <= low and high <= margin,
    }[kind]
    return {
        "claim": text,
        "holds": bool(holds),
        "difference": found.mean,
        "ci95": found.ci95,
        "kind": kind,
        **more,
    }


def claims_table(claims: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table with a row for each claim, as `judge` makes them."""
    rows = []
    for claim in claims:
        show = counted if claim.get("measure") == "timesteps_to_half" else number
        rows.append(
            [
                claim["claim"],
                "holds" if claim["holds"] else "**does not hold**",
                show(claim["difference"], claim["ci95"]),
            ]
        )
    return table(["claim", "", "difference [95 %]"], rows)


def plain(value: float, digits: int | None = None) -> str:
    """Format a number with `digits` decimals and a typographic minus sign."""
    digits = decimals(value) if digits is None else digits
    return f"{value:.{digits}f}".replace("-", MINUS)


def number(value: float, ci95: list[float] | None, digits: int | None = None) -> str:
    """Format a number with its interval, if it has one: `0.50 [0.40, 0.60]`."""
    interval = "" if ci95 is None else f" [{plain(ci95[0], digits)}, {plain(ci95[1], digits)}]"
    return plain(value, digits) + interval


def counted(value: float, ci95: list[float] | None) -> str:
    """Format a count with its interval, if it has one: `75k [50k, 100k]`."""
    interval = "" if ci95 is None else f" [{short(ci95[0])}, {short(ci95[1])}]"
    return short(value) + interval


def short(value: float) -> str:
    """Format a count with a suffix and a typographic minus sign."""
    return short_count(round(value)).replace("-", MINUS)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are aligned to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])
