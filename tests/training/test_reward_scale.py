"""The unit of the rewards that policies learn from."""

import jax.numpy as jnp
import numpy as np
import pytest

from embrl.core.types import Transition
from embrl.training.reward_scale import RewardSpread


def rollout(reward, ended) -> Transition:
    reward = jnp.asarray(reward, jnp.float32)
    nothing = jnp.zeros(reward.shape)
    return Transition(nothing, nothing, reward, nothing, jnp.asarray(ended), nothing > 0)


def test_sums_are_discounted_and_go_on_to_the_end_of_an_episode() -> None:
    first = rollout([[4.0], [8.0]], [[False], [False]])
    second = rollout([[2.0], [6.0]], [[True], [False]])
    spread = RewardSpread.empty(1).update(first, 0.5).update(second, 0.5)
    np.testing.assert_allclose(spread.sums, [6.0])
    sums = [4.0, 10.0, 7.0, 6.0]
    np.testing.assert_allclose(spread.stats.variance, [np.var(sums)], rtol=1e-6)
    np.testing.assert_allclose(
        spread.scaled(second).reward, second.reward / np.std(sums), rtol=1e-6
    )


@pytest.mark.parametrize("rewards", [[0.0, 0.0, 0.0], [0.0, 0.1, 0.0], [5.0]])
def test_small_or_constant_rewards_stay_as_they_are(rewards) -> None:
    steps = rollout([[r] for r in rewards], [[True]] * len(rewards))
    spread = RewardSpread.empty(1).update(steps, 0.99)
    np.testing.assert_array_equal(spread.scaled(steps).reward, steps.reward)
