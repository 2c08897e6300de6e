"""Reinforcement learning algorithms for internal policies; they never see an environment."""

from embrl.core.registry import Registry

__all__ = ["ALGORITHMS"]

ALGORITHMS = Registry(
    "algorithm",
    {
        "vpg": "embrl.algorithms.vpg:VPG",
        "ppo": "embrl.algorithms.ppo:PPO",
        "sac": "embrl.algorithms.sac:SAC",
    },
    plugged=True,
)
"""Name to a frozen dataclass of hyperparameters, an `Algorithm` (see base.py). A new algorithm is
one file and one line here, or a plugin."""
