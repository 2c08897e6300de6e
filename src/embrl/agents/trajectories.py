"""Whole episodes of a few agents, every state of them: to be looked at."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.agents.architecture import Architecture
from embrl.core.types import Key
from embrl.envs.environment import Environment

TRIED = 32
"""Episodes that the shown one is chosen from."""


class Trajectory(NamedTuple):
    """An episode of each of several agents, from the same start."""

    observations: Float[np.ndarray, "agents steps inputs"]
    """The first is the start; after an episode's end its last observation stands still."""
    lengths: Int[np.ndarray, " agents"]
    """Steps taken."""


@functools.partial(jax.jit, static_argnames=("architecture", "steps", "episodes"))
def _episodes(
    env: Environment,
    architecture: Architecture,
    w: Float[Array, "agents size"],
    key: Key,
    steps: int,
    episodes: int,
) -> tuple[Float[Array, "agents episodes steps inputs"], Int[Array, "agents episodes"]]:
    def one(w: Array, key: Key) -> tuple[Array, Array]:
        state, first = env.reset(key)

        def step(now: tuple, number: Array) -> tuple[tuple, Array]:
            state, seen, over, length = now
            action = jnp.argmax(architecture.logits(w, seen[None])[0])
            after, found = env.step(jax.random.fold_in(key, number), state, action)
            following = jax.tree.map(
                lambda old, new: jnp.where(over, old, new),
                (state, seen),
                (after, found.observation),
            )
            ended = over | found.terminated | found.truncated
            return (*following, ended, length + ~over), following[1]

        start = (state, first, jnp.bool_(False), jnp.int32(0))
        (*_, length), seen = jax.lax.scan(step, start, jnp.arange(steps, dtype=jnp.uint32))
        return jnp.concatenate([first[None], seen]), length

    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(episodes, dtype=jnp.uint32))
    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(w, keys)


def typical(
    env: Environment,
    architecture: Architecture,
    w: Float[np.ndarray, "agents size"],
    key: Key,
    steps: int,
) -> Trajectory:
    """The episode, of `TRIED`, whose lengths are nearest to the agents' means over all of these:
    each agent fares in it as it usually does.

    Arguments:
        steps: of an episode at most.
    """
    seen, lengths = map(np.asarray, _episodes(env, architecture, jnp.asarray(w), key, steps, TRIED))
    away = np.abs(lengths - lengths.mean(1, keepdims=True)).sum(0)
    chosen = int(away.argmin())
    return Trajectory(seen[:, chosen], lengths[:, chosen])
