"""Comparison of runs in numbers. docs/comparing.md explains each of them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from embrl.core.errors import EmbrlError
from embrl.core.statistics import (
    Interval,
    area_under_curve,
    bootstrap_difference,
    bootstrap_mean,
    budget_area,
    probability_of_improvement,
    timesteps_to,
)
from embrl.report.curves import Curve
from embrl.report.drawing import short_count

LEVELS = {"gridworld": 0.5, "continuous_gridworld": 0.5}
"""Default return that counts as learned, by environment, where half way to the best known return
says little: in the gridworld, random actions pay for collisions with returns far below zero."""

SAME_END = 0.02
"""Relative difference of the last evaluations below which runs count as equally long. Updates do
not always fill the budget."""


@dataclasses.dataclass(frozen=True)
class BaselineDifference:
    """Differences of a run from the baseline, with 95 % bootstrap intervals over seeds.

    The bounds of an interval are nan if one of the two runs has a single seed.
    """

    final_difference: Interval
    """Difference of the mean returns at the last evaluation."""
    improvement: Interval
    """Probability that a seed ends above a seed of the baseline; see
    `embrl.core.statistics.probability_of_improvement`."""
    auc_difference: Interval
    """Difference of the mean areas under the curve."""


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
    """Statistics of one run."""

    label: str
    seeds: int
    """Number of seeds."""
    final_mean: float
    """Mean over seeds of the return at the last evaluation."""
    final_low: float
    """Lower bound of the 95 % bootstrap interval of `final_mean`; nan with one seed."""
    final_high: float
    """Upper bound of the 95 % bootstrap interval of `final_mean`; nan with one seed."""
    final_worst: float
    """Return of the worst seed at the last evaluation."""
    final_best: float
    """Return of the best seed at the last evaluation."""
    timesteps_to_level: float
    """Mean environment steps until the level was reached, over the seeds that reached it; nan if
    none did."""
    seeds_at_level: int
    """Number of seeds that reached the level."""
    auc: float
    """Mean over seeds of the mean return over the environment steps from `auc_from` to `auc_to`."""
    auc_low: float
    """Lower bound of the 95 % bootstrap interval of `auc`; nan with one seed."""
    auc_high: float
    """Upper bound of the 95 % bootstrap interval of `auc`; nan with one seed."""
    auc_from: float
    """0 if the random return of all runs of the environment is known, else the run's first
    evaluation."""
    auc_to: float
    """Last evaluation of the run, or of the environment's shortest run if `auc_from` is 0."""
    timesteps_per_s: float | None
    """Environment steps per second of all seeds together, if known."""
    against: BaselineDifference | None = None
    """Differences from the baseline. None for the baseline itself, for runs of another environment,
    and if there is no baseline."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Statistics of several runs."""

    rows: tuple[ComparisonRow, ...]
    level: float | None
    """Return that counts as learned; None if it is not given and nothing suggests one."""
    notes: tuple[str, ...]
    """Sentences on what makes the rows less comparable than they look."""
    baseline: str | None = None
    """Label of the run that the others are compared with."""


def compare(
    curves: Sequence[Curve], level: float | None = None, baseline: Curve | None = None
) -> Comparison:
    """Compare runs by their learning curves.

    If the random return of all curves of an environment is known, their areas are taken from 0
    environment steps, where the return is the random one, to the end of the shortest curve. The
    steps that a method spends before its first evaluation then count, and all are compared over the
    same budget.

    Args:
        curves: One or more curves.
        level: Return that counts as learned. By default the environment's entry in `LEVELS`, else
            half way from the random to the best known return, if both are known.
        baseline: The element of `curves` that the others are compared with.

    Returns:
        One row for each curve, in their order.

    Raises:
        EmbrlError: `curves` is empty.
    """
    if not curves:
        raise EmbrlError("there is nothing to compare; name at least one run")
    if level is None:
        level = default_level(curves)
    areas = [_area(curve, curves) for curve in curves]
    rows = [_row(curve, area, level) for curve, area in zip(curves, areas, strict=True)]
    if baseline is not None:
        base_area = areas[next(at for at, curve in enumerate(curves) if curve is baseline)]
        rows = [
            row
            if curve is baseline or curve.environment != baseline.environment
            else dataclasses.replace(row, against=_against(curve, area, baseline, base_area))
            for row, curve, area in zip(rows, curves, areas, strict=True)
        ]
    name = None if baseline is None else baseline.label
    return Comparison(tuple(rows), level, tuple(_notes(curves)), name)


