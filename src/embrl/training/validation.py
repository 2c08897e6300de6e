"""Whether the settings of a run fit together."""

import math
from typing import Any

from embrl.config.run import RunConfig, as_json
from embrl.config.settings_by_name import check_vary, point
from embrl.core.errors import EmbrlError
from embrl.core.spaces import action_count, dimensions, factors, is_continuous, state_count
from embrl.decoding import DECODERS
from embrl.decoding.config import build
from embrl.embedding.methods import method
from embrl.embedding.objectives import OBJECTIVES
from embrl.envs.environment import named_factor
from embrl.training.trainer import Program


def check(program: Program) -> None:
    """Looks at all settings.

    Raises:
        EmbrlError: some do not fit; the message names the flag and the reason.
    """
    config = program.config
    method(config.method)
    if config.vary:
        check_vary(config)
        for index in range(config.points):
            check(program.at(point(config, index)))
    _check_numbers(config)
    _check_rollout(config)
    _check_objectives(program)
    _check_decoder(program)
    _check_embedding(program)
    _check_what_the_policy_sees(program)
    _check_unit_of_noise(program)
    if program.epochs < 1:
        raise EmbrlError(
            f"samples is {config.samples}: an epoch takes {config.rollout.epoch} "
            f"and pre-training {program.pretraining_samples} before it"
        )


def check_fit(program: Program) -> None:
    """Looks at those settings that an embedding alone hangs on.

    Raises:
        EmbrlError: some do not fit; the message names the flag and the reason.
    """
    config = program.config
    if not method(config.method).embeds:
        raise EmbrlError(f"method {config.method} has no embedding to fit: choose another method")
    _check_numbers(config)
    _check_collecting(config)
    _check_objectives(program)
    _check_decoder(program)
    _check_embedding(program)


def _check_numbers(config: RunConfig) -> None:
    _all_finite(as_json(config))
    if not 0 <= config.seed < 2**32:
        raise EmbrlError(f"seed is {config.seed}: choose 0 to 4294967295")


def _check_collecting(config: RunConfig) -> None:
    rollout = config.rollout
    _positive("rollout.lanes", rollout.lanes)
    if not 0.0 <= rollout.persistence < 1.0:
        raise EmbrlError(f"rollout.persistence is {rollout.persistence}: choose 0 to below 1")


def _check_rollout(config: RunConfig) -> None:
    rollout, evaluation = config.rollout, config.evaluation
    _positive("seeds", config.seeds)
    _check_collecting(config)
    _positive("rollout.epoch", rollout.epoch)
    _positive("rollout.buffer", rollout.buffer)
    _positive("evaluation.episodes", evaluation.episodes)
    _positive("policy.std", config.policy.std)
    if getattr(config.hyper, "least_std", 0.0) < 0.0:
        raise EmbrlError(f"{config.algorithm}.least-std is below 0: choose 0 or more")
    _positive("explore.cells", config.explore.cells)
    if config.explore.bonus < 0.0:
        raise EmbrlError(f"explore.bonus is {config.explore.bonus}: choose 0 or more")
    if config.explore.known < 0:
        raise EmbrlError(f"explore.known is {config.explore.known}: choose 0 or more")
    if not 0.0 < config.explore.until <= 1.0:
        raise EmbrlError(f"explore.until is {config.explore.until}: choose above 0, to 1")
    if rollout.epoch % rollout.lanes:
        raise EmbrlError(
            f"rollout.lanes is {rollout.lanes}: it must divide rollout.epoch, {rollout.epoch}"
        )
    if evaluation.every % rollout.epoch or evaluation.every < 1:
        raise EmbrlError(
            f"evaluation.every is {evaluation.every}: "
            f"choose a multiple of rollout.epoch, {rollout.epoch}"
        )
    if evaluation.final_episodes % evaluation.episodes or evaluation.final_episodes < 1:
        raise EmbrlError(
            f"evaluation.final-episodes is {evaluation.final_episodes}: "
            f"choose a multiple of evaluation.episodes, {evaluation.episodes}"
        )


def _check_objectives(program: Program) -> None:
    config = program.config
    for name in config.objectives:
        if name not in program.own and name not in OBJECTIVES:
            raise OBJECTIVES.unknown(name, program.own)
    if config.objectives and not program.method.embeds:
        raise EmbrlError("objectives: method none has no embedding to train: choose another method")
    if program.horizon > program.epoch_rows:
        raise EmbrlError(
            f"model.horizon is {program.horizon}: an epoch has only {program.epoch_rows} steps in "
            "each lane"
        )


def _check_decoder(program: Program) -> None:
    config = program.config
    kind, algorithm = config.f.kind, config.algorithm
    build(config.f)
    if not method(config.method).actions:
        if kind not in ("nearest", "learned"):
            raise EmbrlError(f"f.kind is {kind}: method {config.method} embeds no actions")
        return
    if (kind == "learned") != is_continuous(program.action_space):
        fitting = "learned" if is_continuous(program.action_space) else "nearest"
        raise EmbrlError(f"f.kind is {kind}: actions are {program.action_space}: choose {fitting}")
    _positive("f.learning-rate", config.f.learning_rate)
    if DECODERS[kind].needs_judge and config.f.judge == "model":
        if lacking := {"forward", "outcome"} - config.objectives.keys():
            raise EmbrlError(
                f"f.judge is model: it judges by the objectives forward and outcome, and "
                f"{' and '.join(sorted(lacking))} is not learned: add it to objectives"
            )
    elif DECODERS[kind].needs_judge and not config.hyper.off_policy:
        raise EmbrlError(
            f"f.kind is {kind}: {algorithm} has no critic of actions to judge by: choose sac, or "
            "--f.judge model"
        )
    if kind == "softmax" and config.hyper.off_policy:
        raise EmbrlError(
            f"f.kind is softmax: its temperature is learned on-policy, not by {algorithm}: "
            "choose vpg or ppo"
        )


