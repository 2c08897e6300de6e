"""Policies and wrapped environments speak Stable-Baselines3's words, tested with the library."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import embrl

SMALL: dict[str, Any] = {
    "seeds": 1,
    "total_timesteps": 1_000,
    "pretrain": {"gradient_steps": 20},
    "rollout": {"buffer_size": 2_000},
    "online": {"gradient_steps": 2},
    "evaluation": {"episodes": 5, "final_episodes": 5},
}


@pytest.mark.parametrize(
    "name", [pytest.param("FrozenLake-v1", marks=pytest.mark.slow), "CartPole-v1"]
)
def test_evaluate_policy_takes_our_policies(name):
    evaluation = pytest.importorskip("stable_baselines3.common.evaluation")
    monitor = pytest.importorskip("stable_baselines3.common.monitor")
    run = embrl.train(name, **SMALL, method="none", algorithm="vpg")
    env = monitor.Monitor(gymnasium.make(name))
    mean, std = evaluation.evaluate_policy(run.policy(), env, n_eval_episodes=5)
    assert np.isfinite([mean, std]).all()
    returns, lengths = evaluation.evaluate_policy(
        run.policy(), env, n_eval_episodes=3, deterministic=False, return_episode_rewards=True
    )
    assert len(returns) == len(lengths) == 3


def test_wrapped_environments_pass_its_check():
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    embedding = embrl.fit("FrozenLake-v1", timesteps=200, pretrain={"gradient_steps": 3})
    checker.check_env(embrl.wrap("FrozenLake-v1", embedding))


def test_masks_are_kept_to_as_its_masked_policies_do(trained):
    masks = np.zeros((50, 8), bool)
    masks[np.arange(50), np.arange(50) % 8] = True
    policy = embrl.load(trained.path).policy()
    action, state = policy.predict(np.arange(50), action_masks=masks)
    np.testing.assert_array_equal(action, np.arange(50) % 8)
    assert state is None
