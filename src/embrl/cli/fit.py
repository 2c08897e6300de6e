"""The command `embrl fit SOURCE`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import gymnasium
import numpy as np
from rich.console import Console

from embrl import envs
from embrl.cli.flags import Field, field, objectives, parse_env, sections
from embrl.cli.parsing import parse, require_first, value_of
from embrl.cli.progress import ProgressBar
from embrl.config.defaults import Settings
from embrl.config.run import RunConfig
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.registry import load_installed_plugins
from embrl.core.runtime import prepare_jax
from embrl.core.types import Transition
from embrl.data.sources import Given, from_transition
from embrl.embedding.methods import METHODS
from embrl.embedding.saved import check_free
from embrl.envs import ENVIRONMENTS
from embrl.fitting.embedding import Embedding
from embrl.fitting.fit import embedding_of_run, learn
from embrl.fitting.sources import DataSource, is_recorded, open_source

USAGE = """\
usage: embrl fit ENV [--policy RUN] [--pretrain.timesteps N] [--out FOLDER] ...
       embrl fit DATA [--actions N] [--states N] [--spaces ENV] [--out FOLDER] ...
       embrl fit --from-run RUN [--seed K] --out FOLDER

Learn an embedding of states and actions, without a policy, and write it into a folder.

  ENV     {names},
          or a Gymnasium id, as CartPole-v1; actions are random, or those of a run's policy
  DATA    file of transitions, .npz or .parquet; folder of a Minari data set, or minari:ID for one
          on this machine
  RUN     run folder

embrl fit ENV --help and embrl fit DATA --help list all flags."""

FROM_RUN = "--from-run"

SECTIONS = ("embedding", "echo", "pretrain", "decoder")
"""Sections of a run's configuration that an embedding depends on."""


@dataclasses.dataclass(frozen=True)
class _Collecting:
    num_envs: int
    """Parallel environments."""
    sticky_action_prob: float
    """Probability that a random action repeats the previous one."""


@dataclasses.dataclass(frozen=True)
class _FromRun:
    from_run: Path
    """Run folder."""
    out: Path
    """Folder to write."""
    seed: int = 0
    """Index of the seed."""


def fit(arguments: Sequence[str]) -> None:
    """Parse the flags, fit, save, and print the quality of the embedding."""
    prepare_jax()
    if not arguments or not {"-h", "--help"}.isdisjoint(arguments):
        load_installed_plugins()  # to be named
    console = Console(highlight=False)
    if any(argument.partition("=")[0] == FROM_RUN for argument in arguments):
        run = parse(_FromRun, arguments, "embrl fit")
        check_free(run.out)
        _keep(embedding_of_run(run.from_run, run.seed), run.out, console)
        return
    require_first(
        arguments,
        (
            "SOURCE is missing: embrl fit SOURCE, an environment, a .npz or .parquet file, or a "
            "Minari data set"
        ),
        USAGE.format(names=", ".join(ENVIRONMENTS)),
    )
    where, config, out = _configured(arguments[0], arguments[1:])
    check_free(out)
    with ProgressBar(console, f"{config.method} on {where.name}") as bar:
        found = learn(config, where, on_progress=bar.show)
    _keep(found, out, console)


def _configured(source: str, arguments: Sequence[str]) -> tuple[DataSource, RunConfig, Path]:
    recorded = is_recorded(source)
    where = _data(source, arguments) if recorded else _environment(source, arguments)
    # The flags' defaults depend on these names, and on the spaces, so they are read first.
    method, settings = (
        value_of("--method", arguments, "jsae"),
        value_of("--settings", arguments, "tuned"),
    )
    default = where.config(method, settings)  # type: ignore[arg-type]
    extra = _of_data() if recorded else _of_environments(default)
    kind = _flags(where, default, settings, extra)
    given: Any = parse(kind, arguments, f"embrl fit {source}")
    parts = {name: getattr(given, name) for name in ("seed", *SECTIONS) if hasattr(given, name)}
    config = dataclasses.replace(default, **parts, objectives=dict(given.objectives))
    if not recorded:
        rollout = dataclasses.replace(config.rollout, **dataclasses.asdict(given.rollout))
        config = dataclasses.replace(config, rollout=rollout)
    return where, config, given.out


def _data(source: str, arguments: Sequence[str]) -> DataSource:
    if "--help" in arguments:
        nothing = np.zeros(2, np.int32)  # no need to read it
        columns: Any = [nothing] * 6
        return open_source(from_transition(Transition(*columns), name=Path(source).name))
    like = value_of("--spaces", arguments, "")
    counts = {flag: value_of(flag, arguments, "") for flag in ("--states", "--actions")}
    if like and any(counts.values()):
        raise EmbrlError("--spaces excludes --states and --actions; leave them out")
    if like:
        env: Any = envs.configure(like).build()
        if isinstance(env, envs.Environment):
            return open_source(source, Given(env.observation_space, env.action_space))
        return open_source(source, Given(env.observations.original, env.actions.original))
    states, actions = (_discrete(flag, text) for flag, text in counts.items())
    return open_source(source, Given(states, actions))


def _discrete(flag: str, text: str) -> gymnasium.spaces.Discrete | None:
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise SettingError(flag, "a whole number from 1", text)
    return gymnasium.spaces.Discrete(int(text))


def _environment(source: str, arguments: Sequence[str]) -> DataSource:
    settings = parse_env(envs.kind(source), arguments, f"embrl fit {source}")
    policy = value_of("--policy", arguments, "")
    names = [setting.name for setting in dataclasses.fields(settings)]
    options = {name: getattr(settings, name) for name in names}
    return open_source(source, policy=policy or None, options=options)


def _of_data() -> list[Field]:
    return [
        field(
            "states",
            int | None,
            None,
            "Number of discrete states. Default: as many as are in the data.",
        ),
        field(
            "actions",
            int | None,
            None,
            "Number of discrete actions. Default: as many as are in the data.",
        ),
        field("spaces", str | None, None, "Environment whose spaces the data are of."),
    ]


def _of_environments(default: RunConfig) -> list[Field]:
    rollout = _Collecting(default.rollout.num_envs, default.rollout.sticky_action_prob)
    return [
        field("policy", str | None, None, "Run folder whose policy acts. Default: random actions."),
        ("env", type(default.env), default.env),
        ("rollout", _Collecting, rollout),
    ]


def _flags(where: DataSource, default: RunConfig, settings: str, extra: list[Field]) -> type:
    name = Path(where.name).stem.replace("/", "-").replace(":", "-")
    return dataclasses.make_dataclass(
        "Fit",
        [
            field(
                "method",
                Literal[tuple(METHODS)],
                default.method,
                "Method: what is embedded, and the objectives that embeddings are trained on.",
            ),
            field(
                "settings", Literal[get_args(Settings)], settings, "Source of the other defaults."
            ),
            field("seed", int, default.seed, "Random seed, 0 to 4294967295."),
            field("out", Path, Path("embeddings") / f"{name}-{default.method}", "Folder to write."),
            objectives(default),
            *extra,
            *sections(default, *SECTIONS),
        ],
        frozen=True,
    )


def _keep(found: Embedding, out: Path, console: Console) -> None:
    from embrl.report import inspection

    found.save(out)
    seen = inspection.inspect_embedding(out)
    console.print(seen.title, soft_wrap=True, markup=False)
    for table in inspection.to_rich(seen):
        console.print(table)
    for sentence in inspection.sentences(seen):
        console.print(sentence, soft_wrap=True, markup=False)
    console.print(str(out), soft_wrap=True, markup=False)
