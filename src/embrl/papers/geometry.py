"""Measures of how an embedding preserves the geometry of an environment in the plane."""

import itertools

import numpy as np
from jaxtyping import Bool, Float

REACH = 3
"""Maximum distance of compared cells, in cells. A wall of one cell keeps its sides 2 apart."""


def linear_r2(points: Float[np.ndarray, "N d"], truth: Float[np.ndarray, "N p"]) -> float:
    """Return the fraction of the variance of `truth` that is linear in `points`."""
    inputs = np.column_stack([points, np.ones(len(points))])
    weights = np.linalg.lstsq(inputs, truth, rcond=None)[0]
    left = ((truth - inputs @ weights) ** 2).sum()
    return float(1 - left / ((truth - truth.mean(axis=0)) ** 2).sum())


def wall_ratio(
    x: Float[np.ndarray, "states m"],
    present: Bool[np.ndarray, " states"],
    bins: int,
    walls: Float[np.ndarray, "walls 4"],
) -> float | None:
    """Return how much farther apart in X states lie if a wall separates them.

    For each offset in the grid, the mean log distance of pairs across a wall is compared with that
    of pairs in the open.

    Args:
        x: The embedding of each cell `row * bins + column`.
        present: True for cells to take into account.
        bins: Number of cells along each side of the square.
        walls: x0, y0, x1, y1 of each wall in the unit square.

    Returns:
        The difference of the mean logs, averaged over offsets of 1 to `REACH` cells with the number
        of pairs across as weights; None if there is no pair across a wall.
    """
    cells = np.arange(bins**2).reshape(bins, bins)
    ratios, counts = [], []
    for right, up in itertools.product(range(-REACH, REACH + 1), range(REACH + 1)):
        # Half of the offsets; the other half has the same pairs in reverse.
        if not 0 < np.hypot(right, up) <= REACH or (up == 0 and right < 0):
            continue
        first = cells[: bins - up, max(0, -right) : bins - max(0, right)].ravel()
        second = first + up * bins + right
        both = present[first] & present[second]
        first, second = first[both], second[both]
        across = crosses(centres(first, bins), centres(second, bins), walls)
        if not across.any() or across.all():
            continue
        apart = np.log(np.maximum(np.linalg.norm(x[first] - x[second], axis=1), 1e-9))
        ratios.append(apart[across].mean() - apart[~across].mean())
        counts.append(across.sum())
    return float(np.average(ratios, weights=counts)) if ratios else None


def centres(cells: np.ndarray, bins: int) -> Float[np.ndarray, "N 2"]:
    """Return the centres of cells in the unit square."""
    return (np.stack([cells % bins, cells // bins], axis=-1) + 0.5) / bins


def crosses(
    start: Float[np.ndarray, "N 2"], end: Float[np.ndarray, "N 2"], walls: np.ndarray
) -> Bool[np.ndarray, " N"]:
    """Return True for line segments that cross the interior of a wall.

    Uses the slab method of Kay and Kajiya (1986).
    """
    step = (end - start)[:, None]
    walls = np.asarray(walls, np.float64)[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        one = (walls[..., :2] - start[:, None]) / step
        two = (walls[..., 2:] - start[:, None]) / step
    inside = (start[:, None] > walls[..., :2]) & (start[:, None] < walls[..., 2:])
    still = step == 0
    enter = np.where(still, np.where(inside, -np.inf, np.inf), np.minimum(one, two)).max(axis=-1)
    leave = np.where(still, np.where(inside, np.inf, -np.inf), np.maximum(one, two)).min(axis=-1)
    return ((enter < leave) & (enter < 1) & (leave > 0)).any(axis=-1)
