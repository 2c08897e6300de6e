"""Means over seeds, their differences, and percentile bootstrap intervals (Efron 1979)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from embrl.core.errors import EmbrlError

CONFIDENCE = 0.95
RESAMPLES = 9_999
COLUMNS_AT_ONCE = 512
"""Bounds the memory of the bootstrap: 9,999 means of 512 columns are 41 MB."""


class Interval(NamedTuple):
    """A mean over seeds and how far it may be off."""

    mean: Float[np.ndarray, " *points"]
    """The estimate itself, from all seeds, not from resamples."""
    low: Float[np.ndarray, " *points"]
    high: Float[np.ndarray, " *points"]


def bootstrap_mean(
    values: Float[np.ndarray, "seeds *points"],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The mean over seeds with its percentile bootstrap interval.

    Whole seeds are resampled: each resample takes the same seeds at every point, since the points
    of a learning curve belong together. The same `seed` gives the same interval.

    With one seed the interval is nan: one run says nothing about another. Points at which a seed
    is not finite have an interval that is not finite either. With few seeds (below about ten)
    percentile intervals are somewhat too narrow.
    """
    values = np.asarray(values, np.float64)
    seeds, points = values.shape[0], values.shape[1:]
    mean = values.mean(axis=0)
    if seeds == 1:
        return unknown(mean)
    weights = times_drawn(np.random.default_rng(seed), seeds, resamples) / seeds
    flat = values.reshape(seeds, -1)
    bounds = np.empty((2, flat.shape[1]))
    for start in range(0, flat.shape[1], COLUMNS_AT_ONCE):
        columns = slice(start, start + COLUMNS_AT_ONCE)
        with np.errstate(invalid="ignore"):  # 0 * inf: not finite in, not finite out
            means = weights @ flat[:, columns]
        bounds[:, columns] = percentiles(means, confidence)
    low, high = bounds.reshape(2, *points)
    return Interval(mean, low, high)


