"""What runs come to, side by side, in numbers; docs/comparing.md explains each."""

import dataclasses
from collections.abc import Sequence
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
    samples_to,
)
from embrl.report.curves import Curve
from embrl.report.numbers import short_count

LEVELS = {"gridworld": 0.5, "continuous_gridworld": 0.5}
"""Returns that count as "has learned it", where half way to the best known one says little: a
random walk in the gridworld pays for its collisions with returns far below zero."""

SAME_END = 0.02
"""Runs end alike if their last evaluations are no further apart, as a share of the later one:
epochs do not always fill the budget."""


@dataclasses.dataclass(frozen=True)
class Against:
    """A run less the baseline, over seeds; 95 % bootstrap intervals, nan where a side has one."""

    final_difference: Interval
    """Of the returns at the last evaluation."""
    improvement: Interval
    """The probability that a seed ends above one of the baseline's; see
    `embrl.core.statistics.probability_of_improvement`."""
    auc_difference: Interval


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
    """Mean over seeds of the mean return over the samples from `auc_from` to `auc_to`."""
    auc_low: float
    auc_high: float
    auc_from: float
    """0 where the random return of all runs of the environment is known; else where its own
    evaluations begin."""
    auc_to: float
    """Where the shortest of these runs ends; else its own."""
    timesteps_per_s: float | None
    against: Against | None = None
    """None of the baseline itself, of runs of another environment, and where there is none."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs side by side."""

    rows: tuple[Row, ...]
    level: float | None
    """The return that "samples to" means; None where nothing suggests one."""
    notes: tuple[str, ...]
    """What keeps the rows from being comparable as they stand."""
    baseline: str | None = None
    """Label of the run that the others are measured against."""


def compare(
    curves: Sequence[Curve], level: float | None = None, baseline: Curve | None = None
) -> Comparison:
    """What the curves come to, a row each, in their order.

    Where the random return of all curves of an environment is known, their areas count from 0
    samples, at the random return, to where the shortest of them ends: what a method spends before
    its first evaluation counts, and nobody is judged by samples that another did not have.

    Arguments:
        curves: one or more.
        level: the return for "samples to"; else the environment's in `LEVELS`, else half way from
            the random return to the best known one, where a run's summary has both.
        baseline: one of `curves`, that the others are measured against.

    Raises:
        EmbrlError: no curves.
    """
    if not curves:
        raise EmbrlError("there is nothing to compare: name at least one run")
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


class _Area(NamedTuple):
    of_seeds: Float[np.ndarray, " seeds"]
    begins: float
    ends: float


def _area(curve: Curve, curves: Sequence[Curve]) -> _Area:
    peers = [other for other in curves if other.environment == curve.environment]
    budget = float(min(other.samples[-1] for other in peers))
    if budget > 0 and _count_from_0(peers):
        start = curve.random_return or 0.0
        return _Area(budget_area(curve.samples, curve.returns, start, budget), 0.0, budget)
    own = area_under_curve(curve.samples, curve.returns)
    return _Area(own, float(curve.samples[0]), float(curve.samples[-1]))


def _count_from_0(curves: Sequence[Curve]) -> bool:
    """Whether it is known of all what they would have returned before they began."""
    return all(curve.random_return is not None for curve in curves)


def _row(curve: Curve, area: _Area, level: float | None) -> Row:
    final = curve.returns[:, -1]
    mean, low, high = map(float, bootstrap_mean(final))
    auc, auc_low, auc_high = map(float, bootstrap_mean(area.of_seeds))
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
        auc=auc,
        auc_low=auc_low,
        auc_high=auc_high,
        auc_from=area.begins,
        auc_to=area.ends,
        timesteps_per_s=curve.timesteps_per_s,
    )


def _against(curve: Curve, area: _Area, baseline: Curve, baseline_area: _Area) -> Against:
    final, baseline_final = curve.returns[:, -1], baseline.returns[:, -1]
    return Against(
        final_difference=bootstrap_difference(final, baseline_final),
        improvement=probability_of_improvement(final, baseline_final),
        auc_difference=bootstrap_difference(area.of_seeds, baseline_area.of_seeds),
    )


def _notes(curves: Sequence[Curve]) -> list[str]:
    notes = []
    environments = sorted({curve.environment for curve in curves})
    if len(environments) > 1:
        named = ", ".join(name or "unnamed" for name in environments)
        notes.append(f"These runs are of different environments: {named}.")
    ranges = {(curve.samples[0], curve.samples[-1]) for curve in curves}
    ends = sorted({end for _, end in ranges})
    if not _count_from_0(curves) and len(ranges) > 1:
        spans = ", ".join(f"{short_count(a)} to {short_count(b)}" for a, b in sorted(ranges))
        notes.append(
            "The final return is that of each run's last evaluation and the AUC the mean return "
            f"over its own samples, and these ranges differ: {spans}."
        )
    elif ends[0] < (1 - SAME_END) * ends[-1]:
        last = ", ".join(short_count(end) for end in ends)
        notes.append(
            f"The final return is that of each run's last evaluation, after {last} samples; the "
            "AUC goes as far as the shortest run of its environment."
        )
    return notes
