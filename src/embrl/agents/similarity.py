"""Similarity of agents' decisions and of their hidden representations.

Two agents whose logits differ by a factor act alike. So logits are centred (their mean over the
actions is subtracted) and divided by the agent's own root mean square of them:

    v(s, a) = (l(s, a) - mean_b l(s, b)) / rms,    rms^2 = mean over states and actions of the above

These *votes* v are what decisions are compared by.

Chang et al. (2018) report that good agents decide differently despite similar representations, and
bad ones alike with dissimilar ones; `group_similarity` measures both.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.agents.architecture import Architecture
from embrl.agents.episodes import visited_states
from embrl.envs.environment import Environment

SHARPNESS = 3.0
"""Factor of votes in the compared policies, softmax(SHARPNESS v).

Decisions are nearly certain where an agent's logits differ as they usually do, and open near the
boundary.
"""

MIN_PROBABILITY = 1e-30
"""Lower bound of probabilities before their logarithm."""


def centred(logits: Float[Array, "*batch A"]) -> Float[Array, "*batch A"]:
    """Return logits with a mean of 0 over the actions."""
    return logits - logits.mean(-1, keepdims=True)


def size(logits: Float[Array, "*batch S A"]) -> Float[Array, "*batch"]:
    """Return the root mean square of an agent's centred logits, at least 1e-6."""
    return jnp.sqrt(jnp.maximum((centred(logits) ** 2).mean((-2, -1)), 1e-12))


def votes(logits: Float[Array, "*batch S A"]) -> Float[Array, "*batch S A"]:
    """Return the votes v of an agent from its logits in S states."""
    return centred(logits) / size(logits)[..., None, None]


def votes_from_probabilities(
    probabilities: Float[Array, "*batch S A"],
) -> Float[Array, "*batch S A"]:
    """Return the votes v of an agent from its action probabilities in S states."""
    return votes(jnp.log(jnp.maximum(probabilities, MIN_PROBABILITY)))


def divergence(
    votes: Float[Array, "*batch A"], logits: Float[Array, "*batch A"]
) -> Float[Array, "*batch"]:
    """Return KL(softmax(SHARPNESS v) || softmax(logits)), in nats.

    To second order, with two actions, it is p (1 - p) / 2 times the squared error of the difference
    of logits: errors count where the decision is open, and little where it is clear.
    """
    target = jax.nn.log_softmax(SHARPNESS * votes)
    return (jnp.exp(target) * (target - jax.nn.log_softmax(logits))).sum(-1)


def agreement(
    logits: Float[Array, "*batch S A"], others: Float[Array, "*batch S A"]
) -> Float[Array, "*batch"]:
    """Return the fraction of states in which both agents choose the same action."""
    return (logits.argmax(-1) == others.argmax(-1)).mean(-1)


AT_ONCE = 256
"""Pairs compared at a time; hidden activations of all of them would not fit into memory."""


class Similarity(NamedTuple):
    """Similarity of pairs of agents."""

    decisions: Float[np.ndarray, " pairs"]
    """Fraction of states in which both choose the same action."""
    chance: Float[np.ndarray, " pairs"]
    """Expected fraction if each chose its actions as often, but at random."""
    representations: Float[np.ndarray, "pairs layers"]
    """CKA of each hidden layer's activations; NaN where one of the two is constant."""


def similarity(
    architecture: Architecture,
    one: Float[np.ndarray, "pairs size"],
    other: Float[np.ndarray, "pairs size"],
    states: Float[np.ndarray, "states inputs"],
) -> Similarity:
    """Compare the agents of each pair on the same states."""
    seen = jnp.asarray(states)

    @jax.jit
    def compare(one: Array, other: Array) -> Similarity:
        *mine, my_logits = architecture.activities(one, seen)
        *its, its_logits = architecture.activities(other, seen)
        my_choice, its_choice = my_logits.argmax(-1), its_logits.argmax(-1)
        actions = jnp.arange(architecture.outputs)
        often = [(choice[:, None] == actions).mean(0) for choice in (my_choice, its_choice)]
        return Similarity(
            (my_choice == its_choice).mean(),  # type: ignore[arg-type]
            (often[0] * often[1]).sum(),  # type: ignore[arg-type]
            jnp.stack([cka(x, y) for x, y in zip(mine, its, strict=True)]),  # type: ignore[arg-type]
        )

    parts = [
        jax.vmap(compare)(one[at : at + AT_ONCE], other[at : at + AT_ONCE])
        for at in range(0, len(one), AT_ONCE)
    ]
    return jax.tree.map(lambda *columns: np.concatenate(columns), *parts)


