"""Settings that have no effect on a run, each with the choice that makes it so."""

import dataclasses
from typing import Any, NamedTuple, cast

from embrl.algorithms import ALGORITHMS
from embrl.algorithms.on_policy import ActorCritic
from embrl.algorithms.sac import SAC
from embrl.config.run import HYPERPARAMETERS, RunConfig
from embrl.config.schedule import Schedule
from embrl.config.settings_by_name import EMBEDDING_SECTIONS, SECTIONS
from embrl.decoding.base import DECODERS, DecoderConfig
from embrl.embedding.methods import METHODS
from embrl.envs.environment import named_factor

READ_BY: dict[str, tuple[str, ...]] = {
    "transition_hidden": ("forward",),
    "head": ("forward",),
    "head_hidden": ("state", "action", "reward", "termination", "latent"),
    "inverse_hidden": ("inverse",),
    "horizon": ("latent",),
}
"""Settings of the embedding that are read by these objectives alone, and by users' own."""

KNOWN_OBJECTIVES = {"outcome"}.union(*READ_BY.values())
"""Objectives of which it is known what they read."""

TO_INVERT_G = ("decoder.gradient_steps", "decoder.learning_rate")
"""Settings with which a network learns to invert g."""


class _Rule(NamedTuple):
    applies: bool
    choice: str
    """The choice that the settings are ignored with."""
    names: tuple[str, ...]
    """Dotted names, or whole sections."""


def unused(config: RunConfig) -> dict[str, str]:
    """Return the settings that have no effect, by dotted name, and what they are ignored with.

    A setting of the algorithm is called by the algorithm's name, as in flags, and `objectives` is
    one setting. Where it depends on the environment's data whether a setting has an effect, it is
    not returned.
    """
    names = ["objectives"]
    for section in (*SECTIONS, *EMBEDDING_SECTIONS):
        shown = config.algorithm if section == HYPERPARAMETERS else section
        names += [f"{shown}.{part.name}" for part in dataclasses.fields(getattr(config, section))]
    for algorithm in ALGORITHMS:
        if algorithm != config.algorithm:
            kinds = dataclasses.fields(ALGORITHMS[algorithm])
            names += [f"{algorithm}.{part.name}" for part in kinds]
    rules = [rule for rule in _rules(config) if rule.applies]
    found: dict[str, str] = {}
    for name in names:
        for rule in rules:
            if name in rule.names or name.partition(".")[0] in rule.names:
                found.setdefault(name, rule.choice)
    return found


