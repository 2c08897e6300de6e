"""Gymnasium's environments, stepped by Python on the host."""

from embrl.envs.host.config import GymnasiumConfig
from embrl.envs.host.environment import HostEnvironment
from embrl.envs.host.lanes import HostLanes, HostStep
from embrl.envs.host.objects import ObjectConfig

__all__ = ["GymnasiumConfig", "HostEnvironment", "HostLanes", "HostStep", "ObjectConfig"]
