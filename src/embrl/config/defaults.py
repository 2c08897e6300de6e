"""Default settings: our best, those of comparisons, and the paper's as published.

This is the one place that the command line, Python and sweeps take them from. `best` is what nobody
has to ask for: JSAE with PPO has settings of its own, other methods and algorithms those of
`tuned`. `tuned` has one setting for each method, whatever the environment, but for one distinction:
whether actions name values of the observation, as in a recommender. `paper` has the tables of Pritz
et al. (2021), A.4.2, and its plain form of the method (`embrl.config.paper`).

Settings `best` and `tuned` scale with the budget, `total_timesteps`: pre-training takes a bounded
share of it, and short runs update more often.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

from embrl.algorithms import ALGORITHMS
from embrl.algorithms.base import PolicyConfig
from embrl.config import paper
from embrl.config.run import (
    HYPERPARAMETERS,
    EvaluationConfig,
    OnlineConfig,
    RolloutConfig,
    RunConfig,
    TransferConfig,
)
from embrl.core.errors import UnknownNameError
from embrl.core.images import is_image
from embrl.core.products import Product, product_of
from embrl.core.section import given
from embrl.core.spaces import action_count, dimensions, is_continuous, numbers_and_factors
from embrl.decoding.base import DecoderConfig
from embrl.embedding.config import EmbeddingConfig, PretrainConfig
from embrl.embedding.methods import METHODS
from embrl.envs import AnyEnvironment, EnvConfig, is_host
from embrl.envs.environment import many_actions, named_factor

Settings = Literal["best", "tuned", "paper"]

METHOD, ALGORITHM = "jsae", "ppo"
"""Method and algorithm of a run that names none."""
SETTINGS: Settings = "best"
"""Source of the other defaults."""
TOTAL_TIMESTEPS = 200_000
"""Budget of a run that names none."""

FULL_SIZE = 1_000_000
"""Budget from which on nothing is scaled, as where settings are compared at their best."""
MIN_TIMESTEPS = 1_000
"""Smallest budget that settings are scaled for."""
PRETRAINING_SHARE = 0.2
"""Largest fraction of the budget that pre-training takes by default."""
MIN_UPDATES, MIN_EVALUATIONS = 40, 8
"""Updates and evaluations of a run, at least, where its budget allows it."""
MIN_MINIBATCH = 64
"""Steps of a minibatch, at least, where a rollout has more than one."""
MIN_ROLLOUT = 8
"""Steps of an environment between two updates, at least, before there are fewer environments."""

Changes = dict[str, dict[str, Any]]
"""Settings by section and name."""

# One update per step, the paper's protocol, takes ten times as long.
SAC = {"actor_lr": 3e-3, "critic_lr": 3e-3, "alpha": 0.01, "updates_per_step": 0.1}

TUNED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "vpg": ({"actor_lr": 3e-3}, {"ent_coef": -0.04}),
    "ppo": ({"actor_lr": 3e-3}, {"actor_lr": 3e-3, "ent_coef": -0.04}),
    "sac": (SAC, SAC),
}
"""Hyperparameters without an embedding, and with one; other algorithms keep their own defaults."""

BEST: Changes = {
    "embedding": {"state_dim": 16, "action_dim": 8},
    "pretrain": {"timesteps": 15_000, "gradient_steps": 700},
    "online": {
        "every": 2,
        "gradient_steps": 25,
        "learning_rate": 3e-3,
        "schedule": "linear",
        "until": 0.3,
    },
    HYPERPARAMETERS: {"actor_lr": 3e-3, "ent_coef": -0.01},
    "rollout": {"steps_per_update": 750},
    "exploration": {"bonus": 0.1, "until": 0.2, "known_after": 3, "more_if_sparse": True},
}
"""Settings `best`, on top of `tuned`."""

PART_DIMENSIONS = 16
"""Dimensions of E that the discrete parts of an action share by default: 2 to 8 each."""

FEW_ACTIONS = 16
"""Number of discrete actions, or of numbers in a continuous one, up to which policies choose them
directly."""

FEW_PRETRAINING = 5_000
"""Timesteps of pre-training for so few actions, unless the budget is `FULL_SIZE`, as in a fit."""

MAX_CODES = 2**16
"""Number of states, or of all factors' values, up to which a policy also sees their codes."""

