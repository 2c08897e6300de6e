"""Means over seeds, their differences, and percentile bootstrap intervals (Efron 1979)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

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
