"""The Mountain Car (Moore 1990), with the transitions of Gymnasium's MountainCar-v0."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Float, Int

from embrl.core.types import Action, Key, TimeStep
from embrl.envs.checks import check_physics
from embrl.envs.environment import Environment

LEFT, RIGHT, GOAL = -1.2, 0.6, 0.5
"""Ends of the valley, and the position from which an episode terminates."""
START = (-0.6, -0.4)
"""Range of the initial position, uniform."""


@dataclasses.dataclass(frozen=True)
class MountainCarConfig:
    """Settings of the Mountain Car, which is too weak to drive straight up its valley.

    The constants are those of MountainCar-v0.
    """

    force: float = 0.001
    """Change of velocity by a push."""
    gravity: float = 0.0025
    """Largest change of velocity by the slope."""
    most_speed: float = 0.07
    """Largest velocity, in either direction."""
    step_limit: int = 200
    """Steps until an episode is truncated, at least 1."""

    def build(self) -> "MountainCar":
        """Make the environment.

        Raises:
            EmbrlError: If a setting is out of range; the message names it.
        """
        check_physics(self)
        return MountainCar(self)


class MountainCarState(NamedTuple):
    """State of the Mountain Car: the observation and the number of steps taken."""

    observation: Float[Array, "2"]
    steps: Int[Array, ""]


class MountainCar(Environment):
    """The Mountain Car of `MountainCarConfig`.

    Observation: position and velocity. Actions: push to the left, not at all, to the right. Reward:
    -1 a step, the last one too.
    """

    config: MountainCarConfig = eqx.field(static=True)

    @property
    def observation_space(self) -> spaces.Box:
        """Box of the valley and the velocities."""
        speed = self.config.most_speed
        return spaces.Box(
            np.array([LEFT, -speed], np.float32), np.array([RIGHT, speed], np.float32)
        )

    @property
    def action_space(self) -> spaces.Discrete:
        """Three pushes: left, none, right."""
        return spaces.Discrete(3)

    def reset(self, key: Key) -> tuple[MountainCarState, Float[Array, "2"]]:
        """Start an episode at rest, near the bottom."""
        position = jax.random.uniform(key, (), jnp.float32, *START)
        first = jnp.stack([position, jnp.zeros_like(position)])
        return MountainCarState(first, jnp.int32(0)), first

    def step(
        self, key: Key, state: MountainCarState, action: Action
    ) -> tuple[MountainCarState, TimeStep]:
        """Take one step of Moore's equations; the wall on the left stops the car.

        `key` is not used.
        """
        del key
        config = self.config
        position, velocity = state.observation
        push = config.force * (jnp.asarray(action, jnp.float32) - 1.0)
        velocity = velocity + (push - config.gravity * jnp.cos(3 * position))
        velocity = jnp.clip(velocity, -config.most_speed, config.most_speed)
        position = jnp.clip(position + velocity, LEFT, RIGHT)
        velocity = jnp.where((position == jnp.float32(LEFT)) & (velocity < 0), 0.0, velocity)
        after, steps = jnp.stack([position, velocity]), state.steps + 1
        terminated = (position >= GOAL) & (velocity >= 0)
        return MountainCarState(after, steps), TimeStep(
            observation=after,
            reward=jnp.float32(-1.0),
            terminated=terminated,
            truncated=(steps >= config.step_limit) & ~terminated,
        )

    def action_effects(self) -> Float[Array, "3 1"]:
        """Return the push of each action, in units of the strongest."""
        return jnp.array([[-1.0], [0.0], [1.0]], jnp.float32)

    def state_coordinates(self, observation: Float[Array, "*batch 2"]) -> Float[Array, "*batch 2"]:
        """Return the position, and the velocity as a fraction of the largest."""
        return observation / jnp.array([1.0, self.config.most_speed], jnp.float32)

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """Names of the two numbers of an observation."""
        return ("position", "velocity")

    def references(self, key: Key) -> dict[str, float]:
        """Return `solved_return` and `best_known_return`.

        Gymnasium calls a return of -110 solved. The best known return is a bound: the number of
        steps from the start to the goal at full speed.
        """
        del key
        return {
            "best_known_return": -float(np.ceil((GOAL - START[1]) / self.config.most_speed)),
            "solved_return": -110.0,
        }
