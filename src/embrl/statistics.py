"""What can be said about a method from a handful of seeds."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

CONFIDENCE = 0.95
RESAMPLES = 9_999
COLUMNS_AT_ONCE = 512
"""Bounds the memory of the bootstrap: 9,999 means of 512 columns are 41 MB."""


class Interval(NamedTuple):
    """A mean over seeds and how far it may be off."""

    mean: Float[np.ndarray, " *points"]
    low: Float[np.ndarray, " *points"]
    high: Float[np.ndarray, " *points"]


def bootstrap_mean(
    values: Float[np.ndarray, "seeds *points"],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The mean over seeds with its percentile bootstrap interval (Efron 1979).

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
        return Interval(mean, np.full(points, np.nan), np.full(points, np.nan))
    # How often a resample drew each seed: the resampled means are then one matrix product.
    drawn = np.random.default_rng(seed).multinomial(seeds, np.full(seeds, 1 / seeds), resamples)
    weights = drawn / seeds
    flat = values.reshape(seeds, -1)
    tail = 100 * (1 - confidence) / 2
    bounds = np.empty((2, flat.shape[1]))
    for start in range(0, flat.shape[1], COLUMNS_AT_ONCE):
        columns = slice(start, start + COLUMNS_AT_ONCE)
        with np.errstate(invalid="ignore"):  # 0 * inf: not finite in, not finite out
            means = weights @ flat[:, columns]
        bounds[:, columns] = np.percentile(means, [tail, 100 - tail], axis=0)
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
        nothing = np.full(mean.shape, np.nan)
        return Interval(mean, nothing, nothing)
    draw = np.random.default_rng(seed)

    def means(values: np.ndarray) -> np.ndarray:
        seeds = len(values)
        drawn = draw.multinomial(seeds, np.full(seeds, 1 / seeds), resamples)
        return np.tensordot(drawn / seeds, values, axes=1)

    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(means(a) - means(b), [tail, 100 - tail], axis=0)
    return Interval(mean, low, high)


def area_under_curve(
    samples: Float[np.ndarray, " E"], returns: Float[np.ndarray, "*seeds E"]
) -> Float[np.ndarray, " *seeds"]:
    """The mean return over the curve's own range of samples, by the trapezoid rule.

    Nothing is assumed before the first evaluation: the areas of two curves can be compared where
    they begin and end at the same number of samples. A single evaluation is its own mean.
    """
    samples = np.asarray(samples, np.float64)
    if samples.size == 1:
        return returns[..., 0]
    return np.trapezoid(returns, samples, axis=-1) / (samples[-1] - samples[0])


def samples_to(
    samples: Float[np.ndarray, " E"], returns: Float[np.ndarray, "*seeds E"], level: float
) -> Float[np.ndarray, " *seeds"]:
    """The samples at each seed's first evaluation with a return of `level` or more; inf if none.

    A later fall below `level` does not count.
    """
    reached = returns >= level
    return np.where(reached.any(axis=-1), np.asarray(samples)[reached.argmax(axis=-1)], np.inf)
