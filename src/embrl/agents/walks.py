"""Walks between many pairs of agents: which lines there are, what they are worth, how they count.

What an agent is worth is its mean return; in Cart-Pole that is its survival in steps.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from embrl.agents.architecture import Architecture
from embrl.agents.canonical import aligned, canonical
from embrl.agents.similarity import pairs
from embrl.agents.survival import survival
from embrl.agents.walk import COEFFICIENTS, Pattern, Rule, best_coefficient, line
from embrl.core.errors import EmbrlError
from embrl.core.types import Key
from embrl.envs.environment import Environment

AT_ONCE = 128
"""Pairs whose points are in memory at a time."""

Line = Callable[
    [Float[np.ndarray, "pairs size"], Float[np.ndarray, "pairs size"]],
    Float[np.ndarray, "pairs points size"],
]
"""From the weights of two agents each to those of all agents on the way."""


class Embeds(Protocol):
    """What a walk needs of an embedding of agents."""

    def encode(self, w: Any) -> Any:
        """Weights `[n, size]` to z `[n, k]`."""
        ...

    def decode(self, z: Any) -> Any:
        """And back."""
        ...


def latent_line(embedding: Embeds, coefficients: Sequence[float] = COEFFICIENTS) -> Line:
    """Straight in z; every point is a decoded agent, the ends too."""
    c = np.asarray(coefficients)

    def along(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        z = line(np.asarray(embedding.encode(one)), np.asarray(embedding.encode(other)), c)
        w = np.asarray(embedding.decode(jnp.asarray(z.reshape(-1, z.shape[-1]))))
        return w.reshape(*z.shape[:2], -1)

    return along


def stored_line(coefficients: Sequence[float] = COEFFICIENTS) -> Line:
    """Straight in weights as they came from training: the paper's comparison."""
    c = np.asarray(coefficients)
    return lambda one, other: line(one, other, c)


