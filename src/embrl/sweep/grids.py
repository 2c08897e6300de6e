"""Named grids of settings."""

from collections.abc import Mapping
from typing import Any

from embrl.config.run import RunConfig
from embrl.config.settings_by_name import settings
from embrl.core.registry import Registry
from embrl.embedding.methods import METHODS

GRIDS = Registry(
    "grid",
    {
        "paper": "embrl.sweep.grids:paper",
        "ours": "embrl.sweep.grids:ours",
    },
)
"""Function of a configuration that returns a grid, by name. To add one, add one line here."""

Grid = Mapping[str, tuple[Any, ...]]
"""Values to try, by dotted name of the setting."""


def paper(config: RunConfig) -> Grid:
    """Return the grid of Pritz et al. (2021), A.4.2.

    It has the learning rates, with an embedding the standard deviation, and SAC's own settings.
    """
    rates = (1e-3, 3e-4, 1e-4)
    return _known(
        config,
        {
            "hyper.actor_lr": rates,
            "hyper.critic_lr": rates,
            **({"policy.std": (0.3, 0.6, 0.8, 1.0)} if METHODS[config.method].embeds else {}),
            "hyper.alpha": (0.1, 0.3),
            "hyper.batch": (256, 512),
        },
    )


def ours(config: RunConfig) -> Grid:
    """Return the grid in which our own best settings were found."""
    rates = (1e-3, 3e-3, 1e-2)
    return _known(
        config,
        {
            "hyper.actor_lr": rates,
            "hyper.critic_lr": rates,
            "hyper.ent_coef": (0.0, 0.01, 0.04),
        },
    )


def _known(config: RunConfig, grid: Grid) -> Grid:
    """Return the part of a grid that the configuration's method and algorithm have."""
    known = settings(config)
    return {name: values for name, values in grid.items() if name in known}
