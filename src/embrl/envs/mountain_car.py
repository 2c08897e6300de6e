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
from embrl.envs.checks import check_positive, check_whole
from embrl.envs.environment import Environment

LEFT, RIGHT, GOAL = -1.2, 0.6, 0.5
START = (-0.6, -0.4)


@dataclasses.dataclass(frozen=True)
class MountainCarConfig:
    """A car in a valley, too weak to drive straight up; the constants are those of
    MountainCar-v0.
    """

    force: float = 0.001
    """What a push adds to the velocity."""
    gravity: float = 0.0025
    """What the slope adds to it at most."""
    most_speed: float = 0.07
    """Velocity is cut off here, to either side."""
    step_limit: int = 200
    """Steps until an episode is truncated."""

    def build(self) -> "MountainCar":
        """Makes the environment.

        Raises:
            EmbrlError: a field is out of range; the message names it.
        """
        for name in ("force", "gravity", "most_speed"):
            check_positive(name, getattr(self, name))
        check_whole("step_limit", self.step_limit, 1)
        return MountainCar(self)


class MountainCarState(NamedTuple):
    """What is observed, and the steps taken."""

    observation: Float[Array, "2"]
    steps: Int[Array, ""]


class MountainCar(Environment):
    """See `MountainCarConfig`.

    Observation: position and velocity. Actions: push to the left, not at all, to the right. A step
    is worth -1, the last one too.
    """

    config: MountainCarConfig = eqx.field(static=True)

    @property
    def observation_space(self) -> spaces.Box:
        """The valley, and the speed limit."""
        speed = self.config.most_speed
        return spaces.Box(
            np.array([LEFT, -speed], np.float32), np.array([RIGHT, speed], np.float32)
        )

    @property
    def action_space(self) -> spaces.Discrete:
        """Left, nothing, right."""
        return spaces.Discrete(3)

    def reset(self, key: Key) -> tuple[MountainCarState, Float[Array, "2"]]:
        """At rest, near the bottom."""
        position = jax.random.uniform(key, (), jnp.float32, *START)
        first = jnp.stack([position, jnp.zeros_like(position)])
        return MountainCarState(first, jnp.int32(0)), first

    def step(
        self, key: Key, state: MountainCarState, action: Action
    ) -> tuple[MountainCarState, TimeStep]:
        """The equations of Moore's car; the wall on the left stops it. `key` is not used."""
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
        """The push, in units of the strongest."""
        return jnp.array([[-1.0], [0.0], [1.0]], jnp.float32)

    def state_coordinates(self, observation: Float[Array, "*batch 2"]) -> Float[Array, "*batch 2"]:
        """The position, and the velocity as a share of the highest."""
        return observation / jnp.array([1.0, self.config.most_speed], jnp.float32)

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """Of the two numbers of an observation."""
        return ("position", "velocity")

    def references(self, key: Key) -> dict[str, float]:
        """`solved_return`: -110, which Gymnasium takes for solved; `best_known_return`: a bound,
        as the way from the start to the goal takes so many steps at full speed.
        """
        del key
        return {
            "best_known_return": -float(np.ceil((GOAL - START[1]) / self.config.most_speed)),
            "solved_return": -110.0,
        }