def cka(x: Float[Array, "states n"], y: Float[Array, "states m"]) -> Float[Array, ""]:
    """Return the linear centred kernel alignment of two sets of activations.

    `||Y'X||^2 / (||X'X|| ||Y'Y||)` with centred columns (Kornblith et al. 2019, eq. 3): 1 where one
    is a rotation and scaling of the other.
    """
    x, y = x - x.mean(0), y - y.mean(0)

    def norm(matrix: Array) -> Array:
        return jnp.sqrt((matrix**2).sum())

    return norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y))


def pairs(count: int, wanted: int, seed: int) -> Int[np.ndarray, "pairs 2"]:
    """Draw pairs of different ones of `count` items, with replacement."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, count, wanted)
    second = (first + rng.integers(1, count, wanted)) % count
    return np.stack([first, second], axis=1)


def kappa(found: Similarity) -> Float[np.ndarray, " pairs"]:
    """Return Cohen's kappa, agreement beyond chance, at most 1; NaN if both are constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (found.decisions - found.chance) / (1.0 - found.chance)


def layer_names(hidden: Sequence[int]) -> list[str]:
    """Return the names of the columns of `Similarity.representations`."""
    return [f"hidden layer {number + 1}" for number in range(len(hidden))]


STATES = 1024
"""Number of states on which agents are compared, over all groups."""
VISITORS = 64
"""Agents of each group that provide these states."""


def shared_states(
    env: Environment,
    architecture: Architecture,
    w: Float[np.ndarray, "N size"],
    group: Int[np.ndarray, " N"],
    seed: int = 0,
    count: int = STATES,
) -> Float[np.ndarray, "states inputs"]:
    """Return states that agents visit, equally many from the agents of each group.

    Within a group every sampled agent counts alike.
    """
    rng, found = np.random.default_rng(seed), []
    names = np.unique(group)
    for at, name in enumerate(names):
        some = rng.permutation(np.flatnonzero(group == name))[:VISITORS]
        # Equally many of every group, so that it is compiled once.
        asked = jnp.asarray(w[np.resize(some, VISITORS)])
        seen = visited_states(
            env, architecture, asked, jax.random.fold_in(jax.random.key(seed), at)
        )
        flat = np.asarray(seen[: len(some)]).reshape(-1, architecture.inputs)
        share = count // len(names) + (at < count % len(names))
        found.append(flat[rng.permutation(len(flat))[:share]])
    return np.concatenate(found)


def unrelated_pairs(
    lineage: Int[np.ndarray, " N"], wanted: int, seed: int = 0
) -> Int[np.ndarray, "pairs 2"]:
    """Draw pairs of agents of different lineages, each lineage in at most one pair.

    Measurements on the pairs are then independent, so intervals over pairs are valid.

    Returns:
        `wanted` pairs, or half as many as there are lineages.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(lineage))
    _, first = np.unique(np.asarray(lineage)[shuffled], return_index=True)
    chosen = rng.permutation(shuffled[first])
    count = min(wanted, len(chosen) // 2)
    return chosen[: 2 * count].reshape(count, 2)


def group_similarity(
    architecture: Architecture,
    w: Float[np.ndarray, "N size"],
    lineage: Int[np.ndarray, " N"],
    group: Int[np.ndarray, " N"],
    states: Mapping[int, Float[np.ndarray, "states inputs"]],
    wanted: int,
    seed: int = 0,
) -> dict[int, Similarity]:
    """Compare pairs of agents within each group, on that group's states.

    Groups of fewer than two lineages are left out.
    """
    found = {}
    for name in map(int, np.unique(group)):
        mine = np.flatnonzero(group == name)
        chosen = mine[unrelated_pairs(np.asarray(lineage)[mine], wanted, seed)]
        if len(chosen):
            found[name] = similarity(architecture, w[chosen[:, 0]], w[chosen[:, 1]], states[name])
    return found
