"""Pure JAX environments and their registry."""

from typing import Any

from embrl.envs.environment import EnvConfig, Environment
from embrl.errors import EmbrlError, UnknownNameError
from embrl.registry import Registry

__all__ = ["ENVIRONMENTS", "EnvConfig", "Environment", "configure"]

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


def configure(name: str, **options: Any) -> EnvConfig:
    """The configuration of environment `name` with `options` in place of its defaults.

    Raises:
        EmbrlError: no such environment or no such option.
    """
    config_class = ENVIRONMENTS[name]
    known = config_class.__dataclass_fields__
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of {name}", option, known)
    try:
        return config_class(**options)
    except TypeError as error:  # a field without a default was left out
        raise EmbrlError(f"{name}: {error}") from error
