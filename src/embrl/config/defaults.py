"""Default settings: our best, and the paper's as published.

`tuned` has one setting for each method, whatever the environment, but for one distinction: whether
actions name what is observed, as in a recommender. `paper` has the tables of
Pritz et al. (2021), A.4.2, and its plain form of the method (`embrl.config.paper`).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

from embrl.algorithms import ALGORITHMS
from embrl.algorithms.base import PolicyConfig
from embrl.config import paper
from embrl.config.run import (
    EvaluationConfig,
    RolloutConfig,
    RunConfig,
    TransferConfig,
    UpdateConfig,
)
from embrl.core.errors import EmbrlError, UnknownNameError
from embrl.core.spaces import dimensions, is_continuous
from embrl.decoding.config import DecoderConfig
from embrl.embedding.config import FitConfig, ModelConfig
from embrl.embedding.methods import method as get_method
from embrl.envs import AnyEnvironment
from embrl.envs.environment import named_factor
from embrl.training.backend import EnvConfig, is_host

Settings = Literal["tuned", "best", "paper"]


def default_config(
    environment: str,
    env: EnvConfig,
    method: str = "jsae",
    algorithm: str = "vpg",
    settings: Settings = "tuned",
    built: "AnyEnvironment | None" = None,
) -> RunConfig:
    """The configuration that a run has when nothing else is said.

    Arguments:
        built: the environment, where `env` cannot build it (`ObjectConfig`).

    Raises:
        EmbrlError: an unknown name, or one that has no such settings.
    """
    get_method(method)
    if settings not in get_args(Settings):
        raise UnknownNameError("settings", settings, get_args(Settings))
    continuous_actions = getattr(env, "continuous_actions", False)
    config = RunConfig(
        environment=environment,
        env=env,
        method=method,
        algorithm=algorithm,
        seeds=4,
        samples=1_000_000,
        seed=0,
        objectives=dict(get_method(method).objectives),
        model=ModelConfig(),
        fit=FitConfig(),
        update=UpdateConfig(),
        transfer=TransferConfig(),
        policy=PolicyConfig(),
        f=DecoderConfig(kind="learned" if continuous_actions else "nearest"),
        hyper=ALGORITHMS[algorithm](),
        rollout=RolloutConfig(),
        evaluation=EvaluationConfig(),
    )
    if settings == "tuned":
        config = _replace(config, _tuned(method, algorithm))
        if is_host(env):
            changes = on_the_host(config.hyper.off_policy)
            config = dataclasses.replace(_replace(config, changes), seeds=1)
        if continuous_actions:
            config = _replace(config, of_numbers(env, algorithm, built))
        named = method == "jsae" and named_factor(env) is not None
        return _naming(config) if named else config
    if settings == "best":
        if continuous_actions:
            raise EmbrlError("settings best is for Discrete actions: choose settings tuned")
        if (method, algorithm) != ("jsae", "ppo"):
            raise EmbrlError(
                f"settings best is for method jsae with algorithm ppo, not {method} with "
                f"{algorithm}: choose these, or settings tuned"
            )
        config = _replace(_replace(config, _tuned(method, algorithm)), BEST)
        return config if named_factor(env) is None else _replace(_naming(config), BEST_NAMING)
    samples, published = paper.published(environment, env, method, algorithm)
    return _replace(dataclasses.replace(config, samples=samples), published)


SECTIONS = (
    "model",
    "fit",
    "update",
    "transfer",
    "policy",
    "f",
    "hyper",
    "rollout",
    "evaluation",
    "explore",
)
"""Of a `RunConfig`, those whose settings can be given by name."""


def overridden(config: RunConfig, overrides: Mapping[str, Mapping[str, Any]] | None) -> RunConfig:
    """The same with other settings, by section and name: `{"model": {"m": 2}}`.

    Raises:
        UnknownNameError: there is no such section or setting.
    """
    for section, changes in (overrides or {}).items():
        if section not in SECTIONS:
            raise UnknownNameError("section of settings", section, SECTIONS)
        part = getattr(config, section)
        known = [field.name for field in dataclasses.fields(part)]
        for name in changes:
            if name not in known:
                raise UnknownNameError(f"setting of {section}", name, known)
        config = dataclasses.replace(config, **{section: dataclasses.replace(part, **changes)})
    return config


def _tuned(method: str, algorithm: str) -> dict[str, dict[str, Any]]:
    # Untrained embeddings have no geometry to unfold: they fill the space.
    model = {"model": {"action_spread": 0.6}} if method == "random" else {}
    plain, embedded = HYPER.get(algorithm, ({}, {}))
    return {**model, "hyper": embedded if get_method(method).embeds else plain}


def _naming(config: RunConfig) -> RunConfig:
    """Where actions name what is observed (docs/decisions/0011)."""
    return _replace(
        dataclasses.replace(config, objectives={**config.objectives, "outcome": 1.0}),
        {
            "model": {"m": 64, "d": 64, "head": "echo", "tie": True, "transition_hidden": ()},
            "fit": {"samples": 800_000, "steps": 5000},
            "f": {"kind": "best", "judge": "model"},
            "rollout": {"epoch": 6000, "lanes": 300},
            "evaluation": {"every": 30_000, "episodes": 100, "final_episodes": 1000},
        },
    )


# An update a sample, the paper's protocol, takes ten times as long.
SAC = {"actor_lr": 3e-3, "critic_lr": 3e-3, "alpha": 0.01, "updates_per_sample": 0.1}

HYPER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "vpg": ({"actor_lr": 3e-3}, {"entropy_cost": 0.04}),
    "ppo": ({"actor_lr": 3e-3}, {"actor_lr": 3e-3, "entropy_cost": 0.04}),
    "sac": (SAC, SAC),
}
"""Hyperparameters without an embedding, and with one; other algorithms keep their own defaults."""


BEST: dict[str, dict[str, Any]] = {
    "model": {"m": 16, "d": 8},
    "fit": {"samples": 15_000, "steps": 700},
    "update": {
        "every": 2,
        "steps": 25,
        "learning_rate": 3e-3,
        "schedule": "linear",
        "until": 0.3,
    },
    "hyper": {"actor_lr": 3e-3, "entropy_cost": 0.01},
    "rollout": {"epoch": 750},
    "explore": {"bonus": 0.1, "until": 0.2, "known": 3},
}
"""Beside what is tuned."""

BEST_NAMING: dict[str, dict[str, Any]] = {
    "model": {"memory": 64},
    "fit": {"samples": 60_000, "steps": 2000},
    "update": {
        "every": 4,
        "steps": 100,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "until": 1.0,
    },
    "rollout": {"buffer": 1_000_000},
    "evaluation": {"final_episodes": 4000},
}
"""Where actions name what is observed, beside that and what is tuned there: to learn from all that
was ever seen, early."""


def _replace(config: RunConfig, changes: dict[str, dict[str, Any]]) -> RunConfig:
    parts = {
        name: dataclasses.replace(getattr(config, name), **change)
        for name, change in changes.items()
    }
    return dataclasses.replace(config, **parts)


# DOC Default settings where environments run on the host, and where actions are numbers. |  | Those of PPO and SAC are the usual ones (Stable-Baselines3's defaults, which go back to Schulman et | al. 2017 and Haarnoja et al. 2018), so that runs without embeddings are baselines as others know | them. |


Changes = dict[str, dict[str, Any]]
"""By section."""

LARGEST_M, SMALLEST_M = 64, 8

ON_POLICY: Changes = {
    "rollout": {"epoch": 2048, "lanes": 8},
    "evaluation": {"every": 20_480, "episodes": 5, "final_episodes": 20},
}
OFF_POLICY: Changes = {
    "rollout": {"epoch": 200, "lanes": 4, "buffer": 1_000_000},
    "evaluation": {"every": 10_000, "episodes": 5, "final_episodes": 20},
}
PPO = {
    "actor_lr": 3e-4,
    "std_lr": 3e-4,
    "critic_lr": 3e-4,
    "scale_by_std": False,
    "entropy_cost": 0.0,
    "gae_lambda": 0.95,
    "actor_steps": 10,
    "critic_steps": 10,
    "minibatches": 32,
}
SAC = {
    "actor_lr": 3e-4,
    "critic_lr": 3e-4,
    "alpha": 1.0,
    "alpha_lr": 3e-4,
    "updates_per_sample": 1.0,
}


def on_the_host(off_policy: bool) -> Changes:
    """How experience is collected and policies are measured where steps are dear."""
    return OFF_POLICY if off_policy else ON_POLICY


def of_numbers(env: EnvConfig, algorithm: str, built: "AnyEnvironment | None" = None) -> Changes:
    """What suits actions that are vectors.

    Arguments:
        built: the environment, where `env` cannot build it (`ObjectConfig`).
    """
    built = env.build() if built is None else built
    observations, actions = built.observation_space, built.action_space
    m = dimensions(observations) if is_continuous(observations) else SMALLEST_M
    changes: Changes = {
        "model": {"m": min(LARGEST_M, max(SMALLEST_M, m)), "d": dimensions(actions)},
        "fit": {"samples": 10_000, "steps": 1000},
        "policy": {"std": 1.0, "std_unit": "action"},
    }
    if algorithm == "ppo" and is_host(env):
        changes |= {"hyper": PPO}
    if algorithm == "sac":
        # Not "seen" (docs/decisions/0019).
        changes["policy"] = {"std": 1.0, "hidden": (256, 256), "normalise": "down"}
        changes |= {"hyper": SAC}
    return changes
