"""A bonus for states that were seldom reached: exploration that any run can switch on.

As counted by Strehl and Littman (2008) and, where states are too many to count, by Tang et al.
(2017): a step to s' earns up to `bonus / sqrt(N(s'))` on top of its reward, N counting every
arrival since the run's first step, pre-training and this one included. The policy alone sees the
bonus: embeddings, the buffer and every reported return have the environment's own reward.
"""

import math

import gymnasium
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.config.run import ExploreConfig
from embrl.core.types import Observation, Transition
from embrl.embedding.encoders import RawStates

AXES = 3
"""A continuous state is counted by its cell along so many axes: its own, or random directions
where it has more."""

PARTS = 24
"""Cells of each axis."""

HASH = 2654435761
"""Knuth's multiplier."""


Visits = Int[Array, " cells"]


class Novelty:
    """Which counter a state belongs to, for one space of observations."""

    def __init__(self, space: gymnasium.Space, config: ExploreConfig) -> None:
        self.raw, self.config = RawStates(space), config
        if isinstance(self.raw.features, int):
            count = self.raw.features
            draw = np.random.default_rng(0).normal(size=(count, AXES))
            axes = draw / np.linalg.norm(draw, axis=0) if count > AXES else np.eye(count)
            self.axes = axes.astype(np.float32)  # no array of a trace

    def new(self) -> Visits:
        """Nothing was reached yet."""
        return jnp.zeros(self.config.cells, jnp.int32)

    def cell(self, observation: Observation) -> Int[Array, "*batch"]:
        """The number of a state's counter."""
        if isinstance(self.raw.features, int):
            places = (0.5 * (self.raw(observation) @ self.axes) + 0.5) * PARTS
            places = jnp.clip(places, 0, PARTS - 1).astype(jnp.uint32)
            sizes = (PARTS,) * places.shape[-1]
            number = places @ np.cumprod((1, *sizes[1:]), dtype=np.uint32)
        else:
            number, sizes = self.raw.number(observation), self.raw.features
        if math.prod(sizes) > self.config.cells:
            number = (number * np.uint32(HASH)) >> np.uint32(8)
        return (number % np.uint32(self.config.cells)).astype(jnp.int32)

    def seen(self, visits: Visits, transitions: Transition) -> Visits:
        """The counters after these arrivals."""
        cells = self.cell(transitions.next_observation).ravel()
        return visits.at[cells].add(1)

    def bonus(
        self, visits: Visits, next_observation: Observation, done: Float[Array, ""]
    ) -> Float[Array, "*batch"]:
        """What reaching these states is worth; a state never counted as if for the first time.

        Arguments:
            done: share of the training that lies behind.
        """
        config = self.config
        count = jnp.maximum(visits[self.cell(next_observation)], 1)
        left = jnp.maximum(1.0 - done / config.until, 0.0)
        bonus = config.bonus * left / jnp.sqrt(count.astype(jnp.float32))
        return jnp.where(count > config.known, 0.0, bonus) if config.known else bonus
