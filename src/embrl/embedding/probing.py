"""Which features of a state can still be read off its embedding: what phi has not lost."""

from collections.abc import Callable, Iterator

import gymnasium
import numpy as np
from jaxtyping import Float, Int

from embrl.core.spaces import factors, is_continuous

LOST = 0.3
"""Features that are recovered worse than this count as lost."""

NEIGHBOURS = 5

STATES = 2000
"""For a feature that is a number; half of them to learn from, half to test."""

FEW = 10
"""States that a factor's value must have been met in, at least, to be asked for."""

MANY = 100
"""States of a value that are looked at, at most."""

PAIRS = 20
"""Of a factor's values that are told apart."""

Encode = Callable[[np.ndarray], np.ndarray]
"""phi: observations `[N, ...]` to points `[N, m]`."""


def probe(
    encode: Encode,
    space: gymnasium.Space,
    visited: np.ndarray,
    coordinates: Float[np.ndarray, "V p"] | None = None,
    names: tuple[str, ...] | None = None,
) -> dict[str, float]:
    """How well each feature of a state is recovered from X, 0 (not at all) to 1.

    Features are the factors of a `MultiDiscrete`, the dimensions of a `Box` and what the
    environment says of states. A number is recovered by the better of two regressions, one linear
    and one by nearest neighbours, and scored by R^2 on states that they were not fitted on. Of a
    factor two values at a time are told apart likewise, and the score is twice the accuracy
    minus 1. What does not vary, or was seen too rarely to tell, is left out.

    Arguments:
        visited: different observations, `[V]` or `[V, k]`.
        coordinates: what the environment says of them.
        names: of those columns.
    """
    random = np.random.default_rng(0)
    found: dict[str, float | None] = {}
    # In any order but that of the states: where embeddings are equal, neighbours would be too.
    chosen = random.permutation(len(visited))[:STATES]
    x = np.asarray(encode(visited[chosen]), np.float64)
    for name, values in _numbers(space, visited, coordinates, names):
        found[name] = _explained(x, values[chosen])
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        for factor in range(len(factors(space))):
            found[f"factor {factor}"] = _told_apart(encode, visited, visited[:, factor], random)
    return {name: score for name, score in found.items() if score is not None}


def _numbers(
    space: gymnasium.Space,
    visited: np.ndarray,
    coordinates: np.ndarray | None,
    names: tuple[str, ...] | None,
) -> Iterator[tuple[str, Float[np.ndarray, " V"]]]:
    if is_continuous(space):
        for at, column in enumerate(visited.T):
            yield f"dimension {at}", column
    if coordinates is not None:
        for at, column in enumerate(coordinates.T):
            yield (names[at] if names is not None else f"coordinate {at}"), column


def _explained(x: Float[np.ndarray, "N m"], y: Float[np.ndarray, " N"]) -> float | None:
    """R^2 of the better guess, on the second half; None where there is nothing to explain."""
    half = len(x) // 2
    if half <= NEIGHBOURS or np.ptp(y[half:]) == 0.0:
        return None
    error = min(((guess - y[half:]) ** 2).mean() for guess in _guesses(x, y, half))
    return max(0.0, float(1.0 - error / y[half:].var()))


def _told_apart(
    encode: Encode, visited: np.ndarray, values: Int[np.ndarray, " V"], random: np.random.Generator
) -> float | None:
    """The mean over pairs of a factor's values; None where no two of them were met often."""
    kinds, counts = np.unique(values, return_counts=True)
    kinds = kinds[counts >= FEW]
    if len(kinds) < 2:
        return None
    scores = []
    for _ in range(PAIRS):
        here, there = (
            random.permutation(np.flatnonzero(values == kind))
            for kind in random.choice(kinds, 2, replace=False)
        )
        count = min(len(here), len(there), MANY)
        # Alternating, so that both halves hold as many of either.
        both = np.stack([here[:count], there[:count]], axis=1).ravel()[: 4 * (count // 2)]
        x, y = np.asarray(encode(visited[both]), np.float64), np.resize([1.0, -1.0], len(both))
        half = len(both) // 2
        right = max((np.sign(guess) == y[half:]).mean() for guess in _guesses(x, y, half))
        scores.append(2.0 * right - 1.0)
    return max(0.0, float(np.mean(scores)))


def _guesses(
    x: Float[np.ndarray, "N m"], y: Float[np.ndarray, " N"], half: int
) -> list[Float[np.ndarray, " rest"]]:
    """What y of the second half is, from x and the first half: linearly, and by neighbours."""
    wide = np.column_stack([x, np.ones(len(x))])
    solution = np.linalg.lstsq(wide[:half], y[:half], rcond=None)[0]
    square = ((x[half:, None] - x[:half]) ** 2).sum(-1)
    near = np.argpartition(square, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    return [wide[half:] @ solution, y[near].mean(1)]
