"""Validation of how the settings of a run fit together, and to the environment."""

import dataclasses
from collections.abc import Mapping

import gymnasium

from embrl.config.defaults import MIN_TIMESTEPS
from embrl.config.run import RunConfig
from embrl.config.schedule import Schedule
from embrl.config.settings_by_name import point, replaced, validate_vary
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.products import is_product
from embrl.core.spaces import is_continuous
from embrl.decoding.base import DECODERS, DEFAULTS, build
from embrl.embedding.encoders import encoder_inputs, input_size
from embrl.embedding.methods import METHODS
from embrl.embedding.objectives import OBJECTIVES, OwnObjective
from embrl.envs.environment import named_factor

MIN_STEPS = 2
"""Steps in time that pre-training needs: one to train on, one to measure quality on."""


def validate_run(
    config: RunConfig,
    observation_space: gymnasium.Space,
    action_space: gymnasium.Space,
    custom_objectives: Mapping[str, OwnObjective],
) -> None:
    """Check that all settings of a run fit together, at every point of a sweep.

    Args:
        config: the settings.
        observation_space: of the environment.
        action_space: of the environment.
        custom_objectives: a user's objectives by name.

    Raises:
        EmbrlError: some do not fit; the message names the setting and the reason.
    """
    if config.vary:
        validate_vary(config)
        for index in range(config.points):
            values = point(config, index)
            alone = replaced(dataclasses.replace(config, vary={}), values)
            validate_run(alone, observation_space, action_space, custom_objectives)
    config.validate()
    validate_embedding(config, observation_space, action_space, custom_objectives)
    _validate_policy(config, action_space)
    schedule = Schedule(config, custom_objectives)
    least = MIN_STEPS * config.rollout.num_envs
    if schedule.pretrains and schedule.pretraining_timesteps < least:
        raise SettingError(
            "pretrain.timesteps",
            f"at least {least}, {MIN_STEPS} steps of each of rollout.num_envs",
            config.pretrain.timesteps,
        )
    if schedule.num_updates < 1:
        least = schedule.timesteps(1)
        smaller = f"lower rollout.steps_per_update ({config.rollout.steps_per_update})"
        if schedule.pretrains:
            smaller += f" and pretrain.timesteps ({config.pretrain.timesteps})"
        scaled = f"defaults fit a budget from {MIN_TIMESTEPS:,} on; below it, "
        raise SettingError(
            "total_timesteps",
            f"at least {least} (pre-training and one update)",
            config.total_timesteps,
            (scaled if config.total_timesteps < MIN_TIMESTEPS else "") + smaller,
        )


def validate_embedding(
    config: RunConfig,
    observation_space: gymnasium.Space,
    action_space: gymnasium.Space,
    custom_objectives: Mapping[str, OwnObjective],
) -> None:
    """Check the settings that an embedding depends on.

    Raises:
        EmbrlError: some do not fit; the message names the setting and the reason.
    """
    for name in config.objectives:
        if name not in custom_objectives and name not in OBJECTIVES:
            raise OBJECTIVES.unknown(name, custom_objectives)
    if config.objectives and not METHODS[config.method].embeds:
        raise EmbrlError(
            f"objectives need an embedding, and method {config.method} has none; choose another "
            "method"
        )
    _validate_decoder(config, action_space)
    _validate_product(config, action_space)
    settings = config.embedding
    seen = input_size(observation_space, settings.image_layers, settings.grey_scale)
    if METHODS[config.method].states:
        encoder_inputs(seen, settings.state_hidden, settings.ring)
    if METHODS[config.method].embeds:
        config.transfer.validate()
        config.pretrain.validate()
        config.embedding.validate(action_space)
        config.online.validate()
        _validate_echo(config, observation_space, action_space)
    else:
        for setting, value in (
            ("transfer.run", config.transfer.run),
            ("online.every", config.online.every),
        ):
            if value:
                raise EmbrlError(
                    f"{setting} needs an embedding, and method {config.method} has none"
                )
    if config.online.every and not config.objectives:
        raise SettingError(
            "online.every",
            f"0 for method {config.method}, which has no objectives",
            config.online.every,
        )
    schedule = Schedule(config, custom_objectives)
    if schedule.horizon > schedule.rollout_length:
        raise SettingError(
            "embedding.horizon",
            f"at most {schedule.rollout_length}, the steps of an environment between two updates",
            schedule.horizon,
        )


