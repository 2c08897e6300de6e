"""Flags of a run, shared by all commands that make one."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NoReturn, get_args

from embrl import envs
from embrl.algorithms import ALGORITHMS
from embrl.cli.main import HELP
from embrl.cli.parsing import (
    Flag,
    Switch,
    asks_for_help,
    flags_of,
    given,
    parse_flags,
    print_help,
    section_values,
    value_of,
)
from embrl.config import defaults
from embrl.config.common_settings import is_common
from embrl.config.defaults import Settings, default_config
from embrl.config.run import (
    HYPERPARAMETERS,
    RunConfig,
    begun_config,
    from_json,
    load_config,
)
from embrl.config.settings_by_name import replaced
from embrl.config.used_settings import unused
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.registry import load_installed_plugins
from embrl.embedding.methods import METHODS
from embrl.embedding.objectives import OBJECTIVES
from embrl.envs import EnvConfig
from embrl.storage import files
from embrl.storage.run_folder import RunFolder

SECTIONS = (
    "env",
    "embedding",
    "echo",
    "pretrain",
    "online",
    "transfer",
    "policy",
    "decoder",
    HYPERPARAMETERS,
    "rollout",
    "imitation",
    "exploration",
    "evaluation",
)
"""Sections of a configuration, in the order of help texts."""


def configured(
    environment: str | None,
    arguments: Sequence[str],
    command: str,
    *,
    seed: int | None = None,
    extra: Sequence[Flag] = (),
    about: str = "",
) -> tuple[RunConfig, SimpleNamespace]:
    """Return the configuration that flags describe, and the values of the other flags.

    Args:
        environment: its name; None: that of the file that `--config` names.
        arguments: of the command line, after the environment.
        command: its name, for messages and for the default run folder.
        seed: the default seed; None: that of the source of the other defaults.
        extra: flags of this command alone.
        about: description of the command, for its help text.

    Raises:
        EmbrlError: an argument is wrong, or a setting is given that has no effect.
    """
    program = " ".join(["embrl", command, *([environment] if environment else [])])
    default = _default(environment, arguments, program)
    if seed is not None:
        default = dataclasses.replace(default, seed=seed)
    own = [*extra, *_own_flags(default, arguments, command)]
    flags = [*own, *setting_flags(default, *SECTIONS)]
    config, values = parse_settings(default, flags, arguments, program, about)
    return config, SimpleNamespace(**{flag.name: values[flag.name] for flag in own})


def parse_settings(
    default: RunConfig,
    flags: Sequence[Flag],
    arguments: Sequence[str],
    program: str,
    about: str,
) -> tuple[RunConfig, dict[str, Any]]:
    """Return a configuration with the settings that flags give, and the values of all flags.

    Help texts are without the flags that have no effect.

    Args:
        default: the configuration without flags.
        flags: all flags, some of which are settings.
        arguments: of the command line.
        program: the command, for help texts.
        about: its description.

    Raises:
        EmbrlError: an argument is wrong, or a setting is given that has no effect.
    """
    if asks_for_help(arguments):
        _print_used(default, flags, arguments, program, about)
    values = parse_flags(flags, arguments, program)
    config = _with_settings(default, values)
    _refuse(unused(config), given(arguments))
    return config, values


def setting_flags(default: RunConfig, *sections: str) -> list[Flag]:
    """Return the flags of these sections of a configuration, `--SECTION.SETTING`.

    Those of other algorithms are among them, to be refused with a reason.
    """
    parts = {name: getattr(default, name) for name in sections}
    found = [flag for name, part in parts.items() for flag in flags_of(part, name)]
    names = [flag.name for flag in found]
    found = [dataclasses.replace(flag, common=is_common(flag.name, names)) for flag in found]
    if HYPERPARAMETERS not in parts:
        return found
    prefix = f"{HYPERPARAMETERS}."
    found = [
        dataclasses.replace(flag, name=flag.name.replace(prefix, f"{default.algorithm}."))
        for flag in found
    ]
    others = [
        Flag(f"{name}.{part.name}", tuple[str, ...], default=(), common=False)
        for name in ALGORITHMS
        if name != default.algorithm
        for part in dataclasses.fields(ALGORITHMS[name])
    ]
    return found + others


def choice_flags(default: RunConfig, settings: str) -> list[Flag]:
    """Return the flags of a method, of the source of other settings, and of objectives.

    Args:
        default: the configuration without flags.
        settings: name of the source.
    """
    return [
        Flag(
            "method",
            Literal[tuple(METHODS)],
            "Method: what is embedded, and the objectives that embeddings are trained on.",
            default.method,
        ),
        Flag(
            "settings",
            Literal[get_args(Settings)],
            "Source of other defaults: our best, those of comparisons, or the paper's.",
            settings,
        ),
        Flag(
            "objectives",
            tuple[tuple[str, float], ...],
            "Objectives that the embedding is trained on, with weights, as in: forward 1 reward "
            f"0.1. Names: {', '.join(OBJECTIVES)}.",
            tuple(default.objectives.items()),
            common=False,
        ),
        Flag("seed", int, "Random seed, 0 to 4294967295.", default.seed),
    ]


def env_of_flags(environment: str, arguments: Sequence[str], program: str) -> EnvConfig:
    """Return the environment's settings from its flags alone, which other defaults depend on."""
    kind = envs.kind(environment)
    flags = flags_of(kind(), "env")
    mine = [
        word
        for name, words in given(arguments).items()
        if name.startswith("--env.")
        for word in (name, *words)
    ]
    values = parse_flags(flags, mine, program)
    return kind(**section_values(values, "env"))