NAMING: Changes = {
    "embedding": {"state_dim": 64, "action_dim": 64, "head": "echo", "transition_hidden": ()},
    "echo": {"tie": True},
    "pretrain": {"timesteps": 800_000, "gradient_steps": 5000},
    "decoder": {"kind": "best", "scorer": "model"},
    "rollout": {"steps_per_update": 6000, "num_envs": 300},
    "evaluation": {"every": 30_000, "episodes": 100, "final_episodes": 1000},
}
"""Settings where actions name values of the observation (docs/decisions/0011)."""

BEST_NAMING: Changes = {
    "echo": {"memory": 64},
    "pretrain": {"timesteps": 60_000, "gradient_steps": 2000},
    "online": {
        "every": 4,
        "gradient_steps": 100,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "until": 1.0,
    },
    "rollout": {"buffer_size": 1_000_000},
    "evaluation": {"final_episodes": 4000},
}
"""Settings `best` where actions name values of the observation: learn early from all data."""

# For environments on the host and for continuous actions, PPO and SAC have the usual settings
# (Stable-Baselines3's defaults, which go back to Schulman et al. 2017 and Haarnoja et al. 2018), so
# that runs without embeddings are baselines as others know them.
HOSTED_ON_POLICY: Changes = {
    "rollout": {"steps_per_update": 2048, "num_envs": 8},
    "evaluation": {"every": 20_480, "episodes": 5, "final_episodes": 20},
}
HOSTED_OFF_POLICY: Changes = {
    "rollout": {"steps_per_update": 200, "num_envs": 4, "buffer_size": 1_000_000},
    "evaluation": {"every": 10_000, "episodes": 5, "final_episodes": 20},
}
USUAL_PPO = {
    "actor_lr": 3e-4,
    "std_lr": 3e-4,
    "critic_lr": 3e-4,
    "scale_by_std": False,
    "ent_coef": 0.0,
    "gae_lambda": 0.95,
    "update_epochs": 10,
    "critic_epochs": 10,
    "num_minibatches": 32,
}
USUAL_SAC = {
    "actor_lr": 3e-4,
    "critic_lr": 3e-4,
    "alpha": 1.0,
    "alpha_lr": 3e-4,
    "updates_per_step": 1.0,
}

BEST_FEW_ACTIONS: Changes = {
    "online": {"every": 0},
    "policy": {"actions": "original", "inputs": "both", "scale_rewards": True},
    HYPERPARAMETERS: {
        "actor_lr": 5e-4,
        "std_lr": 1e-3,
        "critic_lr": 1e-3,
        "scale_by_std": False,
        "ent_coef": 0.01,
        "min_advantage_std": 0.1,
        "gae_lambda": 0.95,
        "update_epochs": 10,
        "critic_epochs": 10,
        "num_minibatches": 4,
    },
    "rollout": {"steps_per_update": 1024, "num_envs": 8},
    "exploration": {
        "bonus": 0.3,
        "until": 0.5,
        "known_after": 0,
        "centred": True,
        "more_if_sparse": False,  # it does already
    },
    "evaluation": HOSTED_ON_POLICY["evaluation"],
}
"""Settings `best` for a handful of actions, on top of the others (docs/decisions/0031 and 0043):
there is nothing to generalise over, so that the policy chooses them directly, and sees states as
they are beside their embedding."""

BEST_IMAGES: Changes = {
    "embedding": {"state_dim": 64, "action_dim": 8},
    "policy": {**BEST_FEW_ACTIONS["policy"], "hidden": (128, 128)},
    HYPERPARAMETERS: {
        **BEST_FEW_ACTIONS[HYPERPARAMETERS],
        "critic_lr": 5e-4,
        "min_advantage_std": 0.0,
        "update_epochs": 4,
        "critic_epochs": 4,
        "num_minibatches": 8,
    },
    "rollout": {"steps_per_update": 4096, "num_envs": 32},
    "exploration": {"bonus": 0.0},
    "evaluation": {"every": 40_960, "episodes": 10, "final_episodes": 50},
}
"""The same where the observations are images: larger batches, as in gymnax's checkpoints."""

MAX_STATE_DIM, MIN_STATE_DIM = 64, 8
"""Bounds of the default state_dim where actions are continuous."""


