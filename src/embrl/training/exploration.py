"""Count-based exploration bonus.

As counted by Strehl and Littman (2008) and, where states are too many to count, by Tang et al.
(2017): a step to s' earns up to `bonus / sqrt(N(s'))` on top of its reward, where N counts every
arrival since the start of the run, pre-training and this one included. Only the policy sees the
bonus: embeddings, the replay buffer and every reported return have the environment's own reward.
"""

import math

import gymnasium
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embrl.config.run import ExplorationConfig
from embrl.core.types import Observation, Transition
from embrl.embedding.encoders import RawStates

AXES = 3
"""A continuous state is counted by its cell along this many axes: its own dimensions, or random
directions where it has more."""

CELLS = 24
"""Cells along each axis."""

HASH = 2654435761
"""Knuth's multiplier."""

SPARSE = 0.05
"""Rewarded fraction of episodes below which rewards are sparse (docs/decisions/0044)."""

SPARSE_FACTOR, SPARSE_UNTIL, SPARSE_KNOWN_AFTER = 3.0, 0.5, 10
"""Where rewards are sparse: a factor of the bonus, and what the settings are at least."""

Visits = Int[Array, " counters"]


def rewards_are_sparse(transitions: Transition) -> Bool[Array, ""]:
    """Return whether fewer than one episode in twenty earns a reward above the median.

    An end of an episode that costs nothing, with a reward of at least the median, counts as well:
    where every timestep costs the same until a goal is reached, it is all that can be seen of it.

    Args:
        transitions: of random actions, of any shape.
    """
    reward, terminated = transitions.reward, transitions.terminated
    median = jnp.median(reward)
    rewarded = (reward > median) | (terminated & (reward >= median))
    episodes = jnp.maximum((terminated | transitions.truncated).sum(), 1)
    return rewarded.sum() < SPARSE * episodes


class VisitCounter:
    """Visit counts of states, for one observation space."""

    def __init__(self, space: gymnasium.Space, config: ExplorationConfig) -> None:
        self.raw, self.config = RawStates(space), config
        if count := self.raw.length:
            draw = np.random.default_rng(0).normal(size=(count, AXES))
            axes = draw / np.linalg.norm(draw, axis=0) if count > AXES else np.eye(count)
            self.axes = axes.astype(np.float32)  # NumPy: not an array of a trace

    def zeros(self) -> Visits:
        """Return counters of 0."""
        return jnp.zeros(self.config.num_counters, jnp.int32)

    def counter(self, observation: Observation) -> Int[Array, "*batch"]:
        """Return the index of a state's counter."""
        number, sizes = self.raw.number(observation), self.raw.sizes
        if self.raw.length:
            scaled = self.raw.vector(observation)
            cells = jnp.clip((0.5 * (scaled @ self.axes) + 0.5) * CELLS, 0, CELLS - 1)
            grid = (CELLS,) * cells.shape[-1]
            within = cells.astype(jnp.uint32) @ np.cumprod((1, *grid[1:]), dtype=np.uint32)
            number, sizes = number * np.uint32(math.prod(grid)) + within, (*sizes, *grid)
        if math.prod(sizes) > self.config.num_counters:
            number = (number * np.uint32(HASH)) >> np.uint32(8)
        return (number % np.uint32(self.config.num_counters)).astype(jnp.int32)

    def count(self, visits: Visits, transitions: Transition) -> Visits:
        """Return the counters after these arrivals."""
        return visits.at[self.counter(transitions.next_observation).ravel()].add(1)

    def bonus(
        self,
        visits: Visits,
        next_observation: Observation,
        progress: Float[Array, ""],
        sparse: Bool[Array, ""] | None = None,
    ) -> Float[Array, "*batch"]:
        """Return the bonus for reaching these states.

        A state that was never counted earns the bonus of a first visit.

        Args:
            visits: counters.
            next_observation: the states reached; a centred bonus is 0 on average over them.
            progress: fraction of training completed.
            sparse: whether to explore more, as rewards are sparse; None: as if they are not.
        """
        config = self.config
        size, until, known_after = config.bonus, config.until, config.known_after
        centred = config.centred
        if sparse is not None:
            size = jnp.where(sparse, SPARSE_FACTOR * size, size)
            until = jnp.where(sparse, jnp.maximum(until, SPARSE_UNTIL), until)
            known_after = jnp.where(sparse, max(known_after, SPARSE_KNOWN_AFTER), known_after)
            centred = sparse | centred
        count = jnp.maximum(visits[self.counter(next_observation)], 1)
        remaining = jnp.maximum(1.0 - progress / until, 0.0)
        bonus = size * remaining / jnp.sqrt(count.astype(jnp.float32))
        if config.known_after:
            bonus = jnp.where(count > known_after, 0.0, bonus)
        return bonus - jnp.where(centred, bonus.mean(), 0.0)
