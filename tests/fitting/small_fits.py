"""Fits and runs small enough for seconds."""

from typing import Any

SMALL: dict[str, Any] = {"fit": {"steps": 100, "batch": 64}, "rollout": {"lanes": 10}}
WORLD: dict[str, Any] = {"actuators": 3, "bins": 10, "step_limit": 20}
"""A gridworld with 100 states and 8 actions."""
