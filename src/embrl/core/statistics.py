"""Statistics over seeds: bootstrap intervals (Efron 1979), and learning curves in one number.

| function | estimate |
|---|---|
| `bootstrap_mean` | mean |
| `interquartile_mean` | mean of the middle half of the seeds |
| `bootstrap_difference` | difference of two means |
| `probability_of_improvement` | probability that one method's run beats another's |
| `bootstrap_ratio` | ratio of sums over clusters |

Each returns an `Interval`, by the percentile bootstrap; with one seed (or cluster) its bounds are
nan, as one run says nothing about another. The same `seed` gives the same interval. With fewer than
about ten seeds, percentile intervals are somewhat too narrow. `area_under_curve`, `budget_area` and
`timesteps_to` summarise learning curves.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from embrl.core.errors import check_positive

CONFIDENCE = 0.95
RESAMPLES = 9_999
RATIO_RESAMPLES = 2_000
"""Fewer than for seeds: there may be thousands of clusters, all in memory at once."""

COLUMNS_AT_ONCE = 512
"""Bounds the memory of the bootstrap: 9,999 means of 512 columns are 41 MB."""

TRIMMED = 0.25
"""Fraction of the seeds that is left out at each end, rounded down to whole seeds."""


class Interval(NamedTuple):
    """Estimate over seeds, and its confidence interval."""

    mean: Float[np.ndarray, " *points"]
    """The estimate itself, from all seeds, not from resamples."""
    low: Float[np.ndarray, " *points"]
    high: Float[np.ndarray, " *points"]


# Intervals


def bootstrap_mean(
    values: Float[np.ndarray, "seeds *points"],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the mean over seeds and its interval.

    Whole seeds are resampled, the same ones at every point, since the points of a learning curve
    belong together. Points at which a seed is not finite have an interval that is not finite.

    Args:
        values: one row for each seed.
        confidence: probability that the interval should have, 0 to 1.
        resamples: number of resamples.
        seed: of the resampling.
    """
    values = np.asarray(values, np.float64)
    seeds, points = values.shape[0], values.shape[1:]
    mean = values.mean(axis=0)
    if seeds == 1:
        return _unknown(mean)
    weights = _draw_counts(np.random.default_rng(seed), seeds, resamples) / seeds
    flat = values.reshape(seeds, -1)
    bounds = np.empty((2, flat.shape[1]))
    for start in range(0, flat.shape[1], COLUMNS_AT_ONCE):
        columns = slice(start, start + COLUMNS_AT_ONCE)
        with np.errstate(invalid="ignore"):  # 0 * inf: not finite in, not finite out
            means = weights @ flat[:, columns]
        bounds[:, columns] = _percentiles(means, confidence)
    low, high = bounds.reshape(2, *points)
    return Interval(mean, low, high)