def default_config(
    environment: str,
    env: EnvConfig,
    method: str = METHOD,
    algorithm: str = ALGORITHM,
    settings: Settings = SETTINGS,
    built: "AnyEnvironment | None" = None,
    *,
    total_timesteps: int | None = None,
) -> RunConfig:
    """Return the configuration that a run has when nothing else is specified.

    Args:
        environment: its name.
        env: its settings.
        method: a name in `METHODS`.
        algorithm: a name in `ALGORITHMS`.
        settings: `best`, `tuned` or `paper`.
        built: the environment, where `env` cannot build it (`ObjectConfig`).
        total_timesteps: the budget, which `best` and `tuned` are scaled to; None: the default.

    Raises:
        EmbrlError: a name is unknown, or has no such settings.
    """
    embeds = METHODS[method].embeds
    if settings not in get_args(Settings):
        raise UnknownNameError("settings", settings, get_args(Settings))
    continuous_actions = getattr(env, "continuous_actions", False)
    config = RunConfig(
        environment=getattr(env, "only", None) or environment,  # an id, not `module:id`
        env=env,
        method=method,
        algorithm=algorithm,
        seeds=4,
        total_timesteps=TOTAL_TIMESTEPS if total_timesteps is None else total_timesteps,
        seed=0,
        objectives=dict(METHODS[method].objectives),
        embedding=EmbeddingConfig(),
        pretrain=PretrainConfig(),
        online=OnlineConfig(),
        transfer=TransferConfig(),
        policy=PolicyConfig(),
        decoder=DecoderConfig(kind="learned" if continuous_actions else "nearest"),
        hyperparameters=ALGORITHMS[algorithm](),
        rollout=RolloutConfig(),
        evaluation=EvaluationConfig(),
    )
    if settings == "paper":
        timesteps, published = paper.published(environment, env, method, algorithm)
        if total_timesteps is None:
            config = dataclasses.replace(config, total_timesteps=timesteps)
        return _changed(config, published)
    config = _changed(config, {HYPERPARAMETERS: TUNED.get(algorithm, ({}, {}))[embeds]})
    if method == "random":
        # Untrained embeddings have no geometry to unfold: they fill the space.
        config = _changed(config, {"embedding": {"action_spread": 0.6}})
    named = method == "jsae" and named_factor(env) is not None
    if settings == "best" and (method, algorithm) == ("jsae", "ppo"):
        few, product = {}, None
        # Where actions name values of the observation, they are one long list, as those of data.
        if not (named or many_actions(env)):
            built = env.build() if built is None else built
            few, product = _few_actions(built), product_of(built.action_space)
        if few or not continuous_actions:
            config = _best(config, named)
            if product is not None:
                parts: Changes = {"embedding": {"action_dim": part_dimensions(product)}}
                config = _changed(config, parts | {HYPERPARAMETERS: {"by_part": True}})
            if continuous_actions:
                config = _changed(config, _continuous(env, algorithm, built))
            config = _changed(config, few)
            if few and config.total_timesteps < FULL_SIZE:
                config = _changed(config, {"pretrain": {"timesteps": FEW_PRETRAINING}})
            if is_host(env):
                config = dataclasses.replace(config, seeds=1)
            return _within_budget(config)
    if is_host(env):
        off_policy = config.hyperparameters.off_policy
        config = _changed(config, HOSTED_OFF_POLICY if off_policy else HOSTED_ON_POLICY)
        config = dataclasses.replace(config, seeds=1)
    if continuous_actions:
        config = _changed(config, _continuous(env, algorithm, built))
    return _within_budget(_naming(config) if named else config)


def with_sections(config: RunConfig, sections: Mapping[str, Any]) -> RunConfig:
    """Return a configuration with other settings.

    Args:
        config: the configuration.
        sections: by name of the section, as `embedding` or `ppo`: a `Section`, of which the
            settings that were given count; or a mapping of settings.

    Raises:
        UnknownNameError: there is no such section or setting.
    """
    known_sections = [
        config.algorithm if field.name == HYPERPARAMETERS else field.name
        for field in dataclasses.fields(config)
        if dataclasses.is_dataclass(getattr(config, field.name)) and field.name != "env"
    ]
    for section, values in sections.items():
        if section not in known_sections:
            raise UnknownNameError("section of settings", section, known_sections)
        name = HYPERPARAMETERS if section == config.algorithm else section
        known = [field.name for field in dataclasses.fields(getattr(config, name))]
        changes = given(values)
        for setting in changes:
            if setting not in known:
                raise UnknownNameError(f"setting of {section}", setting, known)
        config = _changed(config, {name: changes})
    return config


