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
from embrl.envs.checks import check_positive, check_whole
from embrl.envs.environment import Environment


@dataclasses.dataclass(frozen=True)
class AcrobotConfig:
    """Two links hang from a bar, and the joint between them turns; the constants are those of
    Acrobot-v1, with the dynamics of Sutton and Barto's book.
    """

    gravity: float = 9.8
    """m/s^2."""
    first_mass: float = 1.0
    """kg, of the link at the bar."""
    second_mass: float = 1.0
    """kg."""
    length: float = 1.0
    """Of the link at the bar, m. (The other's own length is in its centre alone.)"""
    first_centre: float = 0.5
    """From a link's beginning to its centre of mass, m."""
    second_centre: float = 0.5
    """m."""
    inertia: float = 1.0
    """Of either link, kg m^2."""
    torque: float = 1.0
    """Of a turn, N m."""
    tau: float = 0.2
    """Seconds a step takes (one step of Runge-Kutta's method of order 4)."""
    most_first_spin: float = 4 * math.pi
    """Angular velocity of the first link is cut off here, 1/s."""
    most_second_spin: float = 9 * math.pi
    """1/s."""
    height: float = 1.0
    """Of the end of the second link over the bar, where an episode ends."""
    spread: float = 0.1
    """Each number of the first state is uniform up to this, to either side."""
    step_limit: int = 500
    """Steps until an episode is truncated."""

    def build(self) -> "Acrobot":
        """Makes the environment.

        Raises:
            EmbrlError: a field is out of range; the message names it.
        """
        for field in dataclasses.fields(self):
            if field.name != "step_limit":
                check_positive(field.name, getattr(self, field.name))
        check_whole("step_limit", self.step_limit, 1)
        return Acrobot(self)


class AcrobotState(NamedTuple):
    """Angles (0 hangs; the second from the first on), angular velocities, and the steps taken."""

    links: Float[Array, "4"]
    steps: Int[Array, ""]


class Acrobot(Environment):
    """See `AcrobotConfig`.

    Observation: cosine and sine of either angle, and either angular velocity. Actions: a torque of
    -1, 0 and 1. A step is worth -1, the one that reaches the height 0.
    """

    config: AcrobotConfig = eqx.field(static=True)

    @property
    def observation_space(self) -> spaces.Box:
        """What the angular velocities are cut off at, and 1."""
        config = self.config
        high = np.array([1, 1, 1, 1, config.most_first_spin, config.most_second_spin], np.float32)
        return spaces.Box(-high, high, dtype=np.float32)

    @property
    def action_space(self) -> spaces.Discrete:
        """Turn one way, leave it, turn the other way."""
        return spaces.Discrete(3)

    def reset(self, key: Key) -> tuple[AcrobotState, Float[Array, "6"]]:
        """Nearly hanging down, nearly at rest."""
        spread = self.config.spread
        links = jax.random.uniform(key, (4,), jnp.float32, -spread, spread)
        return AcrobotState(links, jnp.int32(0)), _observed(links)

    def step(self, key: Key, state: AcrobotState, action: Action) -> tuple[AcrobotState, TimeStep]:
        """One step of Runge-Kutta's method; `key` is not used."""
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
        """Sutton and Barto (2018), fig. 11.4 of the first edition: d1, d2, phi1, phi2."""
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
        """The torque, in units of the strongest."""
        return jnp.array([[-1.0], [0.0], [1.0]], jnp.float32)

    def state_coordinates(self, observation: Float[Array, "*batch 6"]) -> Float[Array, "*batch 6"]:
        """What is observed, with angular velocities as shares of the largest."""
        return observation / jnp.asarray(self.observation_space.high)

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """Of the six numbers of an observation."""
        return (
            "first cosine",
            "first sine",
            "second cosine",
            "second sine",
            "first angular velocity",
            "second angular velocity",
        )

    def references(self, key: Key) -> dict[str, float]:
        """`solved_return`: -100, which Gymnasium takes for solved; `best_known_return`: 0, a bound
        that cannot be reached, as the links hang at first.
        """
        del key
        return {"best_known_return": 0.0, "solved_return": -100.0}


def _observed(links: Float[Array, "4"]) -> Float[Array, "6"]:
    first, second, spin, other = links
    return jnp.stack(
        [jnp.cos(first), jnp.sin(first), jnp.cos(second), jnp.sin(second), spin, other]
    )


def _wrapped(angle: Float[Array, ""]) -> Float[Array, ""]:
    """The same angle in -pi to pi; as it is, if it lies there."""
    turns = jnp.ceil((jnp.abs(angle) - math.pi) / (2 * math.pi))
    return angle - jnp.sign(angle) * 2 * math.pi * jnp.maximum(turns, 0.0)
