"""Learning internal policies. Nothing here knows an environment."""

from embrl.core.registry import Registry

__all__ = ["ALGORITHMS"]

ALGORITHMS = Registry(
    "algorithm",
    {
        "vpg": "embrl.algorithms.vpg:VPG",
        "ppo": "embrl.algorithms.ppo:PPO",
        "sac": "embrl.algorithms.sac:SAC",
    },
)
"""Name to a class of hyperparameters, an `Algorithm` (see algorithm.py). A new algorithm is one
file and one line here."""
