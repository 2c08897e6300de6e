"""The command `embrl fit SOURCE`."""

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import gymnasium
import numpy as np
import tyro
from rich.console import Console

from embrl import envs
from embrl.cli.flags import (
    choice_flags,
    env_of_flags,
    parse_settings,
    setting_flags,
)
from embrl.cli.parsing import (
    Flag,
    Switch,
    asks_for_help,
    flags_of,
    given,
    parse,
    section_values,
    value_of,
)
from embrl.config.defaults import METHOD, SETTINGS
from embrl.config.run import RunConfig
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.runtime import prepare_jax
from embrl.core.types import Transition
from embrl.data.sources import Given, from_transition
from embrl.embedding.saved import check_free
from embrl.fitting.embedding import Embedding
from embrl.fitting.fit import embedding_of_run, learn
from embrl.fitting.sources import DataSource, is_recorded, open_source
from embrl.report.console import plain_console
from embrl.report.progress_bar import ProgressBar
from embrl.storage.lock import locked
from embrl.tasks.config import TasksConfig

FROM_RUN = "--from-run"

SECTIONS = ("embedding", "echo", "pretrain", "decoder")
"""Sections of a run's configuration that an embedding depends on."""

COLLECTING = ("rollout.num_envs", "rollout.sticky_action_prob")
"""Other settings that it depends on where steps are taken in an environment."""


@dataclasses.dataclass(frozen=True)
class _Fit:
    """Train an embedding alone, on an environment or recorded transitions.

    Writes a folder with the embedding, which embrl inspect reads.
    """

    source: Annotated[str | None, tyro.conf.Positional] = None
    """Where transitions are from: a file, .npz or .parquet; the folder of a Minari data set, or
    minari:ID for one on this machine; or an environment: {names}. `embrl fit SOURCE --help` lists
    its settings."""
    from_run: Path | None = None
    """Run folder whose embedding is taken as it is, instead of SOURCE."""
    out: Path | None = None
    """Folder to write."""
    seed: int = 0
    """Index of the seed in --from-run."""


def fit(arguments: Sequence[str]) -> None:
    """Parse the flags, fit, save, and print the quality of the embedding."""
    prepare_jax()
    console = plain_console()
    if not arguments or arguments[0].startswith("-") or FROM_RUN in given(arguments):
        own = parse(_Fit, arguments, "embrl fit", names=envs.listed_names())
        if own.from_run is None:
            raise SettingError(
                "SOURCE",
                "an environment, a .npz or .parquet file, or a Minari data set",
                "nothing",
                "embrl fit SOURCE",
            )
        if own.out is None:
            raise SettingError("--out", "the folder to write", "nothing")
        with locked(own.out):
            check_free(own.out)
            _keep(embedding_of_run(own.from_run, own.seed), own.out, console)
        return
    where, config, out, tasks = _configured(arguments[0], arguments[1:])
    with locked(out):
        check_free(out)
        for note in where.notes:
            console.print(note, soft_wrap=True)
        with ProgressBar(console, f"{config.method} on {where.name}") as bar:
            found = learn(config, where, tasks=tasks, on_progress=bar.show)
        _keep(found, out, console)


