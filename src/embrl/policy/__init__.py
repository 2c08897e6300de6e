"""Learning internal policies. Nothing here knows an environment."""

from embrl.registry import Registry

__all__ = ["ALGORITHMS"]

ALGORITHMS = Registry(
    "algorithm",
    {
        "vpg": "embrl.policy.vpg:VPG",
        "ppo": "embrl.policy.ppo:PPO",
        "sac": "embrl.policy.sac:SAC",
    },
)
"""Name to a class of hyperparameters, an `Algorithm` (see algorithm.py). A new algorithm is one
file and one line here."""
