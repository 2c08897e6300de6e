"""Grids by name."""

from collections.abc import Mapping
from typing import Any

from embrl.config.run import RunConfig
from embrl.config.settings_by_name import settings
from embrl.core.registry import Registry
from embrl.embedding.methods import METHODS

GRIDS = Registry(
    "grid",
    {
        "paper": "embrl.experiments.grids:paper",
        "ours": "embrl.experiments.grids:ours",
    },
)
"""Each a function of a configuration: values to try by dotted name. A new one is one line here."""

Grid = Mapping[str, tuple[Any, ...]]


def paper(config: RunConfig) -> Grid:
    """What Pritz et al. (2021), A.4.2, tried: with embeddings also the std, with SAC its own."""
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
    """Where our own best settings were found."""
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
    """The part that this method and algorithm have."""
    known = settings(config)
    return {name: values for name, values in grid.items() if name in known}
