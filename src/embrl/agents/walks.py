"""Walks along straight lines between pairs of agents, in an embedding or in weights.

An agent's score is its mean return; in Cart-Pole that is its survival in steps.
"""

import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from embrl.agents.architecture import Architecture
from embrl.agents.canonical import aligned, canonical
from embrl.agents.episodes import survival
from embrl.agents.groups import score_scale
from embrl.agents.population import Population
from embrl.agents.similarity import pairs
from embrl.core.errors import EmbrlError
from embrl.core.types import Key
from embrl.envs.environment import Environment
from embrl.training.loop import Progress

COEFFICIENTS = tuple(np.arange(-4, 9) / 4.0)
"""From -1 to 2 in steps of 0.25; 0 is the one agent, 1 the other."""


def line(
    one: Float[np.ndarray, "*pairs n"],
    other: Float[np.ndarray, "*pairs n"],
    coefficients: Float[np.ndarray, " points"],
) -> Float[np.ndarray, "*pairs points n"]:
    """Return `(1 - c) one + c other` for every coefficient c."""
    c = np.asarray(coefficients, one.dtype)[:, None]
    return (1 - c) * one[..., None, :] + c * other[..., None, :]


class Pattern(enum.StrEnum):
    """Pattern of the scores along a walk (Chang et al. 2018)."""

    SLOPE = "slope"
    """Scores increase from the worse agent to the better one."""
    VALLEY = "valley"
    """Agents in between are worse than both ends."""
    HILL = "hill"
    """Agents in between are better than both ends."""
    NONE = "none"
    """None of these: two equal ends with nothing in between, or both up and down."""


@dataclasses.dataclass(frozen=True)
class WalkRule:
    """Rule that classifies walks.

    Let lo and hi be the scores of the worse and the better end, and m the margin:

    - hill: somewhere strictly between the ends above hi + m, and nowhere below lo - m;
    - valley: somewhere strictly between below lo - m, and nowhere above hi + m;
    - slope: hi - lo > m, and from the worse end to the better one the score never falls by more
      than m below what it had reached, nor leaves [lo - m, hi + m];
    - none: everything else.
    """

    margin: float = 50.0
    """Margin m; 50 steps are a tenth of Cart-Pole's limit, several standard errors."""

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise EmbrlError(f"margin must be above 0, got {self.margin}")

    def pattern(
        self, coefficients: Float[np.ndarray, " points"], survival: Float[np.ndarray, " points"]
    ) -> Pattern:
        """Classify one walk.

        Raises:
            EmbrlError: the coefficients lack 0, 1 or everything in between.
        """
        c, m = np.asarray(coefficients), self.margin
        if 0.0 not in c or 1.0 not in c or not ((c > 0) & (c < 1)).any():
            raise EmbrlError("coefficients must include 0, 1 and a number in between")
        order = np.argsort(c)
        between = np.asarray(survival)[order][(c[order] >= 0) & (c[order] <= 1)]
        lo, hi = sorted((between[0], between[-1]))
        inside = between[1:-1]
        above, below = (inside > hi + m).any(), (inside < lo - m).any()
        if above != below:
            return Pattern.HILL if above else Pattern.VALLEY
        if above or hi - lo <= m:
            return Pattern.NONE
        upwards = between if between[0] == lo else between[::-1]
        falls = np.maximum.accumulate(upwards) - upwards
        return Pattern.SLOPE if (falls <= m).all() else Pattern.NONE


MARGIN = 0.1
"""Default margin, as a fraction of the range of scores."""


def rule_of(population: Population, margin: float | None) -> WalkRule:
    """Return the rule with that margin; None: a tenth of the range of scores."""
    return WalkRule(MARGIN * score_scale(population).range if margin is None else margin)


def best_coefficient(
    coefficients: Float[np.ndarray, " points"], survival: Float[np.ndarray, "*pairs points"]
) -> Float[np.ndarray, "*pairs"]:
    """Return the coefficient of the highest score; of equal ones, the most central."""
    c = np.asarray(coefficients)
    order = np.argsort(np.abs(c - 0.5), kind="stable")
    return c[order][np.asarray(survival)[..., order].argmax(-1)]


AT_ONCE = 128
"""Pairs whose points are in memory at a time."""

WalkLine = Callable[
    [Float[np.ndarray, "pairs size"], Float[np.ndarray, "pairs size"]],
    Float[np.ndarray, "pairs points size"],
]
"""Function from the weights of two agents each to those of all agents on the line."""


class Autoencoder(Protocol):
    """Interface of an embedding of agents, as far as walks need it."""

    def encode(self, w: Any) -> Any:
        """Return z `[n, k]` of weights `[n, size]`."""
        ...

    def decode(self, z: Any) -> Any:
        """Return weights `[n, size]` of z `[n, k]`."""
        ...


