"""Environments by name: embrl's own in JAX, and Gymnasium's on the host.

Names alone need no JAX, which is imported with the first of the other things here.
"""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from embrl.core.errors import EmbrlError, UnknownNameError
from embrl.core.registry import Registry, load_installed_plugins

if TYPE_CHECKING:
    from embrl.envs.environment import EnvConfig, Environment, environment_name, is_host
    from embrl.envs.gym import HostEnvironment

__all__ = [
    "ENVIRONMENTS",
    "AnyEnvironment",
    "EnvConfig",
    "Environment",
    "configure",
    "environment_name",
    "has_masks",
    "is_host",
    "kind",
    "listed_names",
    "recorded_kind",
]

AnyEnvironment: TypeAlias = "Environment | HostEnvironment"
"""An environment of either kind: compiled with JAX, or stepped on the host."""

ENVIRONMENTS = Registry(
    "environment",
    {
        "gridworld": "embrl.envs.gridworld:GridworldConfig",
        "recommender": "embrl.envs.recommender:RecommenderConfig",
        "continuous_gridworld": "embrl.envs.continuous_gridworld:ContinuousGridworldConfig",
        "slot_machine": "embrl.envs.slot_machine:SlotMachineConfig",
        "joint_replenishment": "embrl.envs.replenishment:JointReplenishmentConfig",
        "manoeuvres": "embrl.envs.manoeuvres:ManoeuvresConfig",
        "switches": "embrl.envs.switches:SwitchesConfig",
        "traffic_lights": "embrl.envs.traffic_lights:TrafficLightsConfig",
        "glimpses": "embrl.envs.glimpses:GlimpsesConfig",
        "chatbot": "embrl.envs.chatbot:ChatbotConfig",
        "translation": "embrl.envs.translation:TranslationConfig",
        "lidar_robot": "embrl.envs.lidar_robot:LidarRobotConfig",
        "cart_pole": "embrl.envs.cart_pole:CartPoleConfig",
        "acrobot": "embrl.envs.acrobot:AcrobotConfig",
        "mountain_car": "embrl.envs.mountain_car:MountainCarConfig",
    },
    plugged=True,
)
"""Configuration class of each name. A new environment is a file and a line here, or a plugin."""


def __getattr__(name: str) -> Any:
    if name in ("EnvConfig", "Environment", "environment_name", "is_host"):
        return getattr(importlib.import_module("embrl.envs.environment"), name)
    raise AttributeError(f"module 'embrl.envs' has no attribute {name!r}")


def listed_names() -> str:
    """Return the names of environments, with those of installed plugins, for help texts."""
    load_installed_plugins()
    return f"{', '.join(ENVIRONMENTS)}, or a Gymnasium id, as CartPole-v1"


def kind(name: str) -> Any:
    """Return the configuration class of an environment.

    For an id registered with Gymnasium, that is a `GymnasiumConfig` with this id. In a run folder,
    `object:...` stands for an environment that was an object in Python.

    Args:
        name: A name in `ENVIRONMENTS`, or a Gymnasium id.

    Raises:
        UnknownNameError: If there is no such environment; the message lists the nearest names.
    """
    if name in ENVIRONMENTS:
        return ENVIRONMENTS[name]
    from embrl.envs.gym import registration  # after plugins, which may register ids

    if name.startswith(registration.PREFIX):
        return registration.ObjectConfig
    if (known := registration.registered_id(name)) is not None:
        return registration.config_class(known)
    if how := registration.provider_of(name):
        raise EmbrlError(f"unknown environment {name!r}: {how}")
    raise ENVIRONMENTS.unknown(name, registration.nearest(name))


def recorded_kind(name: str, settings: Any) -> Any:
    """Return the configuration class of the environment of a run, which may not be known here.

    What a run folder holds is enough to load it; only to make the environment, it must be known.

    Args:
        name: Its name in the run.
        settings: Its settings in the run, by name.
    """
    try:
        return kind(name)
    except EmbrlError as error:
        if not isinstance(settings, Mapping):
            raise
        from embrl.envs.gym import registration

        if settings.get("id") == name:
            return registration.config_class(name)
        from embrl.envs.environment import unavailable

        return unavailable(settings, str(error))


def configure(name: str, **options: Any) -> "EnvConfig":
    """Return the configuration of an environment, with `options` in place of defaults.

    Args:
        name: A name in `ENVIRONMENTS`, or a Gymnasium id.
        options: Settings of the environment.

    Raises:
        EmbrlError: If there is no such environment or option.
    """
    config_class = kind(name)
    known = config_class.__dataclass_fields__
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of {name}", option, known)
    try:
        return config_class(**options)
    except TypeError as error:  # a field without a default was left out
        raise EmbrlError(f"{name}: {error}") from error


def has_masks(env: AnyEnvironment) -> bool:
    """Return True if an environment says which actions may be chosen.

    Raises:
        EmbrlError: If a compiled environment's mask has another form than bool `[n]`.
    """
    from embrl.envs import environment

    if isinstance(env, environment.Environment):
        return environment.has_masks(env)
    return env.masked
