"""A learning curve in one number: its area, and when it first got somewhere."""

import numpy as np
from jaxtyping import Float

from embrl.errors import EmbrlError


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


def samples_to(
    samples: Float[np.ndarray, " E"], returns: Float[np.ndarray, "*seeds E"], level: float
) -> Float[np.ndarray, " *seeds"]:
    """The samples at each seed's first evaluation with a return of `level` or more; inf if none.

    A later fall below `level` does not count.
    """
    reached = returns >= level
    return np.where(reached.any(axis=-1), np.asarray(samples)[reached.argmax(axis=-1)], np.inf)
