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
    rates, algorithm = (1e-3, 3e-4, 1e-4), config.algorithm
    return _known(
        config,
        {
            f"{algorithm}.actor_lr": rates,
            f"{algorithm}.critic_lr": rates,
            **({"policy.std": (0.3, 0.6, 0.8, 1.0)} if METHODS[config.method].embeds else {}),
            f"{algorithm}.alpha": (0.1, 0.3),
            f"{algorithm}.batch_size": (256, 512),
        },
    )


def ours(config: RunConfig) -> Grid:
    """Return the grid in which our own best settings were found."""
    rates, algorithm = (1e-3, 3e-3, 1e-2), config.algorithm
    return _known(
        config,
        {
            f"{algorithm}.actor_lr": rates,
            f"{algorithm}.critic_lr": rates,
            f"{algorithm}.ent_coef": (0.0, -0.01, -0.04),
        },
    )


def _known(config: RunConfig, grid: Grid) -> Grid:
    """Return the part of a grid that the configuration's method and algorithm have."""
    known = settings(config)
    return {name: values for name, values in grid.items() if name in known}
