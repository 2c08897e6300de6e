"""Environments by name: our own in JAX, and Gymnasium's on the host."""

from typing import TYPE_CHECKING, Any, TypeAlias

from embrl.core.errors import EmbrlError, UnknownNameError
from embrl.core.registry import Registry
from embrl.envs.environment import EnvConfig, Environment, is_host

if TYPE_CHECKING:
    from embrl.envs.host import HostEnvironment

AnyEnvironment: TypeAlias = "Environment | HostEnvironment"
"""An environment of either kind: compiled with JAX, or stepped on the host."""

__all__ = [
    "ENVIRONMENTS",
    "AnyEnvironment",
    "EnvConfig",
    "Environment",
    "configure",
    "is_host",
    "kind",
]

ENVIRONMENTS = Registry(
    "environment",
    {
        "gridworld": "embrl.envs.gridworld:GridworldConfig",
        "recommender": "embrl.envs.recommender:RecommenderConfig",
        "continuous_gridworld": "embrl.envs.continuous_gridworld:ContinuousGridworldConfig",
        "slot_machine": "embrl.envs.slot_machine:SlotMachineConfig",
        "cart_pole": "embrl.envs.cart_pole:CartPoleConfig",
        "acrobot": "embrl.envs.acrobot:AcrobotConfig",
        "mountain_car": "embrl.envs.mountain_car:MountainCarConfig",
    },
    plugged=True,
)
"""Name to configuration class. A new environment is one file and one line here, or a plugin."""


def kind(name: str) -> Any:
    """The class of settings of environment `name`: of one of ours or a plugin's, or, for an id that
    Gymnasium knows, a `GymnasiumConfig` with that id. In a run folder, `object:...` stands for one
    that was an object in Python.

    Raises:
        UnknownNameError: there is none; the message offers the nearest of both kinds.
    """
    if name in ENVIRONMENTS:
        return ENVIRONMENTS[name]
    from embrl.envs.host import config, making, objects  # after plugins, which may register ids

    if name.startswith(objects.PREFIX):
        return objects.ObjectConfig
    if making.looks_like_id(name) and making.is_known(name):
        return config.named(name)
    raise ENVIRONMENTS.unknown(name, making.nearest(name))


def configure(name: str, **options: Any) -> EnvConfig:
    """The configuration of environment `name` with `options` in place of its defaults.

    Raises:
        EmbrlError: no such environment or no such option.
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