def _check_unit_of_noise(program: Program) -> None:
    if program.config.policy.std_unit == "action" and not is_continuous(program.action_space):
        raise EmbrlError(
            f"policy.std-unit is action: actions are {program.action_space}, and no numbers to "
            "measure noise in: choose embedding"
        )


def _check_embedding(program: Program) -> None:
    config = program.config
    update, fit = config.update, config.fit
    if not program.method.embeds:
        if config.transfer.run:
            raise EmbrlError("transfer.run: method none has no embedding to take over")
        if update.every:
            raise EmbrlError("update.every: method none has no embedding to update")
        return
    _positive("transfer.std", config.transfer.std)
    for name in ("samples", "steps", "batch"):
        _positive(f"fit.{name}", getattr(fit, name))
    _positive("fit.learning-rate", fit.learning_rate)
    _positive("model.m", config.model.m)
    _positive("model.d", config.model.d)
    _positive("model.horizon", config.model.horizon)
    if not config.model.action_network:
        _check_actions_as_they_are(program)
    _check_named(program)
    if not 0.0 < fit.held_out < 1.0:
        raise EmbrlError(f"fit.held-out is {fit.held_out}: choose between 0 and 1")
    if update.every < 0:
        raise EmbrlError(f"update.every is {update.every}: choose 0 or more")
    if not update.every:
        return
    if not config.objectives:
        raise EmbrlError(f"update.every: method {config.method} has nothing to learn")
    for name in ("steps", "batch", "learning_rate"):
        _positive(f"update.{name.replace('_', '-')}", getattr(update, name))
    for name in ("fresh", "until"):
        if not 0.0 <= getattr(update, name) <= 1.0:
            raise EmbrlError(f"update.{name} is {getattr(update, name)}: choose 0 to 1")


def _check_actions_as_they_are(program: Program) -> None:
    space, d = program.action_space, program.config.model.d
    if not is_continuous(space):
        raise EmbrlError(
            f"model.no-action-network: actions are {space}, and only vectors of numbers can be "
            "their own embedding: leave it out"
        )
    if d != (p := dimensions(space)):
        raise EmbrlError(
            f"model.d is {d}: without a network actions keep their {p} dimensions: choose {p}, or "
            "leave model.no-action-network out"
        )


def _check_what_the_policy_sees(program: Program) -> None:
    config = program.config
    if config.policy.sees == "embedding":
        return
    reason = None
    if not program.method.states:
        reason = f"method {config.method} embeds no states to see beside"
    elif not is_continuous(program.observation_space):
        reason = f"states are {program.observation_space}, and no vector of numbers"
    elif DECODERS[config.f.kind].needs_judge and config.f.judge == "model":
        reason = "f.judge model knows states by their embedding alone"
    elif not config.policy.hidden:
        reason = "policy.hidden has no layer to join them in"
    if reason is not None:
        raise EmbrlError(f"policy.sees is {config.policy.sees}: {reason}: choose embedding")


def _check_named(program: Program) -> None:
    """What hangs on actions that name values of what is observed."""
    config, named = program.config, named_factor(program.config.env)
    model = config.model
    continuous = is_continuous(program.action_space)
    actions = None if continuous else action_count(program.action_space)
    if named is not None and (count := factors(program.observation_space)[named]) != actions:
        raise EmbrlError(
            f"env: its {actions} actions cannot name the {count} values of factor {named}"
        )
    if model.head == "echo" and named is None:
        raise EmbrlError(
            "model.head is echo: here actions do not name what is observed: choose metric"
        )
    if model.memory < 0:
        raise EmbrlError(f"model.memory is {model.memory}: choose 0 or more")
    if model.memory and (model.head != "echo" or config.f.judge != "model"):
        raise EmbrlError(
            "model.memory: only f.judge model with model.head echo remembers: choose both, or 0"
        )
    if model.memory and (states := state_count(program.observation_space) or 0) >= 2**32 - 1:
        raise EmbrlError(f"model.memory: {states} states are too many to number: choose 0")
    _positive("model.memory-weight", model.memory_weight)
    if not model.tie:
        return
    if model.action_features:
        raise EmbrlError("model.tie: actions with features have places of their own: leave one out")
    if named is None:
        raise EmbrlError("model.tie: here actions do not name what is observed: leave it out")
    if not program.method.states:
        raise EmbrlError(f"model.tie: method {config.method} embeds no states to tie actions to")
    if model.d != model.m:
        raise EmbrlError(f"model.tie: model.d is {model.d} and model.m {model.m}: choose the same")
    if config.transfer.run and config.transfer.keep == "actions":
        raise EmbrlError("model.tie: actions that lie in X cannot be kept without it: keep both")


def _all_finite(values: dict[str, Any], inside: str = "") -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            _all_finite(value, f"{inside}{name}.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise EmbrlError(f"{inside}{name} is {value}: choose a finite number")


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise EmbrlError(f"{name} is {value}: choose more than 0")
