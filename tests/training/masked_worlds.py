"""A small masked environment, whose return is NaN after an action that it does not accept."""

from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
from gymnasium import spaces
from jaxtyping import Array

from embrl.core.types import Key, TimeStep
from embrl.envs import Environment

STATES, LIMIT = 5, 4


class Turn(NamedTuple):
    """State, and steps taken."""

    now: Array
    steps: Array


class Twos(Environment):
    """In state s, actions s and s + 5 are accepted; the latter is rewarded.

    Half of the episodes terminate and the other half are truncated; no action is accepted at the
    end of either, nor after `dead_end` steps.
    """

    dead_end: int = LIMIT

    @property
    def observation_space(self) -> gymnasium.Space:
        return spaces.Discrete(STATES)

    @property
    def action_space(self) -> gymnasium.Space:
        return spaces.Discrete(2 * STATES)

    def action_mask(self, state: Turn) -> Array:
        names = jnp.arange(2 * STATES) % STATES
        return (names == state.now) & (state.steps < self.dead_end)

    def reset(self, key: Key) -> tuple[Turn, Array]:
        state = Turn(jax.random.randint(key, (), 0, STATES), jnp.int32(0))
        return state, state.now

    def step(self, key: Key, state: Turn, action: Array) -> tuple[Turn, TimeStep]:
        mask = self.action_mask(state)
        accepted = mask[action] | ~mask.any()
        reward = jnp.where(accepted, (action >= STATES).astype(jnp.float32), jnp.nan)
        after = Turn(jax.random.randint(key, (), 0, STATES), state.steps + 1)
        over, odd = after.steps == LIMIT, after.now % 2 == 1
        return after, TimeStep(after.now, reward, over & odd, over & ~odd)


class Wrong(Twos):
    """A mask of numbers."""

    def action_mask(self, state: Turn) -> Array:
        return super().action_mask(state).astype(jnp.int8)
