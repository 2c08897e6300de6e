"""Flags of a run, shared by all commands that make one."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from embrl import envs
from embrl.algorithms import ALGORITHMS
from embrl.cli.parsing import parse, value_of
from embrl.config.defaults import Settings, default_config
from embrl.config.run import HYPERPARAMETERS, RunConfig
from embrl.config.settings_by_name import EMBEDDING_SECTIONS
from embrl.embedding.methods import METHODS
from embrl.embedding.objectives import OBJECTIVES
from embrl.envs.environment import named_factor

Field = tuple[str, Any, Any]


def field(name: str, kind: Any, value: Any, text: str) -> Field:
    """Return a flag: its name, type and help, and its default."""
    return name, Annotated[kind, tyro.conf.arg(help=text)], value


def configured(
    environment: str,
    arguments: Sequence[str],
    command: str,
    *,
    seed: int = 0,
    extra: Sequence[Field] = (),
) -> tuple[RunConfig, Any]:
    """Return the configuration that flags describe, and the values of all flags.

    Args:
        environment: its name.
        arguments: of the command line, after the environment.
        command: its name, for messages and for the default run folder.
        seed: the default seed.
        extra: flags of this command alone.
    """
    # The flags' defaults depend on these names, so they are read first.
    env_class = envs.kind(environment)
    method_name = value_of("--method", arguments, "jsae")
    algorithm = value_of("--algorithm", arguments, "vpg")
    settings = value_of("--settings", arguments, "tuned")
    program = f"embrl {command} {environment}"
    env = parse_env(env_class, arguments, program)
    default = default_config(environment, env, method_name, algorithm, settings)  # type: ignore[arg-type]
    default = dataclasses.replace(default, seed=seed)
    kind = _flags(default, settings, "" if command == "train" else f"{command}-", extra)
    given: Any = parse(kind, arguments, program)
    parts = {
        name: getattr(given, name)
        for name in (field.name for field in dataclasses.fields(RunConfig))
        if hasattr(given, name)
    }
    if "objectives" in parts:
        parts["objectives"] = dict(parts["objectives"])
    return dataclasses.replace(default, **parts), given


def parse_env(env_class: type, arguments: Sequence[str], program: str) -> Any:
    """Return the environment's settings from its flags alone, which other defaults depend on."""
    kind = dataclasses.make_dataclass("Env", [("env", env_class, env_class())], frozen=True)
    mine: list[str] = []
    taking = False
    for argument in arguments:
        if argument.startswith("--"):
            taking = argument.startswith("--env.")
        if taking:
            mine.append(argument)
    return parse(kind, mine, program).env  # type: ignore[attr-defined]


def objectives(default: RunConfig) -> Field:
    """Return the flag for objectives and their weights."""
    return field(
        "objectives",
        tuple[tuple[str, float], ...],
        tuple(default.objectives.items()),
        "Objectives that the embedding is trained on, with weights, as in: forward 1 reward 0.1. "
        f"Names: {', '.join(OBJECTIVES)}.",
    )


def sections(default: RunConfig, *names: str) -> list[Field]:
    """Return the flags of these sections of a configuration, `--SECTION.SETTING`.

    Sections that the method or the environment does not use are left out.
    """
    embeds, named = METHODS[default.method].embeds, named_factor(default.env) is not None
    return [
        (name, type(getattr(default, name)), getattr(default, name))
        for name in names
        if (embeds or name not in EMBEDDING_SECTIONS) and (named or name != "echo")
    ]


def _flags(default: RunConfig, settings: str, prefix: str, extra: Sequence[Field]) -> type:
    """Return a dataclass of the flags for these defaults."""
    name = default.environment.replace("/", "-")  # Gymnasium's namespaces
    run_name = f"{prefix}{name}-{default.method}-{default.algorithm}"
    embeds = METHODS[default.method].embeds
    hyperparameters = default.hyperparameters
    return dataclasses.make_dataclass(
        "Train",
        [
            *extra,
            field(
                "method",
                Literal[tuple(METHODS)],
                default.method,
                "Method: what is embedded, and the objectives that embeddings are trained on.",
            ),
            field(
                "algorithm",
                Literal[tuple(ALGORITHMS)],
                default.algorithm,
                "Reinforcement learning algorithm.",
            ),
            field(
                "settings",
                Literal[get_args(Settings)],
                settings,
                "Source of the other defaults: tuned for comparisons, our best, or the paper as "
                "published.",
            ),
            field("seeds", int, default.seeds, "Number of independent runs, trained side by side."),
            field(
                "total_timesteps",
                int,
                default.total_timesteps,
                "Environment steps of each seed, including those of pre-training.",
            ),
            field("seed", int, default.seed, "Random seed, 0 to 4294967295."),
            field("out", Path, Path("runs") / run_name, "Folder to write."),
            field(
                "resume",
                tyro.conf.FlagCreatePairsOff[bool],
                False,
                "Continue from the last checkpoint in that folder.",
            ),
            *([objectives(default)] if embeds else []),
            *sections(
                default,
                "env",
                "embedding",
                "echo",
                "pretrain",
                "online",
                "transfer",
                "policy",
                "decoder",
            ),
            (
                HYPERPARAMETERS,
                Annotated[type(hyperparameters), tyro.conf.arg(name=default.algorithm)],
                hyperparameters,
            ),
            *sections(default, "rollout", "exploration", "evaluation"),
        ],
        frozen=True,
    )
