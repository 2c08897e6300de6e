"""The fewest steps to the goal of a gridworld, by breadth-first search over true positions."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from embrl.envs.square import Square

RESOLUTION = 100
"""One position is followed up for each cell of a RESOLUTION x RESOLUTION grid."""

BLOCK = 1024
"""Positions that are expanded at once; the last block is padded, so that one size compiles."""


def fewest_steps(env: "Square") -> int | None:
    """Steps from the start to the goal; None if no path was found within the step limit.

    Every path that is counted can be walked: positions are exact, and only the choice of which of
    several nearby ones to follow up is coarse. So this is an upper bound of the true minimum, and
    the return it stands for can be reached. Paths with a collision are not followed.
    """
    actions = jnp.asarray(_distinct(np.asarray(env.motions)), jnp.int32)
    key = jax.random.key(0)  # the square is deterministic and does not use it
    origin, _ = env.reset(key)

    @jax.jit
    def expand(positions: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        def one(position: jax.Array, action: jax.Array):
            state, after = env.step(key, origin._replace(position=position), action)
            free = after.terminated | (after.reward > -0.02)  # a collision costs more
            return state.position, after.terminated, free

        return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(positions, actions)

    seen = np.zeros(RESOLUTION**2, bool)
    frontier = np.asarray(env.start)[None]
    for steps in range(1, env.step_limit + 1):
        found = []
        for start in range(0, len(frontier), BLOCK):
            block = frontier[start : start + BLOCK]
            # Padding repeats a position of the block and so adds nothing new.
            padded = np.concatenate([block, np.repeat(block[:1], BLOCK - len(block), axis=0)])
            positions, terminated, free = (np.asarray(part) for part in expand(padded))
            if terminated.any():
                return steps
            found.append(_new(positions[free], seen))
        frontier = np.concatenate(found)
        if not len(frontier):
            return None
    return None


def _new(positions: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """One position for each cell that was not seen before; marks those cells."""
    columns, rows = np.minimum((positions * RESOLUTION).astype(int), RESOLUTION - 1).T
    cells, first = np.unique(rows * RESOLUTION + columns, return_index=True)
    fresh = ~seen[cells]
    seen[cells[fresh]] = True
    return positions[first[fresh]]


def _distinct(motions: np.ndarray) -> np.ndarray:
    return np.unique(motions, axis=0, return_index=True)[1]
