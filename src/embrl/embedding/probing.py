"""Probing of state embeddings: which features of a state can be recovered from phi(s)."""

from collections.abc import Callable, Iterator

import gymnasium
import numpy as np
from jaxtyping import Float, Int

from embrl.core.spaces import numbers_and_factors

LOST = 0.3
"""Score below which a feature counts as lost."""

NEIGHBOURS = 5
"""Neighbours of the nearest-neighbour regression."""

STATES = 2000
"""States used for a numeric feature; half of them to fit, half to test."""

MIN_STATES = 10
"""Smallest number of visited states with a value of a factor for the value to be probed."""

MAX_STATES = 100
"""Largest number of states with a value that are used."""

PAIRS = 20
"""Pairs of a factor's values that are classified."""

RESOLUTION = 0.001
"""Standard deviation, on each axis, of noise that is added to points: as a part of the root mean
square distance of points from their mean. A feature that is hidden by it is as good as lost: no
policy learns from differences that are so small."""

Encode = Callable[[np.ndarray], np.ndarray]
"""phi: observations `[N, ...]` to points `[N, m]`."""


def probe(
    encode: Encode,
    space: gymnasium.Space,
    visited: np.ndarray,
    coordinates: Float[np.ndarray, "V p"] | None = None,
    names: tuple[str, ...] | None = None,
) -> dict[str, float]:
    """Return how well each feature of a state is recovered from X, from 0 (not at all) to 1.

    Features are the factors where there are several, the numbers, and the environment's
    ground truth. A numeric feature is predicted by the better of a linear and a nearest-neighbour
    regression; its score is R^2 on states that were not fitted. Values of a factor are classified
    in pairs in the same way; the score is twice the accuracy minus 1. Features that do not vary,
    or were observed too rarely, are left out.

    Points are known to `RESOLUTION` only.

    Args:
        encode: phi.
        space: observation space.
        visited: distinct observations, `[V]` or `[V, k]`.
        coordinates: the environment's ground truth for them.
        names: names of the ground truth's columns.
    """
    random = np.random.default_rng(0)
    scores: dict[str, float | None] = {}
    # Shuffled, as ties between equal embeddings are broken by order, and adjacent states are alike.
    chosen = random.permutation(len(visited))[:STATES]
    x = _blurred(np.asarray(encode(visited[chosen]), np.float64))
    for name, values in _numeric_features(space, visited, coordinates, names):
        scores[name] = _numeric_score(x, values[chosen])
    if not isinstance(space, gymnasium.spaces.Discrete):
        for factor in range(len(numbers_and_factors(space)[1])):
            scores[f"factor {factor}"] = _factor_score(encode, visited, visited[:, factor], random)
    return {name: score for name, score in scores.items() if score is not None}


def _numeric_features(
    space: gymnasium.Space,
    visited: np.ndarray,
    coordinates: np.ndarray | None,
    names: tuple[str, ...] | None,
) -> Iterator[tuple[str, Float[np.ndarray, " V"]]]:
    """Yield the name and values of each numeric feature."""
    box, sizes = numbers_and_factors(space)
    if box is not None:
        for index, column in enumerate(visited[:, len(sizes) :].T):
            yield f"dimension {index}", column
    if coordinates is not None:
        for index, column in enumerate(coordinates.T):
            yield (names[index] if names is not None else f"coordinate {index}"), column


def _numeric_score(x: Float[np.ndarray, "N m"], y: Float[np.ndarray, " N"]) -> float | None:
    """Return R^2 of the better prediction on the second half; None if y does not vary there."""
    half = len(x) // 2
    # What varies by less than float32 resolves does not vary.
    if half <= NEIGHBOURS or np.ptp(y[half:]) <= 1e-6 * np.abs(y[half:]).max(initial=0.0):
        return None
    error = min(((found - y[half:]) ** 2).mean() for found in _predictions(x, y, half))
    return max(0.0, float(1.0 - error / y[half:].var()))


def _factor_score(
    encode: Encode, visited: np.ndarray, values: Int[np.ndarray, " V"], random: np.random.Generator
) -> float | None:
    """Return the mean score of pairs of values; None without two values seen often enough."""
    candidates, counts = np.unique(values, return_counts=True)
    candidates = candidates[counts >= MIN_STATES]
    if len(candidates) < 2:
        return None
    scores = []
    for _ in range(PAIRS):
        first, second = (
            random.permutation(np.flatnonzero(values == value))
            for value in random.choice(candidates, 2, replace=False)
        )
        count = min(len(first), len(second), MAX_STATES)
        # Alternating, so that both halves contain each value equally often.
        both = np.stack([first[:count], second[:count]], axis=1).ravel()[: 4 * (count // 2)]
        x = _blurred(np.asarray(encode(visited[both]), np.float64))
        y = np.resize([1.0, -1.0], len(both))
        half = len(both) // 2
        accuracy = max((np.sign(found) == y[half:]).mean() for found in _predictions(x, y, half))
        scores.append(2.0 * accuracy - 1.0)
    return max(0.0, float(np.mean(scores)))


def _blurred(x: Float[np.ndarray, "N m"]) -> Float[np.ndarray, "N m"]:
    """Return points with noise of `RESOLUTION`."""
    distance = np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean())
    return x + RESOLUTION * distance * np.random.default_rng(0).normal(size=x.shape)


def _predictions(
    x: Float[np.ndarray, "N m"], y: Float[np.ndarray, " N"], half: int
) -> list[Float[np.ndarray, " N-half"]]:
    """Predict y of the second half from the first: by linear regression, and by neighbours."""
    from scipy.spatial.distance import cdist  # slow to import

    inputs = np.column_stack([x, np.ones(len(x))])
    solution = np.linalg.lstsq(inputs[:half], y[:half], rcond=None)[0]
    square = cdist(x[half:], x[:half], "sqeuclidean")
    near = np.argpartition(square, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    return [inputs[half:] @ solution, y[near].mean(1)]
