"""The mean of the middle half of the seeds."""

import numpy as np
from jaxtyping import Float

from embrl.statistics.bootstrap import CONFIDENCE, RESAMPLES, Interval, percentiles, unknown

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
