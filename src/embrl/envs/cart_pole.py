"""Cart-Pole (Barto, Sutton and Anderson 1983), with the transitions of Gymnasium's CartPole-v1."""

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
class CartPoleConfig:
    """Settings of Cart-Pole, a pole on a cart that is pushed left or right.

    The constants are those of CartPole-v1.
    """

    gravity: float = 9.8
    """Gravitational acceleration, m/s^2."""
    cart_mass: float = 1.0
    """Mass of the cart, kg."""
    pole_mass: float = 0.1
    """Mass of the pole, kg."""
    half_length: float = 0.5
    """Half the length of the pole, m."""
    force: float = 10.0
    """Force of a push, N."""
    tau: float = 0.02
    """Duration of a step, s (one step of Euler's method)."""
    most_position: float = 2.4
    """Distance from the centre, to either side, beyond which an episode terminates, m."""
    most_angle: float = 12.0
    """Angle of the pole, to either side, beyond which an episode terminates, degrees."""
    spread: float = 0.05
    """Range of the four initial numbers: uniform in -spread to spread."""
    step_limit: int = 500
    """Steps until an episode is truncated, at least 1."""

    def build(self) -> "CartPole":
        """Make the environment.

        Raises:
            EmbrlError: If a setting is out of range; the message names it.
        """
        check_physics(self)
        return CartPole(self)


class CartPoleState(NamedTuple):
    """State of Cart-Pole: the observation and the number of steps taken."""

    observation: Float[Array, "4"]
    steps: Int[Array, ""]


class CartPole(Environment):
    """The Cart-Pole of `CartPoleConfig`.

    Observation: position (m), velocity (m/s), angle (rad, 0 upright), angular velocity (rad/s).
    Actions: 0 pushes to the left, 1 to the right. Reward: 1 a step, the last one too.
    """

    config: CartPoleConfig = eqx.field(static=True)

    @property
    def observation_space(self) -> spaces.Box:
        """Box of twice the range of an unfinished episode, so that its end lies within.

        Velocities have no bounds.
        """
        angle = 2 * math.radians(self.config.most_angle)
        high = np.array([2 * self.config.most_position, np.inf, angle, np.inf], np.float32)
        return spaces.Box(-high, high, dtype=np.float32)

    @property
    def action_space(self) -> spaces.Discrete:
        """Two pushes: left and right."""
        return spaces.Discrete(2)

    def reset(self, key: Key) -> tuple[CartPoleState, Float[Array, "4"]]:
        """Start an episode near the centre, nearly upright and nearly at rest."""
        spread = self.config.spread
        first = jax.random.uniform(key, (4,), jnp.float32, -spread, spread)
        return CartPoleState(first, jnp.int32(0)), first

    def step(
        self, key: Key, state: CartPoleState, action: Action
    ) -> tuple[CartPoleState, TimeStep]:
        """Take one step of Euler's method; `key` is not used.

        Equations: Florian (2005), "Correct equations for the dynamics of the cart-pole system",
        without friction.
        """
        del key
        config = self.config
        mass, moment = config.cart_mass + config.pole_mass, config.pole_mass * config.half_length
        position, velocity, angle, spin = state.observation
        force = jnp.where(action == 1, config.force, -config.force).astype(jnp.float32)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        pushed = (force + moment * spin**2 * sin) / mass
        turn = (config.gravity * sin - cos * pushed) / (
            config.half_length * (4.0 / 3.0 - config.pole_mass * cos**2 / mass)
        )
        push = pushed - moment * turn * cos / mass
        tau = config.tau
        position, angle = position + tau * velocity, angle + tau * spin
        after = jnp.stack([position, velocity + tau * push, angle, spin + tau * turn])
        steps = state.steps + 1
        terminated = (jnp.abs(position) > config.most_position) | (
            jnp.abs(angle) > math.radians(config.most_angle)
        )
        return CartPoleState(after, steps), TimeStep(
            observation=after,
            reward=jnp.float32(1.0),
            terminated=terminated,
            truncated=(steps >= config.step_limit) & ~terminated,
        )

    def action_effects(self) -> Float[Array, "2 1"]:
        """Return the force of each action, in units of a push to the right."""
        return jnp.array([[-1.0], [1.0]], jnp.float32)

    def state_coordinates(self, observation: Float[Array, "*batch 4"]) -> Float[Array, "*batch 4"]:
        """Return the observation."""
        return observation

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """Names of the four numbers of an observation."""
        return ("position", "velocity", "angle", "angular velocity")

    def references(self, key: Key) -> dict[str, float]:
        """Return `best_known_return`, a reward of 1 for every step up to the limit; the optimum."""
        del key
        return {"best_known_return": float(self.config.step_limit)}
