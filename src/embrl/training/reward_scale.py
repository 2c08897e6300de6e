"""Rewards in units of the spread of discounted returns.

A critic that learns by small steps takes most of a short training to reach values in the hundreds.
As usual (`VecNormalize` of Stable-Baselines3), rewards are divided by the standard deviation of
their discounted sums so far; but only where it is above 1: enlarged, the first rare reward would be
an outlier.
"""

from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from embrl.core.scaling import RunningStats
from embrl.core.types import Transition


class RewardSpread(NamedTuple):
    """Running statistics of discounted sums of rewards."""

    stats: RunningStats
    sums: Float[Array, " B"]
    """Discounted sum of the rewards so far in each environment's episode."""

    @classmethod
    def empty(cls, num_envs: int) -> Self:
        """Return the statistics of no rewards."""
        return cls(RunningStats.empty(1), jnp.zeros(num_envs))

    def update(self, transitions: Transition, gamma: Any) -> "RewardSpread":
        """Return the statistics with the rewards of a rollout `[T, B]` included."""

        def add(total: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
            reward, ended = step
            total = gamma * total + reward
            return jnp.where(ended, 0.0, total), total

        ended = transitions.terminated | transitions.truncated
        last, sums = jax.lax.scan(add, self.sums, (transitions.reward, ended))
        return RewardSpread(self.stats.update(sums[..., None]), last)

    def scaled(self, transitions: Transition) -> Transition:
        """Return transitions with scaled rewards."""
        return transitions._replace(reward=transitions.reward / self.stats.scale.down().width[0])