def _validate_policy(config: RunConfig, action_space: gymnasium.Space) -> None:
    """Check the settings that a policy depends on.

    Raises:
        EmbrlError: some do not fit; the message names the setting and the reason.
    """
    if config.policy.std_unit == "action" and not is_continuous(action_space):
        raise SettingError("policy.std_unit", f"embedding for {action_space}", "action")
    if config.policy.inputs == "embedding":
        return
    reason = None
    if not METHODS[config.method].states:
        reason = f"method {config.method} embeds no states"
    elif _scored_by_model(config):
        reason = "decoder.scorer model sees states by their embedding alone"
    elif not config.policy.hidden:
        reason = "policy.hidden has no layer to join them in"
    if reason is not None:
        raise SettingError("policy.inputs", "embedding", config.policy.inputs, reason)


def _scored_by_model(config: RunConfig) -> bool:
    return DECODERS[config.decoder.kind].needs_scorer and config.decoder.scorer == "model"


def _validate_decoder(config: RunConfig, action_space: gymnasium.Space) -> None:
    kind, algorithm = config.decoder.kind, config.algorithm
    build(config.decoder)
    if not METHODS[config.method].actions:
        if kind not in DEFAULTS:
            raise EmbrlError(
                f"decoder.kind {kind} needs embedded actions, and method {config.method} has none; "
                "choose another method"
            )
        return
    decoder = DECODERS[kind]
    if is_product(action_space) and not decoder.of_products:
        raise SettingError(
            "decoder.kind",
            "nearest, wolpertinger or softmax for actions with several parts",
            kind,
            "leave it out",
        )
    if decoder.continuous != is_continuous(action_space):
        suitable = DEFAULTS[is_continuous(action_space)]
        raise SettingError("decoder.kind", f"a decoder for {action_space}", kind, f"as {suitable}")
    if decoder.needs_scorer and config.decoder.scorer == "model":
        if lacking := {"forward", "outcome"} - config.objectives.keys():
            raise EmbrlError(
                f"decoder.scorer model needs {' and '.join(sorted(lacking))}; add to objectives"
            )
    elif decoder.needs_scorer and not config.hyperparameters.off_policy:
        raise EmbrlError(
            f"decoder.kind {kind} needs a critic of actions, and {algorithm} has none; choose sac, "
            "or decoder.scorer model"
        )
    if decoder.on_policy_only and config.hyperparameters.off_policy:
        raise EmbrlError(
            f"decoder.kind {kind} needs an on-policy algorithm, got {algorithm}, as "
            f"{decoder.on_policy_only}; choose vpg or ppo"
        )


def _validate_product(config: RunConfig, action_space: gymnasium.Space) -> None:
    """Check what actions with several parts do not allow."""
    if not is_product(action_space) or not config.hyperparameters.off_policy:
        return
    if not Schedule(config, {}).acts_in_embedding:
        raise SettingError(
            "algorithm",
            "vpg or ppo for actions with several parts that are not embedded",
            config.algorithm,
            "its critic would need a value for each combination; choose a method that embeds "
            "actions",
        )


def _validate_echo(
    config: RunConfig, observation_space: gymnasium.Space, action_space: gymnasium.Space
) -> None:
    echo = config.echo
    named = named_factor(config.env)
    echo.validate(config.embedding, observation_space, action_space, named)
    if echo.memory and (config.embedding.head != "echo" or not _scored_by_model(config)):
        raise SettingError(
            "echo.memory", "0 without embedding.head echo and decoder.scorer model", echo.memory
        )
    if echo.tie and not METHODS[config.method].states:
        raise EmbrlError(f"echo.tie needs embedded states; method {config.method} has none")
    if echo.tie and config.transfer.run and config.transfer.keep == "actions":
        raise EmbrlError("echo.tie needs transfer.keep both, got actions")