def _best(config: RunConfig, named: bool) -> RunConfig:
    config = _changed(config, BEST)
    return _changed(_naming(config), BEST_NAMING) if named else config


def _few_actions(built: "AnyEnvironment") -> Changes:
    """Return the settings for few actions; none where they are more."""
    observations, actions = built.observation_space, built.action_space
    if product_of(actions) is not None:
        return {}
    count = dimensions(actions) if is_continuous(actions) else action_count(actions)
    if count > FEW_ACTIONS:
        return {}
    if is_image(observations):
        return {**BEST_FEW_ACTIONS, **BEST_IMAGES}
    if sum(numbers_and_factors(observations)[1]) <= MAX_CODES:
        return BEST_FEW_ACTIONS
    return {**BEST_FEW_ACTIONS, "policy": {**BEST_FEW_ACTIONS["policy"], "inputs": "embedding"}}


def part_dimensions(product: Product) -> int:
    """Return the default dimensions of each discrete part; a switch needs but one."""
    if product.widest <= 2:
        return 1
    return max(2, min(8, PART_DIMENSIONS // len(product.sizes)))


def _within_budget(config: RunConfig) -> RunConfig:
    """Return settings that make something of a small budget."""
    total = config.total_timesteps
    if total < MIN_TIMESTEPS:
        return config  # refused, unless all that it depends on is set by hand
    steps, num_envs = config.rollout.steps_per_update, config.rollout.num_envs
    pretraining = config.pretrain.timesteps
    if METHODS[config.method].embeds:
        pretraining = min(pretraining, int(PRETRAINING_SHARE * total))
        total -= pretraining
    if steps * MIN_UPDATES > total:
        num_envs = min(num_envs, max(1, total // MIN_UPDATES // MIN_ROLLOUT))
        steps = total // MIN_UPDATES // num_envs * num_envs
        minibatches = getattr(config.hyperparameters, "num_minibatches", 1)
        if minibatches > 1:
            fewer = max(1, min(minibatches, steps // MIN_MINIBATCH))
            config = _changed(config, {HYPERPARAMETERS: {"num_minibatches": fewer}})
    every = min(config.evaluation.every, max(1, total // MIN_EVALUATIONS))
    if METHODS[config.method].embeds:
        whole = max(num_envs, pretraining // num_envs * num_envs)
        config = _changed(config, {"pretrain": {"timesteps": whole}})
    return _changed(
        config,
        {
            "rollout": {"steps_per_update": steps, "num_envs": num_envs},
            "evaluation": {"every": max(steps, every // steps * steps)},
        },
    )


def _naming(config: RunConfig) -> RunConfig:
    objectives = {**config.objectives, "outcome": 1.0}
    return _changed(dataclasses.replace(config, objectives=objectives), NAMING)


def _continuous(env: EnvConfig, algorithm: str, built: "AnyEnvironment | None") -> Changes:
    """Return the settings for continuous actions."""
    built = env.build() if built is None else built
    observations, actions = built.observation_space, built.action_space
    box, sizes = numbers_and_factors(observations)
    m = 0 if box is None else dimensions(box) + len(sizes)
    changes: Changes = {
        "embedding": {
            "state_dim": min(MAX_STATE_DIM, max(MIN_STATE_DIM, m)),
            "action_dim": dimensions(actions),
        },
        "pretrain": {"timesteps": 10_000, "gradient_steps": 1000},
        "policy": {"std": 1.0, "std_unit": "action"},
    }
    if algorithm == "ppo" and is_host(env):
        changes |= {HYPERPARAMETERS: USUAL_PPO}
    if algorithm == "sac":
        # Not "running" (docs/decisions/0019).
        changes["policy"] = {"std": 1.0, "hidden": (256, 256), "normalise": "scale_down_only"}
        changes |= {HYPERPARAMETERS: USUAL_SAC}
    return changes


def _changed(config: RunConfig, changes: Changes) -> RunConfig:
    parts = {
        name: dataclasses.replace(getattr(config, name), **change)
        for name, change in changes.items()
    }
    return dataclasses.replace(config, **parts)
