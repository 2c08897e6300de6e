"""The flags of a run, for every command that makes one."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from embrl import envs
from embrl.algorithms import ALGORITHMS
from embrl.cli.parsing import parse, value_of
from embrl.config.defaults import Settings, default_config
from embrl.config.run import RunConfig
from embrl.embedding.methods import METHODS, method
from embrl.embedding.objectives import OBJECTIVES

Field = tuple[str, Any, Any]


def field(name: str, kind: Any, value: Any, text: str) -> Field:
    """A flag, its type, default and help."""
    return name, Annotated[kind, tyro.conf.arg(help=text)], value


def configured(
    environment: str,
    arguments: Sequence[str],
    command: str,
    *,
    seed: int = 0,
    extra: Sequence[Field] = (),
) -> tuple[RunConfig, Any]:
    """The configuration that the flags describe, and all of them: also `out`, `resume` and the
    command's own.

    Arguments:
        command: its name, for messages and for the run folder's.
        seed: the default.
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
    """The environment's own flags alone, which the paper's settings depend on."""
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
    """What an embedding is trained to do."""
    return field(
        "objectives",
        tuple[tuple[str, float], ...],
        tuple(default.objectives.items()),
        "What the embedding is trained to do: names and weights, as in forward 1 "
        f"reward 0.1. Names: {', '.join(OBJECTIVES)}.",
    )


def _flags(default: RunConfig, settings: str, prefix: str, extra: Sequence[Field]) -> type:
    """A dataclass of the flags for these defaults."""
    name = default.environment.replace("/", "-")  # Gymnasium's namespaces
    run_name = f"{prefix}{name}-{default.method}-{default.algorithm}"
    embeds = method(default.method).embeds
    return dataclasses.make_dataclass(
        "Train",
        [
            *extra,
            field("method", Literal[tuple(METHODS)], default.method, "What is embedded, and how."),
            field(
                "algorithm", Literal[tuple(ALGORITHMS)], default.algorithm, "How the policy learns."
            ),
            field(
                "settings",
                Literal[get_args(Settings)],
                settings,
                "Where the other defaults come from: tuned for comparisons, our best, or the paper "
                "as published.",
            ),
            field("seeds", int, default.seeds, "Independent runs, trained side by side."),
            field(
                "samples",
                int,
                default.samples,
                "Environment steps of each seed, pre-training included.",
            ),
            field("seed", int, default.seed, "Where all randomness comes from."),
            field("out", Path, Path("runs") / run_name, "The folder to write."),
            field(
                "resume",
                tyro.conf.FlagCreatePairsOff[bool],
                False,
                "Go on from the last checkpoint in that folder.",
            ),
            *([objectives(default)] if embeds else []),
            ("env", type(default.env), default.env),
            *([("model", type(default.model), default.model)] if embeds else []),
            *([("fit", type(default.fit), default.fit)] if embeds else []),
            *([("update", type(default.update), default.update)] if embeds else []),
            *([("transfer", type(default.transfer), default.transfer)] if embeds else []),
            ("policy", type(default.policy), default.policy),
            *([("f", type(default.f), default.f)] if embeds else []),
            (
                "hyper",
                Annotated[type(default.hyper), tyro.conf.arg(name=default.algorithm)],
                default.hyper,
            ),
            ("rollout", type(default.rollout), default.rollout),
            ("explore", type(default.explore), default.explore),
            ("evaluation", type(default.evaluation), default.evaluation),
        ],
        frozen=True,
    )
