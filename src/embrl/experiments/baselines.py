"""Settings of baselines, found by a search with JSAE's grid and budget (`embrl sweep`)."""

import dataclasses
from typing import Any

from embrl.config.defaults import default_config
from embrl.config.run import RunConfig
from embrl.core.errors import EmbrlError
from embrl.envs import EnvConfig

GRIDWORLD = {
    # At 1e-2 the area is as large, and both seeds have fallen back by the end.
    "none": {"hyper.actor_lr": 3e-3, "hyper.critic_lr": 1e-2, "hyper.gamma": 0.99},
    "ra": {"hyper.actor_lr": 3e-3, "policy.std": 0.6, "hyper.gamma": 0.99},
}

BASELINES: dict[tuple[str, str, str], dict[str, Any]] = {
    ("gridworld", "none", "ppo"): GRIDWORLD["none"],
    ("gridworld", "ra", "ppo"): GRIDWORLD["ra"],
    # The same world: not searched again.
    ("continuous_gridworld", "none", "ppo"): GRIDWORLD["none"],
    ("continuous_gridworld", "ra", "ppo"): GRIDWORLD["ra"],
    ("slot_machine", "none", "ppo"): {
        "hyper.actor_lr": 1e-2,
        "hyper.critic_lr": 1e-2,
        "hyper.gamma": 0.95,
    },
    ("slot_machine", "ra", "ppo"): {
        "hyper.actor_lr": 1e-2,
        "policy.std": 1.0,
        "hyper.gamma": 0.95,
    },
    # In the recommender all points are at random: the best of them by chance.
    ("recommender", "none", "ppo"): {
        "hyper.actor_lr": 3e-3,
        "hyper.critic_lr": 3e-2,
        "hyper.gamma": 0.95,
    },
    ("recommender", "ra", "ppo"): {
        "hyper.actor_lr": 1e-3,
        "policy.std": 0.3,
        "hyper.gamma": 0.99,
    },
}
"""Environment, method and algorithm to settings by section and name: the best of results/sweeps by
area under the curve, of those that keep to the end what they have learned. Where there is a second
round at the panel's length (`-long`), of that one."""


def tuned_baseline(environment: str, env: EnvConfig, method: str, algorithm: str) -> RunConfig:
    """A baseline with the settings that the search chose, the rest being `tuned` ones."""
    config = default_config(environment, env, method, algorithm)
    return with_values(config, BASELINES[environment, method, algorithm])


def with_values(config: RunConfig, values: dict[str, Any]) -> RunConfig:
    """The configuration with values by section and name: `{"hyper.actor_lr": 1e-3}`.

    Raises:
        EmbrlError: there is no such setting.
    """
    for name, value in values.items():
        section, _, field = name.partition(".")
        part: Any = getattr(config, section, None)
        if not dataclasses.is_dataclass(part) or not hasattr(part, field):
            raise EmbrlError(f"{name} is no setting of a run of {config.method}")
        part = dataclasses.replace(part, **{field: value})  # type: ignore[type-var]
        config = dataclasses.replace(config, **{section: part})
    return config
