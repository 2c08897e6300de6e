"""A panel that runs in seconds."""

import dataclasses
from typing import Any

import pytest

from embrl.config.defaults import default_config
from embrl.envs.gridworld import GridworldConfig
from embrl.papers.panel import Claim, Panel, PanelLine


def line(label: str, group: Any, algorithm: str, **more: Any) -> PanelLine:
    env = GridworldConfig(actuators=3, bins=10, step_limit=20)
    config = default_config("gridworld", env, "none", algorithm, "tuned")
    config = dataclasses.replace(
        config,
        seeds=2,
        total_timesteps=650,
        rollout=dataclasses.replace(config.rollout, steps_per_update=100, num_envs=10),
        evaluation=dataclasses.replace(config.evaluation, every=200, episodes=5, final_episodes=10),
    )
    return PanelLine(label, config, group, "none", **more)


@pytest.fixture(scope="session")
def panel() -> Panel:
    """A line as published, and a tuned baseline."""
    return Panel(
        "figx",
        "Tiny",
        (line("8 VPG", "published", "vpg"), line("8 PPO (tuned)", "tuned", "ppo")),
        (
            Claim("VPG above PPO", "8 VPG", "8 PPO (tuned)", "auc"),
            Claim("level", "8 VPG", "8 PPO (tuned)", "final_return", "level", 100.0),
        ),
        ("It is tiny.",),
    )