def interquartile_mean(
    values: Float[np.ndarray, "seeds *points"],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the mean without the lowest and highest quarter of the seeds, and its interval.

    As in Agarwal et al. (2021), section 4, for one task; equal to
    `scipy.stats.trim_mean(values, 0.25)`. A seed that failed altogether does not change it, so it
    says nothing about how often seeds fail: report the mean beside it. With fewer than four seeds
    none is left out. Resampled as in `bootstrap_mean`.

    Args:
        values: one row for each seed.
        confidence: probability that the interval should have, 0 to 1.
        resamples: number of resamples.
        seed: of the resampling.
    """
    values = np.asarray(values, np.float64)
    seeds, points = values.shape[0], values.shape[1:]
    mean = _trimmed_mean(values)
    if seeds == 1:
        return _unknown(mean)
    drawn = np.random.default_rng(seed).integers(seeds, size=(seeds, resamples))
    # A point at a time: sorting needs all resamples of all seeds in memory.
    bounds = [
        _percentiles(_trimmed_mean(column[drawn]), confidence)
        for column in values.reshape(seeds, -1).T
    ]
    low, high = np.array(bounds).T.reshape(2, *points)
    return Interval(mean, low, high)


def bootstrap_difference(
    a: Float[np.ndarray, "seeds_a *points"],
    b: Float[np.ndarray, "seeds_b *points"],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the mean of `a` minus the mean of `b`, and its interval.

    The seeds of each side are resampled independently: seed k of one has nothing to do with seed k
    of the other. With one seed on either side the bounds are nan.

    Args:
        a: one row for each seed.
        b: one row for each seed.
        confidence: probability that the interval should have, 0 to 1.
        resamples: number of resamples.
        seed: of the resampling.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    mean = a.mean(axis=0) - b.mean(axis=0)
    if 1 in (len(a), len(b)):
        return _unknown(mean)
    rng = np.random.default_rng(seed)

    def means(values: np.ndarray) -> np.ndarray:
        weights = _draw_counts(rng, len(values), resamples) / len(values)
        with np.errstate(invalid="ignore"):
            return np.tensordot(weights, values, axes=1)

    with np.errstate(invalid="ignore"):  # inf - inf, likewise
        return Interval(mean, *_percentiles(means(a) - means(b), confidence))


def probability_of_improvement(
    a: Float[np.ndarray, " seeds_a"],
    b: Float[np.ndarray, " seeds_b"],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return P(A > B) + P(A = B) / 2 for a random seed of each, and its interval.

    Over all pairs of seeds: the Mann-Whitney U / (seeds_a seeds_b), as in Agarwal et al. (2021),
    "Deep reinforcement learning at the edge of the statistical precipice", section 4. It is .5
    without a difference, and depends on which seed is better, not by how much.

    The seeds of each side are resampled independently. With one seed on either side the bounds are
    nan; if a value is nan, everything is. Where every seed of one side is above every seed of the
    other, so is every resample, and the interval has no width: a limit of the bootstrap, not a
    certainty.

    Args:
        a: one value for each seed.
        b: one value for each seed.
        confidence: probability that the interval should have, 0 to 1.
        resamples: number of resamples.
        seed: of the resampling.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if np.isnan(a).any() or np.isnan(b).any():
        return _unknown(np.array(np.nan))
    wins = (a[:, None] > b) + 0.5 * (a[:, None] == b)
    mean = wins.mean()
    if 1 in wins.shape:
        return _unknown(mean)
    rng = np.random.default_rng(seed)
    drawn_a, drawn_b = (_draw_counts(rng, seeds, resamples) for seeds in wins.shape)
    # Whole and half counts until the end: no rounding can push a resample over 1.
    resampled = ((drawn_a @ wins) * drawn_b).sum(axis=1) / wins.size
    return Interval(mean, *_percentiles(resampled, confidence))


def bootstrap_ratio(
    above: Float[np.ndarray, " N"],
    below: Float[np.ndarray, " N"],
    cluster: Int[np.ndarray, " N"],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RATIO_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return `sum(above) / sum(below)` and its interval; with `below` all ones it is a mean.

    Whole clusters are resampled, since values of one cluster depend on each other.

    Args:
        above: terms of the numerator.
        below: terms of the denominator.
        cluster: number of the cluster that each term belongs to.
        confidence: probability that the interval should have, 0 to 1.
        resamples: number of resamples.
        seed: of the resampling.
    """
    _, number = np.unique(cluster, return_inverse=True)
    sums = np.stack([np.bincount(number, np.asarray(x, np.float64)) for x in (above, below)], 1)
    total = sums.sum(0)
    ratio = total[0] / total[1]
    if len(sums) == 1:
        return _unknown(ratio)
    drawn = _draw_counts(np.random.default_rng(seed), len(sums), resamples) @ sums
    return Interval(ratio, *_percentiles(drawn[:, 0] / drawn[:, 1], confidence))


# Learning curves


def area_under_curve(
    samples: Float[np.ndarray, " E"], returns: Float[np.ndarray, "*seeds E"]
) -> Float[np.ndarray, " *seeds"]:
    """Return the mean return over the curve's own range of timesteps, by the trapezoid rule.

    Nothing is assumed before the first evaluation: the areas of two curves can be compared if they
    begin and end at the same number of timesteps; otherwise use `budget_area`. A single evaluation
    is its own mean.

    Args:
        samples: timesteps of the evaluations, increasing.
        returns: mean returns of the evaluations.
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
    """Return the mean return over the timesteps from 0 to `budget`, by the trapezoid rule.

    The curve begins at (0, `start`), so that timesteps spent before the first evaluation, as those
    of pre-training, count. It ends at `budget`: with its last value if the last evaluation was
    earlier, on the line between two evaluations if there are later ones.

    Args:
        samples: timesteps of the evaluations, increasing, from 0 on.
        returns: mean returns of the evaluations.
        start: return at 0 timesteps, that of the random policy; unused if `samples` begin at 0.
        budget: timesteps, more than 0.

    Raises:
        EmbrlError: `budget` is not above 0.
    """
    check_positive("budget", budget)
    samples, returns = np.asarray(samples, np.float64), np.asarray(returns, np.float64)
    if samples[0] > 0:
        first = np.broadcast_to(np.asarray(start, np.float64), returns.shape[:-1])
        samples = np.concatenate([[0.0], samples])
        returns = np.concatenate([first[..., None], returns], axis=-1)
    inside = int(np.searchsorted(samples, budget))  # number of evaluations before the budget
    last = returns[..., inside - 1]
    if inside < samples.size:
        fraction = (budget - samples[inside - 1]) / (samples[inside] - samples[inside - 1])
        last = (1 - fraction) * last + fraction * returns[..., inside]
    samples = np.append(samples[:inside], budget)
    returns = np.concatenate([returns[..., :inside], last[..., None]], axis=-1)
    return np.trapezoid(returns, samples, axis=-1) / budget


def timesteps_to(
    samples: Float[np.ndarray, " E"], returns: Float[np.ndarray, "*seeds E"], level: float
) -> Float[np.ndarray, " *seeds"]:
    """Return the timesteps at each seed's first evaluation with a return of `level` or more.

    Infinite if there is none. A later fall below `level` does not count.

    Args:
        samples: timesteps of the evaluations, increasing.
        returns: mean returns of the evaluations.
        level: return to reach.
    """
    reached = returns >= level
    return np.where(reached.any(axis=-1), np.asarray(samples)[reached.argmax(axis=-1)], np.inf)


# The bootstrap


def _draw_counts(
    rng: np.random.Generator, seeds: int, resamples: int
) -> Int[np.ndarray, "resamples seeds"]:
    """Return how often each resample drew each seed.

    The resampled means are then one matrix product.
    """
    return rng.multinomial(seeds, np.full(seeds, 1 / seeds), resamples)


def _percentiles(
    resampled: Float[np.ndarray, "resamples *points"], confidence: float
) -> Float[np.ndarray, "2 *points"]:
    """Return the bounds that leave out the same fraction of resamples below and above."""
    tail = 100 * (1 - confidence) / 2
    return np.percentile(resampled, [tail, 100 - tail], axis=0)


def _trimmed_mean(values: Float[np.ndarray, "seeds *points"]) -> Float[np.ndarray, " *points"]:
    """Return the mean without a quarter of the seeds at each end."""
    cut = int(TRIMMED * len(values))
    middle = np.sort(values, axis=0)[cut : len(values) - cut].mean(axis=0)
    # Sorting puts nan last, where it would be cut; but nan is not a high value.
    return np.where(np.isnan(values).any(axis=0), np.nan, middle)[()]


def _unknown(mean: Float[np.ndarray, " *points"]) -> Interval:
    """Return an estimate whose interval is unknown."""
    nothing = np.full(np.shape(mean), np.nan)[()]
    return Interval(mean, nothing, nothing)