def read_config(path: Path) -> RunConfig:
    """Return the configuration of a run from its folder, its `config.json`, or a copy of that.

    Raises:
        EmbrlError: there is none, or it is that of several points of a sweep.
    """
    if path.is_dir() or path.name == "config.json":
        config = load_config(RunFolder.existing(path if path.is_dir() else path.parent))
    else:
        config = from_json(files.read_json(path), path)
    if config.vary:
        raise EmbrlError(f"{path} is a part of a sweep, whose points differ; choose another run")
    return config


def _default(environment: str | None, arguments: Sequence[str], program: str) -> RunConfig:
    """Return the configuration that other flags change."""
    if path := value_of("--config", arguments, ""):
        config = read_config(Path(path))
        if "--settings" in given(arguments):
            raise SettingError("--settings", "left out with --config", "both", "choose one")
        for name, wanted, found in (
            ("ENV", environment or config.environment, config.environment),
            *(
                (f"--{name}", value_of(f"--{name}", arguments, found), found)
                for name, found in (("method", config.method), ("algorithm", config.algorithm))
            ),
        ):
            if wanted != found:
                raise SettingError(name, f"{found}, as in {path}", wanted, "leave one of them out")
        return config
    assert environment is not None
    method = value_of("--method", arguments, defaults.METHOD)
    algorithm = value_of("--algorithm", arguments, defaults.ALGORITHM)
    if "--resume" in given(arguments) and (out := value_of("--out", arguments, "")):
        found = begun_config(Path(out), environment, method, algorithm)
        if found is not None:
            return found
    settings = value_of("--settings", arguments, defaults.SETTINGS)
    budget = value_of("--total-timesteps", arguments, "")
    return default_config(
        environment,
        env_of_flags(environment, arguments, program),
        method,
        algorithm,
        settings,  # type: ignore[arg-type]
        total_timesteps=int(budget) if budget.isdecimal() else None,  # parsed again, with the rest
    )


def _own_flags(default: RunConfig, arguments: Sequence[str], command: str) -> list[Flag]:
    """Return the flags of a run that are no section's."""
    name = default.environment.replace("/", "-")  # Gymnasium's namespaces
    prefix = "" if command == "train" else f"{command}-"
    out = Path("runs") / f"{prefix}{name}-{default.method}-{default.algorithm}"
    settings = value_of("--settings", arguments, defaults.SETTINGS)
    method, source, objectives, seed = choice_flags(default, settings)
    return [
        method,
        Flag(
            "algorithm",
            Literal[tuple(ALGORITHMS)],
            "Reinforcement learning algorithm.",
            default.algorithm,
        ),
        *([] if "--config" in given(arguments) else [source]),
        Flag("seeds", int, "Number of independent runs, trained side by side.", default.seeds),
        Flag(
            "total_timesteps",
            int,
            "Environment steps of each seed, including those of pre-training.",
            default.total_timesteps,
        ),
        seed,
        Flag("out", Path, "Folder to write.", out),
        Flag("resume", Switch, "Continue from the last checkpoint in that folder.", False),
        Flag(
            "config",
            Path | None,
            "Run folder, or a file like its config.json, whose settings are the defaults.",
            None,
            common=command == "train",
        ),
        objectives,
    ]


def _print_used(
    default: RunConfig, flags: Sequence[Flag], arguments: Sequence[str], program: str, about: str
) -> NoReturn:
    """Print the flags that have an effect together with those that are given."""
    load_installed_plugins()  # to be named
    rest = [argument for argument in arguments if argument not in HELP]
    try:
        hidden = unused(_with_settings(default, parse_flags(flags, rest, program)))
    except EmbrlError:
        hidden = unused(default)
    sections = {
        default.algorithm if name == HYPERPARAMETERS else name: type(part).__doc__ or ""
        for name, part in vars(default).items()
    }
    used = [flag for flag in flags if flag.name not in hidden]
    print_help(used, arguments, program, about, sections)


def _with_settings(default: RunConfig, values: dict[str, Any]) -> RunConfig:
    """Return a configuration with the values of flags that are settings."""
    sections = {*SECTIONS, default.algorithm}
    mine = {
        name: value
        for name, value in values.items()
        if "." in name and name.partition(".")[0] in sections
    }
    mine |= {name: values[name] for name in ("seed", "seeds", "total_timesteps") if name in values}
    return replaced(default, {**mine, "objectives": dict(values["objectives"])})


def _refuse(hidden: Mapping[str, str], found: Mapping[str, list[str]]) -> None:
    """Refuse a flag that has no effect.

    Args:
        hidden: settings without effect, and why.
        found: flags that are given, and their values.
    """
    for flag, words in found.items():
        section, dot, field = flag.removeprefix("--").replace("-", "_").rpartition(".")
        for name in (f"{section}{dot}{field}", f"{section}{dot}{field.removeprefix('no_')}"):
            if name in hidden:
                choice, _, value = hidden[name].rpartition(" ")
                advice = f"or give {value}" if choice == "no" else f"or choose another {choice}"
                constraint = f"left out with {hidden[name]}, which ignores it"
                raise SettingError(
                    name,
                    constraint,
                    " ".join(words) or flag,
                    "" if " " in choice or value == "actions" else advice,
                )
