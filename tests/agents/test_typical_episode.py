"""Episodes to be looked at."""

import jax
import numpy as np
from skilled import SMALL, skilled

from embrl.agents.episodes import CANDIDATE_EPISODES, survival, typical_episode
from embrl.envs.cart_pole import CartPoleConfig


def test_an_episode_is_one_of_the_agents_own():
    config = CartPoleConfig(step_limit=60)
    env, w, key = config.build(), skilled(2, 2, seed=3), jax.random.key(1)
    seen = typical_episode(env, SMALL, w, key, config.step_limit)
    assert seen.observations.shape == (4, 61, 4)
    played = survival(env, SMALL, w, key, CANDIDATE_EPISODES).lengths
    usual = np.abs(played - played.mean(1, keepdims=True)).sum(0)
    np.testing.assert_array_equal(seen.lengths, played[:, usual.argmin()])
    # All begin alike; after its end an episode stands still, and not before.
    np.testing.assert_array_equal(seen.observations[:, 0], seen.observations[[0] * 4, 0])
    for one, length in zip(seen.observations, seen.lengths, strict=True):
        assert (one[length:] == one[length]).all()
        assert (np.diff(one[: length + 1], axis=0) != 0).any(1).all()
