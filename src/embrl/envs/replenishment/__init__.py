"""Joint replenishment, and the policies that are known for it."""

from embrl.envs.replenishment.environment import JointReplenishment, JointReplenishmentConfig

__all__ = ["JointReplenishment", "JointReplenishmentConfig"]
