"""Count-based exploration bonus.

As counted by Strehl and Littman (2008) and, where states are too many to count, by Tang et al.
(2017): a step to s' earns up to `bonus / sqrt(N(s'))` on top of its reward, where N counts every
arrival since the start of the run, pre-training and this one included. Only the policy sees the
bonus: embeddings, the replay buffer and every reported return have the environment's own reward.
"""

import math
from typing import NamedTuple

import gymnasium
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

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

MEMORY = 0.9
"""What an episode counts after an update, relative to before."""

FADING = 0.1
"""Share of truncated episodes below which a bonus `while_truncated` fades: a lower one than 1, as
it is still needed where the goal is found now and then."""

Visits = Int[Array, " counters"]


class Endings(NamedTuple):
    """Recent episodes by their ends; older ones count less."""

    all: Float[Array, ""]
    terminated: Float[Array, ""]

    @classmethod
    def none(cls) -> "Endings":
        """Return those of no episodes."""
        return cls(jnp.float32(0.0), jnp.float32(0.0))

    def after(self, transitions: Transition) -> "Endings":
        """Return the endings after those of a rollout."""
        terminated = transitions.terminated
        ended = terminated | transitions.truncated
        return Endings(MEMORY * self.all + ended.sum(), MEMORY * self.terminated + terminated.sum())

    def truncated(self) -> Float[Array, ""]:
        """Return the share of episodes that the step limit ended; 1 before there are any."""
        return 1.0 - self.terminated / jnp.maximum(self.all, 1e-6)


class Visited(NamedTuple):
    """What the bonus depends on."""

    visits: Visits
    endings: Endings


class VisitCounter:
    """Visit counts of states, for one observation space."""

    def __init__(self, space: gymnasium.Space, config: ExplorationConfig) -> None:
        self.raw, self.config = RawStates(space), config
        if count := self.raw.length:
            draw = np.random.default_rng(0).normal(size=(count, AXES))
            axes = draw / np.linalg.norm(draw, axis=0) if count > AXES else np.eye(count)
            self.axes = axes.astype(np.float32)  # NumPy: not an array of a trace

    def zeros(self) -> Visited:
        """Return counters of 0."""
        return Visited(jnp.zeros(self.config.num_counters, jnp.int32), Endings.none())

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

    def count(self, visited: Visited, transitions: Transition) -> Visited:
        """Return the counters after these arrivals."""
        reached = self.counter(transitions.next_observation).ravel()
        return Visited(visited.visits.at[reached].add(1), visited.endings.after(transitions))

    def bonus(
        self, visited: Visited, next_observation: Observation, progress: Float[Array, ""]
    ) -> Float[Array, "*batch"]:
        """Return the bonus for reaching these states.

        A state that was never counted earns the bonus of a first visit.

        Args:
            visited: counters.
            next_observation: the states reached; a centred bonus is 0 on average over them.
            progress: fraction of training completed.
        """
        config = self.config
        count = jnp.maximum(visited.visits[self.counter(next_observation)], 1)
        remaining = jnp.maximum(1.0 - progress / config.until, 0.0)
        if config.while_truncated:
            remaining *= jnp.minimum(visited.endings.truncated() / FADING, 1.0)
        bonus = config.bonus * remaining / jnp.sqrt(count.astype(jnp.float32))
        if config.known_after:
            bonus = jnp.where(count > config.known_after, 0.0, bonus)
        return bonus - bonus.mean() if config.centred else bonus
