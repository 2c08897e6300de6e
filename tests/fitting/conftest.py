"""One small embedding, and a run beside it, for all tests that only look at them."""

import dataclasses

import pytest
from small_fits import SMALL, WORLD

import embrl
from embrl.config.defaults import default_config, with_sections
from embrl.envs import configure
from embrl.training.loop import train


@pytest.fixture(scope="session")
def gridworld_embedding():
    """Of a gridworld with 100 states and 8 actions."""
    return embrl.fit("gridworld", timesteps=600, settings="tuned", **SMALL, **WORLD)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The folder of a run of two seeds in the same world."""
    config = default_config("gridworld", configure("gridworld", **WORLD), "jsae", "vpg", "tuned")
    config = with_sections(
        dataclasses.replace(config, seeds=2, total_timesteps=800),
        {
            "pretrain": {**SMALL["pretrain"], "timesteps": 600},
            "rollout": {"num_envs": 10, "steps_per_update": 100},
            "evaluation": {"every": 200, "episodes": 5, "final_episodes": 5},
        },
    )
    return train(config, tmp_path_factory.mktemp("fits") / "run").path
