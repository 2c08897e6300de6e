"""Runs small enough to train in seconds."""

import dataclasses
from collections.abc import Callable

import pytest

from embrl.config.defaults import default_config
from embrl.config.run import RunConfig
from embrl.envs.gridworld import GridworldConfig


@pytest.fixture(scope="session")
def tiny() -> Callable[..., RunConfig]:
    """Makes the configuration of a tiny gridworld run."""

    def make(method: str = "jsae", **changes) -> RunConfig:
        env = GridworldConfig(actuators=3, bins=10, step_limit=20)
        config = default_config("gridworld", env, method, "vpg", "tuned", total_timesteps=1_000_000)
        config = dataclasses.replace(
            config,
            seeds=2,
            total_timesteps=1_200 if method == "jsae" else 600,
            pretrain=dataclasses.replace(
                config.pretrain, timesteps=600, gradient_steps=100, batch_size=64
            ),
            rollout=dataclasses.replace(config.rollout, steps_per_update=100, num_envs=10),
            evaluation=dataclasses.replace(
                config.evaluation, every=200, episodes=5, final_episodes=10
            ),
        )
        return dataclasses.replace(config, **changes)

    return make