def _configured(
    source: str, arguments: Sequence[str]
) -> tuple[DataSource, RunConfig, Path, TasksConfig | None]:
    recorded = is_recorded(source)
    where = _data(source, arguments) if recorded else _environment(source, arguments)
    # The flags' defaults depend on these names, and on the spaces, so they are read first.
    method = value_of("--method", arguments, METHOD)
    settings = value_of("--settings", arguments, SETTINGS)
    default = where.config(method, settings)  # type: ignore[arg-type]
    name = Path(where.name).stem.replace("/", "-").replace(":", "-")
    flags = [
        *choice_flags(default, settings),
        Flag("out", Path, "Folder to write.", Path("embeddings") / f"{name}-{default.method}"),
        *(OF_DATA if recorded else OF_ENVIRONMENTS),
        *([] if recorded else setting_flags(default, "env")),
        TASKS,
        *setting_flags(default, *SECTIONS),
        *flags_of(TasksConfig(), "tasks", common=()),
    ]
    if recorded:
        text = "Transitions to use, the first ones. Default: all."
        count = None if asks_for_help(arguments) else default.pretrain.timesteps  # not read
        flags = [
            dataclasses.replace(flag, kind=int | None, text=text, default=count)
            if flag.name == "pretrain.timesteps"
            else flag
            for flag in flags
        ]
    else:
        flags += [flag for flag in setting_flags(default, "rollout") if flag.name in COLLECTING]
    about = inspect.getdoc(_Fit) or ""
    config, values = parse_settings(default, flags, arguments, f"embrl fit {source}", about)
    tasks = None
    if values["tasks"]:
        tasks = TasksConfig(**section_values(values, "tasks"))
        tasks.validate()
    elif mine := [name for name in given(arguments) if name.startswith("--tasks.")]:
        raise SettingError(mine[0], "left out without --tasks", "a value", "give --tasks")
    return where, config, values["out"], tasks


TASKS = Flag(
    "tasks",
    Switch,
    "Also learn tasks as vectors, from which embedding.policy(task=...) needs no training.",
    False,
)


OF_DATA = (
    Flag(
        "states",
        int | None,
        "Number of discrete states. Default: as many as are in the data.",
        None,
    ),
    Flag(
        "actions",
        int | None,
        "Number of discrete actions. Default: as many as are in the data.",
        None,
    ),
    Flag("spaces", str | None, "Environment whose spaces the data are of.", None),
    Flag("strict", Switch, "Refuse numbers outside the bounds of these spaces.", False),
)
OF_ENVIRONMENTS = (
    Flag("policy", str | None, "Run folder whose policy acts. Default: random actions.", None),
)


def _data(source: str, arguments: Sequence[str]) -> DataSource:
    if asks_for_help(arguments):
        nothing = np.zeros(2, np.int32)  # no need to read it
        columns: Any = [nothing] * 6
        return open_source(from_transition(Transition(*columns), name=Path(source).name))
    like, strict = value_of("--spaces", arguments, ""), "--strict" in given(arguments)
    counts = {flag: value_of(flag, arguments, "") for flag in ("--states", "--actions")}
    if like and any(counts.values()):
        raise EmbrlError("--spaces excludes --states and --actions; leave them out")
    if like:
        env: Any = envs.configure(like).build()
        if isinstance(env, envs.Environment):
            return open_source(source, Given(env.observation_space, env.action_space, strict))
        found = env.observations.original, env.actions.original
        return open_source(source, Given(*found, strict))
    states, actions = (_discrete(flag, text) for flag, text in counts.items())
    return open_source(source, Given(states, actions, strict))


def _discrete(flag: str, text: str) -> gymnasium.spaces.Discrete | None:
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise SettingError(flag, "a whole number from 1", text)
    return gymnasium.spaces.Discrete(int(text))


def _environment(source: str, arguments: Sequence[str]) -> DataSource:
    settings = env_of_flags(source, arguments, f"embrl fit {source}")
    policy = value_of("--policy", arguments, "")
    names = [setting.name for setting in dataclasses.fields(settings)]
    options = {name: getattr(settings, name) for name in names}
    return open_source(source, policy=policy or None, options=options)


def _keep(found: Embedding, out: Path, console: Console) -> None:
    from embrl.report import inspection

    found.save(out)
    seen = inspection.inspect_embedding(out)
    console.print(seen.title, soft_wrap=True)
    for table in inspection.to_rich(seen):
        console.print(table)
    for sentence in inspection.sentences(seen):
        console.print(sentence, soft_wrap=True)
    console.print(str(out), soft_wrap=True)
