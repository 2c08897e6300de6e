"""What an embedding of the best agents must reach."""

from typing import Any

from embrl.agents.groups import Groups
from embrl.report.claims import Difference, judge

KEPT = 0.98
GENERATED = 0.95
DIMENSIONS = 32


def bars(quality: dict[str, dict[str, Any]], groups: Groups) -> list[dict[str, Any]]:
    """For every embedding of the best group: survival that held-out agents keep after encode and
    decode, and that generated agents reach. A bar is reached if the interval lies above it.
    """
    best, found = groups.names[-1], []
    for name, told in quality.items():
        entry = told["groups"].get(best, {})
        if "held_out" in entry:
            kept = entry["held_out"]["kept"]
            found.append(
                judge(
                    f"held-out agents of {best} keep {KEPT:.0%} of their worth",
                    _beyond(kept, KEPT, 1.0),
                    embedding=name,
                    value=kept["mean"],
                    k=told["k"],
                )
            )
        if "generated" in entry and "training" in entry:
            # Of an older summary without a floor: Cart-Pole's, 0.
            floor = told.get("floor", 0.0)
            mean = entry["training"]["original"]["mean"] - floor
            new = {
                name: None if value is None else value - floor
                for name, value in entry["generated"]["survival"].items()
            }
            found.append(
                judge(
                    f"generated agents of {best} reach {GENERATED:.0%} of the trained ones' mean",
                    _beyond(new, GENERATED, mean),
                    embedding=name,
                    value=(new["mean"] or 0.0) / mean,
                    k=told["k"],
                )
            )
    return found


def _beyond(found: dict[str, float | None], bar: float, unit: float) -> Difference:
    low, high = found["low"], found["high"]
    mean = found["mean"]
    assert mean is not None
    ends = None if low is None or high is None else [low / unit - bar, high / unit - bar]
    return Difference(mean / unit - bar, ends)
