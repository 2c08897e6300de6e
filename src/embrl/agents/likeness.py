"""How alike the agents of each group decide and represent: Chang et al. (2018) say that good ones
decide differently despite similar representations, and bad ones alike with dissimilar ones.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from embrl.agents.architecture import Architecture
from embrl.agents.similarity import Similarity, similarity
from embrl.agents.visits import visited
from embrl.envs.environment import Environment

STATES = 1024
"""On which agents are compared, of all groups together."""
VISITORS = 64
"""Agents of each group whose visited states these are."""


def shared_states(
    env: Environment,
    architecture: Architecture,
    w: Float[np.ndarray, "N size"],
    group: Int[np.ndarray, " N"],
    seed: int = 0,
    count: int = STATES,
) -> Float[np.ndarray, "states inputs"]:
    """States that agents visit when they act, as many from the agents of each group as from those
    of any other; within a group every agent that is asked counts alike.
    """
    rng, found = np.random.default_rng(seed), []
    names = np.unique(group)
    for at, name in enumerate(names):
        some = rng.permutation(np.flatnonzero(group == name))[:VISITORS]
        # As many of every group, so that one compiled program serves.
        asked = jnp.asarray(w[np.resize(some, VISITORS)])
        seen = visited(env, architecture, asked, jax.random.fold_in(jax.random.key(seed), at))
        flat = np.asarray(seen[: len(some)]).reshape(-1, architecture.inputs)
        share = count // len(names) + (at < count % len(names))
        found.append(flat[rng.permutation(len(flat))[:share]])
    return np.concatenate(found)


def unrelated_pairs(
    lineage: Int[np.ndarray, " N"], wanted: int, seed: int = 0
) -> Int[np.ndarray, "pairs 2"]:
    """Pairs of agents of different lineages, no lineage in two of them: what is measured on them is
    independent, and an interval over pairs is as wide as it should be.

    **Returns** `wanted` pairs, or half as many as there are lineages.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(lineage))
    _, first = np.unique(np.asarray(lineage)[shuffled], return_index=True)
    chosen = rng.permutation(shuffled[first])
    count = min(wanted, len(chosen) // 2)
    return chosen[: 2 * count].reshape(count, 2)


def likeness(
    architecture: Architecture,
    w: Float[np.ndarray, "N size"],
    lineage: Int[np.ndarray, " N"],
    group: Int[np.ndarray, " N"],
    states: Mapping[int, Float[np.ndarray, "states inputs"]],
    wanted: int,
    seed: int = 0,
) -> dict[int, Similarity]:
    """Pairs of agents within each group, compared on the states that are given for that group.

    Groups of fewer than two lineages are left out.
    """
    found = {}
    for name in map(int, np.unique(group)):
        mine = np.flatnonzero(group == name)
        chosen = mine[unrelated_pairs(np.asarray(lineage)[mine], wanted, seed)]
        if len(chosen):
            found[name] = similarity(architecture, w[chosen[:, 0]], w[chosen[:, 1]], states[name])
    return found
