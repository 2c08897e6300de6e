"""Settings of the tuned baselines, found by a search with JSAE's grid and budget."""

from typing import Any

from embrl.config.defaults import default_config
from embrl.config.run import RunConfig
from embrl.config.settings_by_name import replaced
from embrl.envs import EnvConfig

GRIDWORLD = {
    # At 1e-2 the area is as large, but both seeds have fallen back by the end.
    "none": {"ppo.actor_lr": 3e-3, "ppo.critic_lr": 1e-2, "ppo.gamma": 0.99},
    "ra": {"ppo.actor_lr": 3e-3, "policy.std": 0.6, "ppo.gamma": 0.99},
}

BASELINES: dict[tuple[str, str, str], dict[str, Any]] = {
    ("gridworld", "none", "ppo"): GRIDWORLD["none"],
    ("gridworld", "ra", "ppo"): GRIDWORLD["ra"],
    # The same geometry; not searched again.
    ("continuous_gridworld", "none", "ppo"): GRIDWORLD["none"],
    ("continuous_gridworld", "ra", "ppo"): GRIDWORLD["ra"],
    ("slot_machine", "none", "ppo"): {
        "ppo.actor_lr": 1e-2,
        "ppo.critic_lr": 1e-2,
        "ppo.gamma": 0.95,
    },
    ("slot_machine", "ra", "ppo"): {
        "ppo.actor_lr": 1e-2,
        "policy.std": 1.0,
        "ppo.gamma": 0.95,
    },
    # In the recommender all points are as good as random actions; the best is best by chance.
    ("recommender", "none", "ppo"): {
        "ppo.actor_lr": 3e-3,
        "ppo.critic_lr": 3e-2,
        "ppo.gamma": 0.95,
    },
    ("recommender", "ra", "ppo"): {
        "ppo.actor_lr": 1e-3,
        "policy.std": 0.3,
        "ppo.gamma": 0.99,
    },
}
"""Settings by section and name, for each environment, method and algorithm: the best of
results/sweeps by area under the curve, of those that keep what they have learned to the end. They
come from the second round, at the panel's length (`-long`), if there is one."""


def tuned_baseline(environment: str, env: EnvConfig, method: str, algorithm: str) -> RunConfig:
    """Return the configuration of a baseline: defaults with the settings that the search chose."""
    config = default_config(environment, env, method, algorithm)
    return replaced(config, BASELINES[environment, method, algorithm])
