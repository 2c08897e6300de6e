"""A custom environment: a corridor with a door in it.

Each of 64 actions walks a number of cells, from the longest walk back to the longest walk ahead, so
that neighbouring actions have similar effects. A step costs the distance left to the door, as a
fraction of the corridor; in the cell with the door the episode terminates.

embrl --plugin examples/corridor.py train corridor
"""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array

import embrl
from embrl.core.types import TimeStep
from embrl.envs import Environment
from embrl.envs.checks import check_whole

ACTIONS = 64


@embrl.register_environment("corridor")
@dataclasses.dataclass(frozen=True)
class CorridorConfig:
    """Settings of the corridor; each is a flag, and the text below it is its help."""

    length: int = 40
    """Length of the corridor in cells, at least 2."""
    reach: int = 8
    """Length of the longest walk in cells, 1 to 16."""
    step_limit: int = 20
    """Steps until an episode is truncated, at least 1."""

    def build(self) -> "Corridor":
        check_whole("length", self.length, 2)
        check_whole("reach", self.reach, 1, 16)
        check_whole("step_limit", self.step_limit, 1)
        return Corridor(self)


class CorridorState(NamedTuple):
    cell: Array
    steps: Array


class Corridor(Environment):
    """The corridor as pure functions; arrays are parameters, what decides shapes is static."""

    walks: Array
    length: int = eqx.field(static=True)
    step_limit: int = eqx.field(static=True)

    def __init__(self, config: CorridorConfig) -> None:
        walks = np.linspace(-config.reach, config.reach, ACTIONS).round()
        self.walks = jnp.asarray(walks, jnp.int32)
        self.length, self.step_limit = config.length, config.step_limit

    @property
    def door(self) -> int:
        return 3 * self.length // 4

    @property
    def observation_space(self) -> spaces.Discrete:
        return spaces.Discrete(self.length)

    @property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(ACTIONS)

    def reset(self, key: Array) -> tuple[CorridorState, Array]:
        cell = jax.random.randint(key, (), 0, self.length, jnp.int32)
        return CorridorState(cell, jnp.int32(0)), cell

    def step(
        self, key: Array, state: CorridorState, action: Array
    ) -> tuple[CorridorState, TimeStep]:
        del key  # steps are deterministic
        cell = jnp.clip(state.cell + self.walks[action], 0, self.length - 1)
        steps = state.steps + 1
        away = jnp.abs(cell - self.door)
        return CorridorState(cell, steps), TimeStep(
            observation=cell,
            reward=-away.astype(jnp.float32) / self.length,
            terminated=away == 0,
            truncated=(away > 0) & (steps >= self.step_limit),
        )

    # The rest is optional: reports use it.

    def action_effects(self) -> Array:
        return self.walks[:, None].astype(jnp.float32)

    def state_coordinates(self, observation: Array) -> Array:
        return observation[..., None].astype(jnp.float32)

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        return ("cell",)

    def references(self, key: Array) -> dict[str, float]:
        del key
        away = np.abs(np.arange(self.length) - self.door)
        walked = int(self.walks.max()) * np.arange(1, self.step_limit + 1)
        left = np.maximum(away[:, None] - walked, 0)
        return {"best_known_return": -float(left.sum(axis=1).mean()) / self.length}
