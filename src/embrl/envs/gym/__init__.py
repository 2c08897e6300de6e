"""Gymnasium environments, stepped by Python on the host."""

from embrl.envs.gym.environment import HostEnvironment
from embrl.envs.gym.registration import GymnasiumConfig, ObjectConfig
from embrl.envs.gym.vector_env import HostStep, HostVectorEnv

__all__ = ["GymnasiumConfig", "HostEnvironment", "HostStep", "HostVectorEnv", "ObjectConfig"]
