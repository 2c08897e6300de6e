"""Fits and runs small enough for seconds."""

from typing import Any

SMALL: dict[str, Any] = {
    "pretrain": {"gradient_steps": 100, "batch_size": 64},
    "rollout": {"num_envs": 10},
}
WORLD: dict[str, Any] = {"actuators": 3, "bins": 10, "step_limit": 20}
"""A gridworld with 100 states and 8 actions."""
