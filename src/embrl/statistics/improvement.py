"""How likely a run of one method is to end above a run of another."""

import numpy as np
from jaxtyping import Float

from embrl.statistics.bootstrap import (
    CONFIDENCE,
    RESAMPLES,
    Interval,
    percentiles,
    times_drawn,
    unknown,
)


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
