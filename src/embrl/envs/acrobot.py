"""The Acrobot (Sutton 1996), with the transitions of Gymnasium's Acrobot-v1."""

import dataclasses
import math
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


@dataclasses.dataclass(frozen=True)
class AcrobotConfig:
    """Settings of the Acrobot: two links hang from a bar, and the joint between them is driven.

    The constants are those of Acrobot-v1, with the dynamics of Sutton and Barto's book.
    """

    gravity: float = 9.8
    """Gravitational acceleration, m/s^2."""
    first_mass: float = 1.0
    """Mass of the link at the bar, kg."""
    second_mass: float = 1.0
    """Mass of the second link, kg."""
    length: float = 1.0
    """Length of the link at the bar, m; of the second link, only the centre of mass matters."""
    first_centre: float = 0.5
    """Distance from the bar to the first link's centre of mass, m."""
    second_centre: float = 0.5
    """Distance from the joint to the second link's centre of mass, m."""
    inertia: float = 1.0
    """Moment of inertia of each link, kg m^2."""
    torque: float = 1.0
    """Torque of actions 0 and 2 on the joint, N m."""
    tau: float = 0.2
    """Duration of a step, s (one step of the fourth-order Runge-Kutta method)."""
    most_first_spin: float = 4 * math.pi
    """Largest angular velocity of the first link, in either direction, rad/s."""
    most_second_spin: float = 9 * math.pi
    """Largest angular velocity of the second link, in either direction, rad/s."""
    height: float = 1.0
    """Height of the free end above the bar at which an episode terminates, m."""
    spread: float = 0.1
    """Range of the initial angles and angular velocities: uniform in -spread to spread."""
    step_limit: int = 500
    """Steps until an episode is truncated, at least 1."""

    def build(self) -> "Acrobot":
        """Make the environment.

        Raises:
            EmbrlError: If a setting is out of range; the message names it.
        """
        check_physics(self)
        return Acrobot(self)


class AcrobotState(NamedTuple):
    """State of the Acrobot: angles, angular velocities and the number of steps taken.

    Angle 0 hangs down; the second angle is relative to the first.
    """

    links: Float[Array, "4"]
    steps: Int[Array, ""]


class Acrobot(Environment):
    """The Acrobot of `AcrobotConfig`.

    Observation: cosine and sine of each angle, then the angular velocities. Actions: a torque of
    -1, 0 or 1. Reward: -1 a step, 0 for the one that reaches the height.
    """

    config: AcrobotConfig = eqx.field(static=True)

    @property
    def observation_space(self) -> spaces.Box:
        """Box up to 1 for cosines and sines, and up to the largest angular velocities."""
        config = self.config
        high = np.array([1, 1, 1, 1, config.most_first_spin, config.most_second_spin], np.float32)
        return spaces.Box(-high, high, dtype=np.float32)

    @property
    def action_space(self) -> spaces.Discrete:
        """Three torques: one direction, none, the other direction."""
        return spaces.Discrete(3)

    def reset(self, key: Key) -> tuple[AcrobotState, Float[Array, "6"]]:
        """Start an episode, nearly hanging down and nearly at rest."""
        spread = self.config.spread
        links = jax.random.uniform(key, (4,), jnp.float32, -spread, spread)
        return AcrobotState(links, jnp.int32(0)), _observed(links)

    def step(self, key: Key, state: AcrobotState, action: Action) -> tuple[AcrobotState, TimeStep]:
        """Take one step of the Runge-Kutta method; `key` is not used."""
        del key
        config = self.config
        torque = config.torque * (jnp.asarray(action, jnp.float32) - 1.0)
        now, tau = state.links, config.tau
        k1 = self._derivative(now, torque)
        k2 = self._derivative(now + tau / 2 * k1, torque)
        k3 = self._derivative(now + tau / 2 * k2, torque)
        k4 = self._derivative(now + tau * k3, torque)
        first, second, spin, other = now + tau / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        first, second = _wrapped(first), _wrapped(second)
        links = jnp.stack(
            [
                first,
                second,
                jnp.clip(spin, -config.most_first_spin, config.most_first_spin),
                jnp.clip(other, -config.most_second_spin, config.most_second_spin),
            ]
        )
        steps = state.steps + 1
        terminated = -jnp.cos(first) - jnp.cos(second + first) > config.height
        return AcrobotState(links, steps), TimeStep(
            observation=_observed(links),
            reward=jnp.where(terminated, 0.0, -1.0).astype(jnp.float32),
            terminated=terminated,
            truncated=(steps >= config.step_limit) & ~terminated,
        )

    def _derivative(self, links: Float[Array, "4"], torque: Float[Array, ""]) -> Float[Array, "4"]:
        """Return the time derivative of the links (Sutton and Barto, first edition, fig. 11.4)."""
        config = self.config
        first, second, spin, other = links
        m1, m2, l1 = config.first_mass, config.second_mass, config.length
        c1, c2, inertia, g = (
            config.first_centre,
            config.second_centre,
            config.inertia,
            config.gravity,
        )
        cos, sin = jnp.cos(second), jnp.sin(second)
        d1 = m1 * c1**2 + m2 * (l1**2 + c2**2 + 2 * l1 * c2 * cos) + 2 * inertia
        d2 = m2 * (c2**2 + l1 * c2 * cos) + inertia
        phi2 = m2 * c2 * g * jnp.sin(first + second)
        phi1 = (
            -m2 * l1 * c2 * other * (other + 2 * spin) * sin
            + (m1 * c1 + m2 * l1) * g * jnp.sin(first)
            + phi2
        )
        bend = (torque + d2 / d1 * phi1 - m2 * l1 * c2 * spin**2 * sin - phi2) / (
            m2 * c2**2 + inertia - d2**2 / d1
        )
        return jnp.stack([spin, other, -(d2 * bend + phi1) / d1, bend])

    def action_effects(self) -> Float[Array, "3 1"]:
        """Return the torque of each action, in units of the strongest."""
        return jnp.array([[-1.0], [0.0], [1.0]], jnp.float32)

    def state_coordinates(self, observation: Float[Array, "*batch 6"]) -> Float[Array, "*batch 6"]:
        """Return the observation, with angular velocities as fractions of the largest."""
        return observation / jnp.asarray(self.observation_space.high)

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """Names of the six numbers of an observation."""
        return (
            "first cosine",
            "first sine",
            "second cosine",
            "second sine",
            "first angular velocity",
            "second angular velocity",
        )

    def references(self, key: Key) -> dict[str, float]:
        """Return `solved_return` and `best_known_return`.

        Gymnasium calls a return of -100 solved. The best known return, 0, is a bound that cannot be
        reached, as the links hang down at first.
        """
        del key
        return {"best_known_return": 0.0, "solved_return": -100.0}


def _observed(links: Float[Array, "4"]) -> Float[Array, "6"]:
    first, second, spin, other = links
    return jnp.stack(
        [jnp.cos(first), jnp.sin(first), jnp.cos(second), jnp.sin(second), spin, other]
    )


def _wrapped(angle: Float[Array, ""]) -> Float[Array, ""]:
    """Wrap an angle to -pi to pi; angles within stay as they are to the last bit."""
    turns = jnp.ceil((jnp.abs(angle) - math.pi) / (2 * math.pi))
    return angle - jnp.sign(angle) * 2 * math.pi * jnp.maximum(turns, 0.0)
