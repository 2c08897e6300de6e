"""Ratios of sums over clusters, with bootstrap intervals."""

import numpy as np
from jaxtyping import Float, Int

from embrl.statistics.bootstrap import CONFIDENCE, Interval, percentiles, times_drawn, unknown

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
