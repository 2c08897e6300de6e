"""Many switches at once: 2^n joint actions, each of which decides about every lamp."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, Int

from embrl.core.errors import check_fraction
from embrl.core.types import Action, Key, TimeStep
from embrl.envs.checks import check_whole
from embrl.envs.environment import Environment


@dataclasses.dataclass(frozen=True)
class SwitchesConfig:
    """Settings of switches: light the lamps that are asked for.

    Every switch has a lamp, which some switches light when they are on and others when they are
    off. One of a few patterns of lamps is asked for, and another one now and then. The reward of a
    step is the fraction of lamps that are as the pattern says.
    """

    count: int = 100
    """Number of switches, 1 to 10,000."""
    patterns: int = 4
    """Number of patterns, 1 to 100."""
    change: float = 0.2
    """Probability that another pattern is asked for in the next step, 0 to 1."""
    step_limit: int = 20
    """Steps until an episode is truncated, at least 1."""
    wiring: int = 0
    """Random seed of the wiring and of the patterns."""

    def build(self) -> "Switches":
        """Make the environment.

        Raises:
            EmbrlError: If a setting is out of range; the message names it.
        """
        check_whole("count", self.count, 1, 10_000)
        check_whole("patterns", self.patterns, 1, 100)
        check_fraction("env.change", self.change)
        check_whole("step_limit", self.step_limit, 1)
        check_whole("wiring", self.wiring, 0)
        return Switches(self)


class SwitchesState(NamedTuple):
    """State of switches: lamps, the pattern asked for, and the number of steps taken."""

    lamps: Bool[Array, " count"]
    pattern: Int[Array, ""]
    steps: Int[Array, ""]


class Switches(Environment):
    """Switches as `SwitchesConfig` describes them."""

    inverted: Bool[Array, " count"]
    """True for switches that light their lamp when they are off."""
    patterns: Bool[Array, "patterns count"]
    """Lamps that each pattern wants lit."""
    change: Float[Array, ""]
    step_limit: int = eqx.field(static=True)

    def __init__(self, config: SwitchesConfig) -> None:
        random = np.random.default_rng(config.wiring)
        self.inverted = jax.device_put(random.random(config.count) < 0.5)
        self.patterns = jax.device_put(random.random((config.patterns, config.count)) < 0.5)
        self.change = jnp.float32(config.change)
        self.step_limit = config.step_limit

    @property
    def observation_space(self) -> spaces.Box:
        """1 for the pattern that is asked for and for lamps that are lit; 0 for others."""
        return spaces.Box(0.0, 1.0, (sum(self.patterns.shape),), np.float32)

    @property
    def action_space(self) -> spaces.MultiDiscrete:
        """1 for switches that are on."""
        return spaces.MultiDiscrete([2] * self.patterns.shape[1])

    def reset(self, key: Key) -> tuple[SwitchesState, Float[Array, " p"]]:
        """Start an episode with random lamps and a random pattern."""
        key_lamps, key_pattern = jax.random.split(key)
        lamps = jax.random.bernoulli(key_lamps, shape=self.inverted.shape)
        pattern = jax.random.randint(key_pattern, (), 0, self.patterns.shape[0], jnp.int32)
        state = SwitchesState(lamps, pattern, jnp.int32(0))
        return state, self._observe(state)

    def step(
        self, key: Key, state: SwitchesState, action: Action
    ) -> tuple[SwitchesState, TimeStep]:
        """Set all switches, and compare the lamps with the pattern."""
        key_change, key_pattern = jax.random.split(key)
        lamps = (action > 0) ^ self.inverted
        reward = (lamps == self.patterns[state.pattern]).mean(dtype=jnp.float32)
        other = jax.random.randint(key_pattern, (), 0, self.patterns.shape[0], jnp.int32)
        changes = jax.random.uniform(key_change) < self.change
        pattern = jnp.where(changes, other, state.pattern)
        after = SwitchesState(lamps, pattern, state.steps + 1)
        return after, TimeStep(
            observation=self._observe(after),
            reward=reward,
            terminated=jnp.bool_(False),
            truncated=after.steps >= self.step_limit,
        )

    def best_action(self, pattern: Int[Array, ""]) -> Int[Array, " count"]:
        """Return the switches that light a pattern: the optimal action while it is asked for."""
        return (self.patterns[pattern] ^ self.inverted).astype(jnp.int32)

    def references(self, key: Key) -> dict[str, float]:
        """Return `best_known_return`, the optimum: all lamps right in every step."""
        del key
        return {"best_known_return": float(self.step_limit)}

    def _observe(self, state: SwitchesState) -> Float[Array, " p"]:
        asked = jnp.arange(self.patterns.shape[0], dtype=jnp.int32) == state.pattern
        return jnp.concatenate([asked, state.lamps]).astype(jnp.float32)