def aligned_line(architecture: Architecture, coefficients: Sequence[float] = COEFFICIENTS) -> Line:
    """Straight in weights, the other agent's hidden units numbered as those of the one that are
    most like them: weight space at its best.
    """
    c = np.asarray(coefficients)

    def along(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        one = canonical(architecture, one)
        matched = [aligned(architecture, b, a) for a, b in zip(one, other, strict=True)]
        return line(one, np.stack(matched), c)

    return along


def walked(
    env: Environment,
    architecture: Architecture,
    along: Line,
    one: Float[np.ndarray, "pairs size"],
    other: Float[np.ndarray, "pairs size"],
    key: Key,
    episodes: int,
    tell: Callable[[int, int], None] = lambda *_: None,
) -> Float[np.ndarray, "pairs points episodes"]:
    """The return of every episode of every agent on the way from `one` to `other`.

    Episode k begins alike for all of them.

    Arguments:
        tell: is told how many pairs are done, and of how many.
    """
    found = []
    for start in range(0, len(one), AT_ONCE):
        w = along(one[start : start + AT_ONCE], other[start : start + AT_ONCE])
        flat = w.reshape(-1, architecture.size)
        returns = survival(env, architecture, flat, key, episodes).returns
        found.append(np.asarray(returns).reshape(*w.shape[:2], episodes))
        tell(min(start + AT_ONCE, len(one)), len(one))
    return np.concatenate(found)


def drawn(group: Int[np.ndarray, " N"], wanted: int, seed: int) -> Int[np.ndarray, "pairs 2"]:
    """Pairs of agents, as many of every pair of groups as of any other: a group of few agents is
    not lost among the others.

    Groups of fewer than two agents have no pair of their own, empty ones none at all. A pair's
    first agent is of the lower group.

    Arguments:
        group: each agent's.
        wanted: pairs in all, to within one for each pair of groups.

    Raises:
        EmbrlError: there are fewer than two agents.
    """
    if len(group) < 2:
        raise EmbrlError(f"{len(group)} agents to walk between: there must be two or more")
    members = {int(name): np.flatnonzero(group == name) for name in np.unique(group)}
    kinds = [(a, b) for a in members for b in members if a < b or (a == b and len(members[a]) > 1)]
    rng, found = np.random.default_rng(seed), []
    for at, (a, b) in enumerate(kinds):
        count = wanted // len(kinds) + (at < wanted % len(kinds))
        if a == b:
            mine = pairs(len(members[a]), count, seed=int(rng.integers(2**31)))
            found.append(members[a][mine])
        else:
            found.append(
                np.stack([rng.choice(members[a], count), rng.choice(members[b], count)], axis=1)
            )
    return np.concatenate(found)


@dataclasses.dataclass(frozen=True, eq=False)
class Walks:
    """What walks between pairs of agents came to, in one space."""

    coefficients: Float[np.ndarray, " points"]
    halves: Float[np.ndarray, "2 pairs points"]
    """Mean returns over even and over odd episodes: what is chosen by the one is measured by the
    other.
    """

    @property
    def mean(self) -> Float[np.ndarray, "pairs points"]:
        """Over all episodes."""
        return self.halves.mean(0)

    @property
    def ends(self) -> Float[np.ndarray, "pairs 2"]:
        """The mean of either agent: at 0 and at 1."""
        c = list(self.coefficients)
        return self.mean[:, [c.index(0.0), c.index(1.0)]]

    def patterns(self, rule: Rule) -> list[Pattern]:
        """Of each walk."""
        return [rule.pattern(self.coefficients, walk) for walk in self.mean]

    @property
    def best(self) -> Float[np.ndarray, " pairs"]:
        """The coefficient where each is highest."""
        return best_coefficient(self.coefficients, self.mean)

    def gains(self) -> "Gains":
        """What lies beyond the ends, against the ends."""
        c = np.asarray(self.coefficients)
        outside, ends = (c < 0) | (c > 1), (c == 0) | (c == 1)
        if not outside.any():
            raise EmbrlError("no coefficient lies outside 0 to 1: nothing is extrapolated")
        chosen, measured = self.halves
        rows = np.arange(len(chosen))
        beyond = np.flatnonzero(outside)[chosen[:, outside].argmax(1)]
        better = np.flatnonzero(ends)[chosen[:, ends].argmax(1)]
        return Gains(c[beyond], measured[rows, beyond] - measured[rows, better])


class Gains(NamedTuple):
    """By how much the best extrapolation of each walk beats the better end. Both are chosen on the
    even episodes and measured on the odd ones: luck in the choice does not count.
    """

    coefficient: Float[np.ndarray, " pairs"]
    gain: Float[np.ndarray, " pairs"]


def halved(
    coefficients: Sequence[float], returns: Float[np.ndarray, "pairs points episodes"]
) -> Walks:
    """From single episodes.

    Raises:
        EmbrlError: there is only one, or their number is odd.
    """
    episodes = returns.shape[-1]
    if episodes % 2 or not episodes:
        raise EmbrlError(f"episodes is {episodes}: choose an even number, they are halved")
    halves = np.stack([returns[..., 0::2].mean(-1), returns[..., 1::2].mean(-1)])
    return Walks(np.asarray(coefficients), halves)


def clarity(pattern: Pattern, walks: Walks) -> Float[np.ndarray, " pairs"]:
    """How well each walk shows a pattern, in units of return.

    - hill: by how much the best point between exceeds the better end;
    - valley: by how much the worst point between falls short of the worse end;
    - slope: from the worse end to the best point beyond the better one, less the deepest fall on
      the way between the ends: the paper's slopes go on rising.
    """
    c, y = np.asarray(walks.coefficients), walks.mean
    order = np.argsort(c)
    c, y = c[order], y[:, order]
    inside = y[:, (c > 0) & (c < 1)]
    first, last = y[:, c == 0][:, 0], y[:, c == 1][:, 0]
    lo, hi = np.minimum(first, last), np.maximum(first, last)
    if pattern is Pattern.HILL:
        return inside.max(1) - hi
    if pattern is Pattern.VALLEY:
        return lo - inside.min(1)
    if pattern is Pattern.SLOPE:
        between = y[:, (c >= 0) & (c <= 1)]
        between = np.where((first <= last)[:, None], between, between[:, ::-1])
        falls = (np.maximum.accumulate(between, axis=1) - between).max(1)
        after, before = y[:, c >= 1].max(1), y[:, c <= 0].max(1)
        return np.where(first <= last, after, before) - lo - falls
    raise EmbrlError("a walk of no pattern is not clear: choose slope, valley or hill")
