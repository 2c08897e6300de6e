"""Learning internal policies. Nothing here knows an environment."""

from embrl.registry import Registry

__all__ = ["ALGORITHMS"]

ALGORITHMS = Registry("algorithm", {"vpg": "embrl.policy.vpg:VPG"})
"""Name to a class of hyperparameters with the methods `start` and `update`. A new algorithm is one
file and one line here."""
