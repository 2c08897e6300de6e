"""Settings of the tuned baselines, found by a search with JSAE's grid and budget."""

import dataclasses
from typing import Any

from embrl.config.defaults import default_config
from embrl.config.run import RunConfig
from embrl.core.errors import EmbrlError
from embrl.envs import EnvConfig

GRIDWORLD = {
    # At 1e-2 the area is as large, but both seeds have fallen back by the end.
    "none": {"hyper.actor_lr": 3e-3, "hyper.critic_lr": 1e-2, "hyper.gamma": 0.99},
    "ra": {"hyper.actor_lr": 3e-3, "policy.std": 0.6, "hyper.gamma": 0.99},
}

BASELINES: dict[tuple[str, str, str], dict[str, Any]] = {
    ("gridworld", "none", "ppo"): GRIDWORLD["none"],
    ("gridworld", "ra", "ppo"): GRIDWORLD["ra"],
    # The same geometry; not searched again.
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
    # In the recommender all points are as good as random actions; the best is best by chance.
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
"""Settings by section and name, for each environment, method and algorithm: the best of
results/sweeps by area under the curve, of those that keep what they have learned to the end. They
come from the second round, at the panel's length (`-long`), if there is one."""


def tuned_baseline(environment: str, env: EnvConfig, method: str, algorithm: str) -> RunConfig:
    """Return the configuration of a baseline: defaults with the settings that the search chose."""
    config = default_config(environment, env, method, algorithm)
    return with_values(config, BASELINES[environment, method, algorithm])


def with_values(config: RunConfig, values: dict[str, Any]) -> RunConfig:
    """Replace settings given by section and name: `{"hyper.actor_lr": 1e-3}`.

    Raises:
        EmbrlError: A name is not a setting of the configuration.
    """
    for name, value in values.items():
        section, _, field = name.partition(".")
        part: Any = getattr(config, section, None)
        if not dataclasses.is_dataclass(part) or not hasattr(part, field):
            raise EmbrlError(f"{name} is not a setting of runs with method {config.method}")
        part = dataclasses.replace(part, **{field: value})  # type: ignore[type-var]
        config = dataclasses.replace(config, **{section: part})
    return config