def _rules(config: RunConfig) -> list[_Rule]:
    """Return all rules; of several that apply to a setting, the first counts."""
    method, objectives = METHODS[config.method], config.objectives
    own, algorithm = config.algorithm, config.hyperparameters
    continuous = getattr(config.env, "continuous_actions", False)
    by_method = f"method {config.method}"
    by_algorithm = f"algorithm {own}"
    by_actions = f"{'continuous' if continuous else 'discrete'} actions"
    by_objectives = f"objectives {' '.join(objectives)}" if objectives else "no objectives"
    kept = bool(config.transfer.run) and config.transfer.keep == "both"
    updates = method.embeds and config.online.every > 0
    in_embedding = Schedule(config, {}).acts_in_embedding
    by_policy = "policy.actions original" if method.actions else by_method
    decoder = settings_of_decoder(config.decoder.kind)
    return [
        _Rule(True, by_algorithm, tuple(name for name in ALGORITHMS if name != own)),
        _Rule(
            getattr(config.env, "only", None) is not None,
            f"environment {config.environment}",
            ("env.id",),
        ),
        _Rule(
            not method.embeds,
            by_method,
            # Policies read images with the same layers, without an embedding too.
            (
                "objectives",
                *(section for section in EMBEDDING_SECTIONS if section != "embedding"),
                *(_others(config, "embedding", "image_layers")),
            ),
        ),
        _Rule(not method.embeds, by_method, ("rollout.sticky_action_prob",)),
        _Rule(not method.actions, by_method, ("policy.actions",)),
        _Rule(not in_embedding, by_policy, ("policy.credit", "policy.std_unit", "decoder")),
        _Rule(
            not method.states,
            by_method,
            (
                "embedding.state_dim",
                "embedding.state_hidden",
                "embedding.ring",
                "embedding.state_spread",
                "echo",
                "policy.inputs",
            ),
        ),
        _Rule(
            method.states and config.policy.inputs == "embedding",
            "policy.inputs embedding",
            ("policy.normalise",),
        ),
        # Its phi scales observations as it was when it was trained.
        _Rule(method.embeds and not method.states, by_method, ("policy.normalise",)),
        _Rule(
            not in_embedding and not continuous,
            by_policy,
            (
                "policy.std",
                "policy.bounded",
                *(
                    (f"{own}.std_lr", f"{own}.scale_by_std", f"{own}.min_std")
                    if isinstance(algorithm, ActorCritic)
                    else ()
                ),
            ),
        ),
        _Rule(
            continuous,
            by_actions,
            (
                "embedding.action_features",
                "embedding.action_rows",
                "embedding.action_spread",
                "rollout.excluded_actions",
            ),
        ),
        _Rule(
            not continuous,
            by_actions,
            ("embedding.action_network", "embedding.decoder_hidden", "policy.std_unit"),
        ),
        _Rule(
            not continuous and not config.embedding.action_features,
            "no embedding.action_features",
            ("embedding.action_hidden", "embedding.action_rows"),
        ),
        _Rule(
            not config.embedding.action_features.lower().endswith(".csv"),
            "no texts in embedding.action_features",
            ("embedding.text_encoder",),
        ),
        _Rule(
            continuous and not config.embedding.action_network,
            "embedding.action_network false",
            ("embedding.action_hidden", "embedding.decoder_hidden", *TO_INVERT_G),
        ),
        *(
            _Rule(
                objectives.keys() <= KNOWN_OBJECTIVES and not objectives.keys() & set(readers),
                by_objectives,
                (f"embedding.{name}",),
            )
            for name, readers in READ_BY.items()
        ),
        _Rule(named_factor(config.env) is None, f"environment {config.environment}", ("echo",)),
        _Rule(not config.echo.memory, "echo.memory 0", ("echo.memory_weight",)),
        _Rule(
            kept,
            "transfer.keep both",
            ("pretrain", *TO_INVERT_G, "rollout.sticky_action_prob"),
        ),
        _Rule(
            not objectives,
            by_objectives,
            ("pretrain.gradient_steps", "pretrain.learning_rate", "online"),
        ),
        _Rule(not objectives and not continuous, by_objectives, ("pretrain.batch_size",)),
        _Rule(not updates, "online.every 0", _others(config, "online", "every")),
        _Rule(not config.transfer.run, "no transfer.run", _others(config, "transfer", "run")),
        _Rule(not config.transfer.policy, "no transfer.policy", ("transfer.min_std",)),
        _Rule(
            True,
            f"decoder.kind {config.decoder.kind}",
            tuple(
                name
                for name in _others(config, "decoder", "kind")
                if name.removeprefix("decoder.") not in decoder
            ),
        ),
        _Rule(
            isinstance(algorithm, SAC),
            by_algorithm,
            ("policy.bounded", "policy.credit", "transfer.min_std"),
        ),
        _Rule(
            isinstance(algorithm, SAC) and not algorithm.alpha_lr,
            f"{own}.alpha_lr 0",
            (f"{own}.target_entropy",),
        ),
        _Rule(
            not (algorithm.off_policy or updates),
            f"{by_algorithm} and online.every 0",
            ("rollout.buffer_size",),
        ),
        _Rule(
            not config.exploration.bonus,
            "exploration.bonus 0",
            _others(config, "exploration", "bonus"),
        ),
        _Rule(
            not config.imitation.gradient_steps,
            "imitation.gradient_steps 0",
            _others(config, "imitation", "gradient_steps"),
        ),
    ]


def settings_of_decoder(kind: str) -> set[str]:
    """Return the names of the settings that a decoder reads.

    Decoders know this themselves: they read a record of what is read.
    """
    decoder = DECODERS[kind]
    read: set[str] = set()

    class Recorder:
        def __getattribute__(self, name: str) -> Any:
            read.add(name)
            return getattr(DecoderConfig(kind=kind), name)

    record = cast(DecoderConfig, Recorder())
    if any(part is record for part in vars(decoder.from_config(record)).values()):
        return {part.name for part in dataclasses.fields(DecoderConfig)}  # it keeps all of them
    if decoder.needs_scorer:
        read.add("scorer")
    if decoder.by_index:
        read.add("max_visits")
    if decoder.continuous:
        read |= {name.partition(".")[2] for name in TO_INVERT_G}
    return read


def _others(config: RunConfig, section: str, name: str) -> tuple[str, ...]:
    """Return the settings of a section but for one, which turns them on."""
    parts = dataclasses.fields(getattr(config, section))
    return tuple(f"{section}.{part.name}" for part in parts if part.name != name)
