"""Default settings: our best, and the paper's as published.

`tuned` has one setting for each method, whatever the environment, but for one distinction: whether
actions name what is observed, as in a recommender. `paper` has the tables of
Pritz et al. (2021), A.4.2, and its plain form of the method.
"""

import dataclasses
from typing import Any, Literal, get_args

from embrl.decoding.config import DecoderConfig
from embrl.embedding.fit import FitConfig
from embrl.embedding.methods import method as get_method
from embrl.embedding.shape import ModelConfig
from embrl.envs import EnvConfig
from embrl.envs.environment import named_factor
from embrl.errors import EmbrlError, UnknownNameError
from embrl.policy import ALGORITHMS
from embrl.policy.config import PolicyConfig
from embrl.training.config import (
    EvaluationConfig,
    RolloutConfig,
    RunConfig,
    TransferConfig,
    UpdateConfig,
)

Settings = Literal["tuned", "paper"]


def default_config(
    environment: str,
    env: EnvConfig,
    method: str = "jsae",
    algorithm: str = "vpg",
    settings: Settings = "tuned",
) -> RunConfig:
    """The configuration that a run has when nothing else is said.

    Raises:
        EmbrlError: an unknown name, or one that has no such settings.
    """
    get_method(method)
    if settings not in get_args(Settings):
        raise UnknownNameError("settings", settings, get_args(Settings))
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
        f=DecoderConfig(),
        hyper=ALGORITHMS[algorithm](),
        rollout=RolloutConfig(),
        evaluation=EvaluationConfig(),
    )
    if settings == "tuned":
        config = _replace(config, _tuned(method, algorithm))
        named = method == "jsae" and named_factor(env) is not None
        return _naming(config) if named else config
    if algorithm != "vpg" or method not in ("jsae", "none"):
        raise EmbrlError(
            f"settings paper has method jsae or none with algorithm vpg, not {method} with "
            f"{algorithm}: choose tuned"
        )
    if environment not in ("gridworld", "recommender"):
        raise EmbrlError(
            f"settings paper has the gridworld and the recommender, not {environment}: choose tuned"
        )
    return _replace(config, _paper(environment, env, method))


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


def _paper(environment: str, env: EnvConfig, method: str) -> dict[str, dict[str, Any]]:
    """Tables 1, 2 and 7, and the protocol around them. Where a table leaves a cell unreadable, the
    choice is marked.
    """
    recommender = environment == "recommender"
    epoch = 1000 if recommender else 1500
    common = {
        "rollout": {"epoch": epoch, "lanes": 10, "persistence": 0.0},
        "evaluation": {"every": epoch * 5},
    }
    rates: dict[tuple[str, int], tuple[float, float, float]] = {
        # (method, actuators): actor's rate, critic's rate, std
        ("none", 5): (1e-3, 1e-3, 1.0),
        ("none", 9): (1e-3, 3e-4, 1.0),
        ("none", 11): (1e-3, 1e-3, 1.0),
        ("jsae", 5): (3e-4, 3e-4, 0.8),
        ("jsae", 9): (1e-4, 1e-3, 1.0),
        ("jsae", 11): (3e-4, 1e-3, 1.0),
        ("none", 0): (1e-3, 1e-3, 1.0),
        ("jsae", 0): (1e-3, 3e-4, 0.8),
    }
    actuators = (
        0 if recommender else min((5, 9, 11), key=lambda n: abs(n - getattr(env, "actuators", n)))
    )
    actor, critic, std = rates[method, actuators]
    return {
        **common,
        # The recommender's dimensions are unreadable in Table 7; 8 and 8 are its PPO's.
        "model": {"m": 8, "d": 8 if recommender else 2, "head": "softmax"},
        "fit": {"samples": 200_000 if recommender else 30_000, "learning_rate": 0.01},
        "policy": {"std": std, "bounded": False},
        "hyper": {
            "actor_lr": actor,
            "std_lr": actor,
            "critic_lr": critic,
            "scale_by_std": False,
        },
    }


def _replace(config: RunConfig, changes: dict[str, dict[str, Any]]) -> RunConfig:
    parts = {
        name: dataclasses.replace(getattr(config, name), **change)
        for name, change in changes.items()
    }
    return dataclasses.replace(config, **parts)