def latent_line(embedding: Autoencoder, coefficients: Sequence[float] = COEFFICIENTS) -> WalkLine:
    """Return straight lines in z; every point is a decoded agent, the ends too."""
    c = np.asarray(coefficients)

    def along(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        z = line(np.asarray(embedding.encode(one)), np.asarray(embedding.encode(other)), c)
        w = np.asarray(embedding.decode(jnp.asarray(z.reshape(-1, z.shape[-1]))))
        return w.reshape(*z.shape[:2], -1)

    return along


def stored_line(coefficients: Sequence[float] = COEFFICIENTS) -> WalkLine:
    """Return straight lines in weights as training left them: the paper's comparison."""
    c = np.asarray(coefficients)
    return lambda one, other: line(one, other, c)


def aligned_line(
    architecture: Architecture, coefficients: Sequence[float] = COEFFICIENTS
) -> WalkLine:
    """Return straight lines in weights with matched hidden units.

    The other agent's hidden units are numbered as the most similar ones of the first agent: weight
    space at its best.
    """
    c = np.asarray(coefficients)

    def along(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        one = canonical(architecture, one)
        matched = [aligned(architecture, b, a) for a, b in zip(one, other, strict=True)]
        return line(one, np.stack(matched), c)

    return along


def play_walks(
    env: Environment,
    architecture: Architecture,
    along: WalkLine,
    one: Float[np.ndarray, "pairs size"],
    other: Float[np.ndarray, "pairs size"],
    key: Key,
    episodes: int,
    on_progress: Callable[[Progress], None] = lambda _: None,
    stage: str = "walks",
) -> Float[np.ndarray, "pairs points episodes"]:
    """Play every agent on the lines from `one` to `other`.

    Episode k starts alike for all of them.

    Args:
        env: environment.
        architecture: architecture of the agents.
        along: kind of line.
        one: first agents `[pairs, size]`.
        other: second agents `[pairs, size]`.
        key: random key of the episodes.
        episodes: number of episodes.
        on_progress: called after each part, with the number of pairs played.
        stage: stage named in the progress.

    Returns:
        The return of every episode.
    """
    found = []
    for start in range(0, len(one), AT_ONCE):
        w = along(one[start : start + AT_ONCE], other[start : start + AT_ONCE])
        flat = w.reshape(-1, architecture.size)
        returns = survival(env, architecture, flat, key, episodes).returns
        found.append(np.asarray(returns).reshape(*w.shape[:2], episodes))
        on_progress(Progress(stage, min(start + AT_ONCE, len(one)), len(one), None))
    return np.concatenate(found)


def draw_pairs(group: Int[np.ndarray, " N"], wanted: int, seed: int) -> Int[np.ndarray, "pairs 2"]:
    """Draw pairs of agents, equally many of every pair of groups.

    Small groups are thus represented as well as large ones. Groups of fewer than two agents have no
    pair of their own, empty ones none at all. A pair's first agent is of the lower group.

    Args:
        group: each agent's group.
        wanted: number of pairs, to within one for each pair of groups.
        seed: random seed.

    Raises:
        EmbrlError: there are fewer than two agents.
    """
    if len(group) < 2:
        raise EmbrlError(f"agents of a walk must be 2 or more, got {len(group)}")
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
    """Scores of walks between pairs of agents, in one space."""

    coefficients: Float[np.ndarray, " points"]
    halves: Float[np.ndarray, "2 pairs points"]
    """Mean returns over even and over odd episodes.

    What is chosen on the one half is measured on the other.
    """

    @property
    def mean(self) -> Float[np.ndarray, "pairs points"]:
        """Mean return over all episodes."""
        return self.halves.mean(0)

    @property
    def ends(self) -> Float[np.ndarray, "pairs 2"]:
        """Mean returns of the two agents, at coefficients 0 and 1."""
        c = list(self.coefficients)
        return self.mean[:, [c.index(0.0), c.index(1.0)]]

    def patterns(self, rule: WalkRule) -> list[Pattern]:
        """Classify each walk."""
        return [rule.pattern(self.coefficients, walk) for walk in self.mean]

    @property
    def best(self) -> Float[np.ndarray, " pairs"]:
        """Coefficient of the highest score of each walk."""
        return best_coefficient(self.coefficients, self.mean)

    def gains(self) -> "Gains":
        """Compare the best extrapolation with the better end."""
        c = np.asarray(self.coefficients)
        outside, ends = (c < 0) | (c > 1), (c == 0) | (c == 1)
        if not outside.any():
            raise EmbrlError("coefficients must include some outside 0 to 1 to extrapolate")
        chosen, measured = self.halves
        rows = np.arange(len(chosen))
        beyond = np.flatnonzero(outside)[chosen[:, outside].argmax(1)]
        better = np.flatnonzero(ends)[chosen[:, ends].argmax(1)]
        return Gains(c[beyond], measured[rows, beyond] - measured[rows, better])


class Gains(NamedTuple):
    """Gain of the best extrapolation of each walk over the better end.

    Both are chosen on the even episodes and measured on the odd ones, so that luck in the choice
    does not count.
    """

    coefficient: Float[np.ndarray, " pairs"]
    gain: Float[np.ndarray, " pairs"]


def split_halves(
    coefficients: Sequence[float], returns: Float[np.ndarray, "pairs points episodes"]
) -> Walks:
    """Average single episodes into walks.

    Raises:
        EmbrlError: the number of episodes is odd.
    """
    episodes = returns.shape[-1]
    if episodes % 2 or not episodes:
        raise EmbrlError(f"episodes must be an even number, got {episodes}; they are halved")
    halves = np.stack([returns[..., 0::2].mean(-1), returns[..., 1::2].mean(-1)])
    return Walks(np.asarray(coefficients), halves)


def clarity(pattern: Pattern, walks: Walks) -> Float[np.ndarray, " pairs"]:
    """Return how clearly each walk shows a pattern, in units of return.

    - hill: excess of the best point in between over the better end;
    - valley: shortfall of the worst point in between from the worse end;
    - slope: rise from the worse end to the best point beyond the better one, less the deepest fall
      between the ends; the paper's slopes go on rising.
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
    raise EmbrlError("pattern must be slope, valley or hill, got none")