def find_baseline(curves: Sequence[Curve], name: str | None) -> Curve | None:
    """Return the curve that `name` refers to.

    A name is a label, with or without regard to case, or the name of the folder of a single curve,
    or a part of a single label. The first of these that matches counts.

    Args:
        curves: The curves to choose from.
        name: The name; None for the first of two curves, and for no baseline otherwise.

    Raises:
        EmbrlError: `name` matches no curve, or several.
    """
    if name is None:
        return curves[0] if len(curves) == 2 else None
    ways: list[Callable[[Curve], bool]] = [
        lambda curve: curve.label == name,
        lambda curve: curve.label.casefold() == name.casefold(),
        lambda curve: curve.folder == name,
        lambda curve: bool(name) and name.casefold() in curve.label.casefold(),
    ]
    for fits in ways:
        found = [curve for curve in curves if fits(curve)]
        if len(found) > 1:
            named = ", ".join(repr(curve.label) for curve in found)
            raise EmbrlError(
                f"baseline must match one curve, got {name!r}, which matches {len(found)}: {named}"
            )
        if found:
            return found[0]
    # In quotes, because labels contain commas.
    named = ", ".join(repr(curve.label) for curve in curves)
    raise EmbrlError(f"baseline must match one of the curves {named}, got {name!r}")


def default_level(curves: Sequence[Curve]) -> float | None:
    """Return the default `level` of `compare`."""
    environments = {curve.environment for curve in curves}
    if len(environments) == 1 and (known := LEVELS.get(next(iter(environments)))) is not None:
        return known
    halves = [
        (curve.random_return + curve.best_known_return) / 2
        for curve in curves
        if curve.random_return is not None and curve.best_known_return is not None
    ]
    return float(np.mean(halves)) if halves else None


class _Area(NamedTuple):
    of_seeds: Float[np.ndarray, " seeds"]
    begins: float
    ends: float


def _area(curve: Curve, curves: Sequence[Curve]) -> _Area:
    peers = [other for other in curves if other.environment == curve.environment]
    budget = float(min(other.timesteps[-1] for other in peers))
    if budget > 0 and _count_from_0(peers):
        start = curve.random_return or 0.0
        return _Area(budget_area(curve.timesteps, curve.returns, start, budget), 0.0, budget)
    own = area_under_curve(curve.timesteps, curve.returns)
    return _Area(own, float(curve.timesteps[0]), float(curve.timesteps[-1]))


def _count_from_0(curves: Sequence[Curve]) -> bool:
    """Return True if the random return of all curves is known, so that areas can start at 0."""
    return all(curve.random_return is not None for curve in curves)


def _row(curve: Curve, area: _Area, level: float | None) -> ComparisonRow:
    final = curve.returns[:, -1]
    mean, low, high = map(float, bootstrap_mean(final))
    auc, auc_low, auc_high = map(float, bootstrap_mean(area.of_seeds))
    needed = timesteps_to(curve.timesteps, curve.returns, np.inf if level is None else level)
    needed = needed[np.isfinite(needed)]
    return ComparisonRow(
        label=curve.label,
        seeds=curve.seeds,
        final_mean=mean,
        final_low=low,
        final_high=high,
        final_worst=float(final.min()),
        final_best=float(final.max()),
        timesteps_to_level=float(needed.mean()) if needed.size else np.nan,
        seeds_at_level=int(needed.size),
        auc=auc,
        auc_low=auc_low,
        auc_high=auc_high,
        auc_from=area.begins,
        auc_to=area.ends,
        timesteps_per_s=curve.timesteps_per_s,
    )


def _against(
    curve: Curve, area: _Area, baseline: Curve, baseline_area: _Area
) -> BaselineDifference:
    final, baseline_final = curve.returns[:, -1], baseline.returns[:, -1]
    return BaselineDifference(
        final_difference=bootstrap_difference(final, baseline_final),
        improvement=probability_of_improvement(final, baseline_final),
        auc_difference=bootstrap_difference(area.of_seeds, baseline_area.of_seeds),
    )


def _notes(curves: Sequence[Curve]) -> list[str]:
    notes = []
    environments = sorted({curve.environment for curve in curves})
    if len(environments) > 1:
        named = ", ".join(name or "unnamed" for name in environments)
        notes.append(f"The runs are of different environments: {named}.")
    ranges = {(curve.timesteps[0], curve.timesteps[-1]) for curve in curves}
    ends = sorted({end for _, end in ranges})
    if not _count_from_0(curves) and len(ranges) > 1:
        spans = ", ".join(f"{short_count(a)} to {short_count(b)}" for a, b in sorted(ranges))
        notes.append(
            "The final return is that of each run's last evaluation, and the AUC is the mean "
            f"return over each run's own range of environment steps. These ranges differ: {spans}."
        )
    elif ends[0] < (1 - SAME_END) * ends[-1]:
        last = ", ".join(short_count(end) for end in ends)
        notes.append(
            f"The final return is that of each run's last evaluation, after {last} environment "
            "steps. The AUC ends where the shortest run of the environment ends."
        )
    return notes