def bootstrap_difference(
    a: Float[np.ndarray, "seeds_a *points"],
    b: Float[np.ndarray, "seeds_b *points"],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean of `a` less mean of `b`, with its percentile bootstrap interval.

    The seeds of each are resampled by themselves: seed k of one has nothing to do with seed k of
    the other. With one seed on either side the interval is nan.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    mean = a.mean(axis=0) - b.mean(axis=0)
    if 1 in (len(a), len(b)):
        return unknown(mean)
    draw = np.random.default_rng(seed)

    def means(values: np.ndarray) -> np.ndarray:
        weights = times_drawn(draw, len(values), resamples) / len(values)
        with np.errstate(invalid="ignore"):
            return np.tensordot(weights, values, axes=1)

    with np.errstate(invalid="ignore"):  # inf - inf, likewise
        return Interval(mean, *percentiles(means(a) - means(b), confidence))


def times_drawn(
    draw: np.random.Generator, seeds: int, resamples: int
) -> Int[np.ndarray, "resamples seeds"]:
    """How often each resample drew each seed: the resampled means are then one matrix product."""
    return draw.multinomial(seeds, np.full(seeds, 1 / seeds), resamples)


def percentiles(
    resampled: Float[np.ndarray, "resamples *points"], confidence: float
) -> Float[np.ndarray, "2 *points"]:
    """What leaves the same share of resamples out below and above."""
    tail = 100 * (1 - confidence) / 2
    return np.percentile(resampled, [tail, 100 - tail], axis=0)


def unknown(mean: Float[np.ndarray, " *points"]) -> Interval:
    """An estimate whose interval nothing is known about."""
    nothing = np.full(np.shape(mean), np.nan)[()]
    return Interval(mean, nothing, nothing)


# DOC The mean of the middle half of the seeds.


TRIM = 0.25
"""Share of the seeds that is left out at each end, rounded down to whole seeds."""


def interquartile_mean(
    values: Float[np.ndarray, "seeds *points"],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The mean without the lowest and the highest quarter of the seeds, and its interval.

    Agarwal et al. (2021), section 4, of one task; `scipy.stats.trim_mean(values, 0.25)`. A seed
    that failed altogether does not move it, so it says nothing about how often that happens: give
    the mean beside it. With fewer than four seeds nothing is left out.

    Resampled as by `bootstrap_mean`: whole seeds, the same at every point. With one seed the
    interval is nan.
    """
    values = np.asarray(values, np.float64)
    seeds, points = values.shape[0], values.shape[1:]
    mean = _middle(values)
    if seeds == 1:
        return unknown(mean)
    drawn = np.random.default_rng(seed).integers(seeds, size=(seeds, resamples))
    # A point at a time: sorting needs all resamples of all seeds in memory.
    bounds = [percentiles(_middle(own[drawn]), confidence) for own in values.reshape(seeds, -1).T]
    low, high = np.array(bounds).T.reshape(2, *points)
    return Interval(mean, low, high)


def _middle(values: Float[np.ndarray, "seeds *points"]) -> Float[np.ndarray, " *points"]:
    cut = int(TRIM * len(values))
    middle = np.sort(values, axis=0)[cut : len(values) - cut].mean(axis=0)
    # Sorting puts nan last, where it would be cut: a seed that is not a number is no high one.
    return np.where(np.isnan(values).any(axis=0), np.nan, middle)[()]


# DOC How likely a run of one method is to end above a run of another.


def probability_of_improvement(
    a: Float[np.ndarray, " seeds_a"],
    b: Float[np.ndarray, " seeds_b"],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """P(A > B) + P(A = B) / 2 of a seed of each, with its percentile bootstrap interval.

    Over all pairs of seeds: Mann and Whitney's U / (seeds_a seeds_b), as in Agarwal et al. (2021),
    "Deep reinforcement learning at the edge of the statistical precipice", section 4. .5 is no
    difference. It heeds which is larger, not by how much.

    The seeds of each side are resampled by themselves. With one seed on either side the interval
    is nan; where a value is nan all is. Where every seed of one is above every seed of the other,
    so is every resample, and the interval has no width: that is the bootstrap's limit, no
    certainty.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if np.isnan(a).any() or np.isnan(b).any():
        return unknown(np.array(np.nan))
    wins = (a[:, None] > b) + 0.5 * (a[:, None] == b)
    mean = wins.mean()
    if 1 in wins.shape:
        return unknown(mean)
    draw = np.random.default_rng(seed)
    drawn_a, drawn_b = (times_drawn(draw, seeds, resamples) for seeds in wins.shape)
    # Whole and half counts until the end: no rounding can push a resample over 1.
    resampled = ((drawn_a @ wins) * drawn_b).sum(axis=1) / wins.size
    return Interval(mean, *percentiles(resampled, confidence))


# DOC Ratios of sums over clusters, with bootstrap intervals.


RESAMPLES = 2_000
"""Fewer than for seeds: there may be thousands of clusters, and all are in memory at once."""


def bootstrap_ratio(
    above: Float[np.ndarray, " N"],
    below: Float[np.ndarray, " N"],
    cluster: Int[np.ndarray, " N"],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """`sum(above) / sum(below)` with its percentile bootstrap interval; whole clusters are
    resampled, since what is in one belongs together. With `below` all ones it is a mean.

    With one cluster the interval is nan.
    """
    _, number = np.unique(cluster, return_inverse=True)
    sums = np.stack([np.bincount(number, np.asarray(x, np.float64)) for x in (above, below)], 1)
    total = sums.sum(0)
    ratio = total[0] / total[1]
    if len(sums) == 1:
        return unknown(ratio)
    drawn = times_drawn(np.random.default_rng(seed), len(sums), resamples) @ sums
    return Interval(ratio, *percentiles(drawn[:, 0] / drawn[:, 1], confidence))


# DOC A learning curve in one number: its area, and when it first got somewhere.


def area_under_curve(
    samples: Float[np.ndarray, " E"], returns: Float[np.ndarray, "*seeds E"]
) -> Float[np.ndarray, " *seeds"]:
    """The mean return over the curve's own range of samples, by the trapezoid rule.

    Nothing is assumed before the first evaluation: the areas of two curves can be compared where
    they begin and end at the same number of samples; else see `budget_area`. A single evaluation
    is its own mean.
    """
    samples = np.asarray(samples, np.float64)
    if samples.size == 1:
        return returns[..., 0]
    return np.trapezoid(returns, samples, axis=-1) / (samples[-1] - samples[0])


def budget_area(
    samples: Float[np.ndarray, " E"],
    returns: Float[np.ndarray, "*seeds E"],
    start: float | Float[np.ndarray, " *seeds"],
    budget: float,
) -> Float[np.ndarray, " *seeds"]:
    """The mean return over the samples from 0 to `budget`, by the trapezoid rule.

    The curve begins at (0, `start`), so that samples spent before the first evaluation count, as
    those of pre-training. It ends at `budget`: by its last value where it was evaluated earlier
    for the last time, on the line between two evaluations where it went on.

    Arguments:
        samples: increasing, from 0 on; of the evaluations.
        returns: at these.
        start: the return at 0 samples, the random policy's; not used where `samples` begin at 0.
        budget: environment steps, more than 0.

    Raises:
        EmbrlError: `budget` is not above 0.
    """
    if not budget > 0:
        raise EmbrlError(f"the budget of an area is {budget}: expected more than 0 samples")
    samples, returns = np.asarray(samples, np.float64), np.asarray(returns, np.float64)
    if samples[0] > 0:
        first = np.broadcast_to(np.asarray(start, np.float64), returns.shape[:-1])
        samples = np.concatenate([[0.0], samples])
        returns = np.concatenate([first[..., None], returns], axis=-1)
    inside = int(np.searchsorted(samples, budget))  # how many come before the budget
    last = returns[..., inside - 1]
    if inside < samples.size:
        share = (budget - samples[inside - 1]) / (samples[inside] - samples[inside - 1])
        last = (1 - share) * last + share * returns[..., inside]
    samples = np.append(samples[:inside], budget)
    returns = np.concatenate([returns[..., :inside], last[..., None]], axis=-1)
    return np.trapezoid(returns, samples, axis=-1) / budget


def timesteps_to(
    samples: Float[np.ndarray, " E"], returns: Float[np.ndarray, "*seeds E"], level: float
) -> Float[np.ndarray, " *seeds"]:
    """The samples at each seed's first evaluation with a return of `level` or more; inf if none.

    A later fall below `level` does not count.
    """
    reached = returns >= level
    return np.where(reached.any(axis=-1), np.asarray(samples)[reached.argmax(axis=-1)], np.inf)
