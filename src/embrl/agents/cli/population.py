"""Commands `embrl agents collect [ENV]` and `embrl agents import FILE ...`."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro
from rich.console import Console

from embrl.agents import collect as collecting
from embrl.agents.architecture import ACTIVATIONS
from embrl.agents.collect import FILE, CollectConfig, planned
from embrl.agents.episodes import survival
from embrl.agents.groups import Groups
from embrl.agents.importing import import_agents
from embrl.agents.lineages import LineageConfig
from embrl.agents.population import RECORD, Population
from embrl.cli.flags import field
from embrl.cli.parsing import finish_help, parse, value_of
from embrl.cli.progress import ProgressBar
from embrl.core.errors import EmbrlError
from embrl.core.registry import load_installed_plugins
from embrl.core.runtime import prepare_jax
from embrl.envs import ENVIRONMENTS, EnvConfig

COLLECT_USAGE = """\
usage: embrl agents collect [ENV] [--lineages N] [--checkpoints E [E ...]] [--hidden W [W ...]]
                            [--algorithm vpg|ppo] [--episodes N] [--seed K] [--out POP] ...
       embrl agents collect --resume --out POP

Train many small policies at once, take agents of each along the way, from untrained to optimal,
evaluate every agent on whole episodes and write a population folder.

  ENV                   environment whose observations are vectors (default: cart_pole); one of
                        {names}
  --lineages N          training runs (default: {lineages})
  --checkpoints E ...   updates after which an agent of each is taken (default: {checkpoints})
  --resume              continue the collection in that folder; the result is the same

embrl agents collect ENV --help lists all flags. docs/agents/collecting.md describes the agents
and the folder."""

ENVIRONMENT = "cart_pole"


def collect(arguments: Sequence[str]) -> None:
    """Parse the arguments, collect a population and print a summary."""
    named = bool(arguments) and not arguments[0].startswith("-")
    if not named and not {"-h", "--help"}.isdisjoint(arguments):
        finish_help(arguments, _usage())
    prepare_jax()
    config, given = _configured(arguments)
    console = Console()
    started = time.perf_counter()
    with ProgressBar(console, f"agents of {config.runs.environment}") as bar:
        population = collecting.collect(
            config, given.out, resume=given.resume, on_progress=bar.show
        )
    _report_collected(population, console, time.perf_counter() - started)


def _usage() -> str:
    load_installed_plugins()  # so that their environments are listed
    default = _collect_defaults(ENVIRONMENT)
    return COLLECT_USAGE.format(
        names=", ".join(ENVIRONMENTS),
        lineages=default.lineages,
        checkpoints=" ".join(map(str, default.runs.checkpoints)),
    )


def _collect_defaults(environment: str) -> CollectConfig:
    return CollectConfig(LineageConfig(environment, ENVIRONMENTS[environment]()))


def _configured(arguments: Sequence[str]) -> tuple[CollectConfig, Any]:
    """Return the collection described by the flags, and the flags."""
    named = bool(arguments) and not arguments[0].startswith("-")
    environment, flags = (arguments[0], arguments[1:]) if named else (ENVIRONMENT, arguments)
    # The flags' defaults depend on these, so they are read first.
    out = Path(value_of("--out", flags, f"runs/agents/{environment}"))
    default = None
    if "--resume" in flags and (out / FILE).exists():
        default = planned(out)
        if named and default.runs.environment != environment:
            default = None
    default = default or _collect_defaults(environment)
    given: Any = parse(_collect_flags(default, out), flags, f"embrl agents collect {environment}")
    return _filled(default, given), given


def _filled(default: CollectConfig, given: Any) -> CollectConfig:
    runs = {
        part.name: getattr(given, part.name)
        for part in dataclasses.fields(LineageConfig)
        if part.name != "environment"
    }
    return dataclasses.replace(
        default,
        runs=dataclasses.replace(default.runs, **runs),
        lineages=given.lineages,
        episodes=given.episodes,
        block=given.block,
    )


def _collect_flags(default: CollectConfig, out: Path) -> type:
    """Return a dataclass of the flags for these defaults."""
    runs = default.runs
    return dataclasses.make_dataclass(
        "Collect",
        [
            field("lineages", int, default.lineages, "Training runs."),
            field(
                "checkpoints",
                tuple[int, ...],
                runs.checkpoints,
                "Updates after which an agent of each run is taken; 0 is before any training.",
            ),
            field("hidden", tuple[int, ...], runs.hidden, "Widths of the policy's hidden layers."),
            field("algorithm", Literal["vpg", "ppo"], runs.algorithm, "Learning algorithm."),
            field(
                "learning_rate",
                tuple[float, float],
                runs.learning_rate,
                "Lowest and highest learning rate of the actor, drawn log-uniformly for each run.",
            ),
            field(
                "steps_per_update",
                int,
                runs.steps_per_update,
                "Environment steps per update of a policy.",
            ),
            field(
                "num_envs",
                int,
                runs.num_envs,
                "Parallel environments in each run; must divide the environment steps per update.",
            ),
            field(
                "episodes",
                int,
                default.episodes,
                "Evaluation episodes of each agent, with its most likely actions.",
            ),
            field(
                "block",
                int,
                default.block,
                "Lineages trained at once, which bounds the memory, and what an interruption can "
                "cost.",
            ),
            field("seed", int, runs.seed, "Random seed."),
            field("out", Path, out, "Folder to write."),
            field(
                "resume",
                tyro.conf.FlagCreatePairsOff[bool],
                False,
                "Continue the collection in that folder.",
            ),
            ("env", type(runs.env), runs.env),
        ],
        frozen=True,
    )


def _report_collected(population: Population, console: Console, seconds: float) -> None:
    table = population.table()
    lines = [f"{population.count:,} agents {population.architecture}"]
    if population.count:
        returns, survived = table["return_mean"], table["survival_mean"]
        lines[0] += (
            f", {population.episodes} episodes each: mean survival {survived.mean():.1f} steps, "
            f"mean return {returns.mean():.1f} (worst {returns.min():.1f}, "
            f"best {returns.max():.1f})"
        )
        groups = Groups.default(population.environment, returns)
        fractions = np.bincount(groups.of(returns), minlength=groups.count) / population.count
        parts = (
            f"{name} {fraction:.0%}" for name, fraction in zip(groups.names, fractions, strict=True)
        )
        lines.append(f"mean return {', '.join(parts)}")
    lines += [f"{seconds:.1f} s", str(population.path)]
    console.print("\n".join(lines), highlight=False, soft_wrap=True)


IMPORT_USAGE = """\
usage: embrl agents import FILE [FILE ...] --out POP [--environment ENV] [--env.* ...]
                           [--episodes N] [--seed K] [--activation {activations}]
                           [--layers NAME [NAME ...]]

Add policies that were trained elsewhere to a population, or create one. Each is evaluated and
becomes a lineage of its own. Nothing in a file is executed.

  FILE               a PyTorch state dict (.safetensors), or a Stable-Baselines3 model (.zip)
  --out POP          population folder
  --environment ENV  environment (default: the population's, or cart_pole), and its settings; one
                     of {names}
  --episodes N       evaluation episodes of each (default: the population's, or 100)
  --seed K           random seed of these episodes (default: 0)
  --activation A     activation between layers (default: as stored, else tanh or, for DQN, relu)
  --layers NAME ...  names of a state dict's layers in order, unless numbers in them determine it"""


@dataclasses.dataclass(frozen=True)
class _ImportDefaults:
    """Defaults of flags, from the existing population if there is one."""

    environment: str
    env: EnvConfig
    episodes: int


def import_(arguments: Sequence[str]) -> None:
    """Parse the arguments, import agents and print their scores."""
    if not {"-h", "--help"}.isdisjoint(arguments):
        load_installed_plugins()  # so that their environments are listed
    names, activations = ", ".join(ENVIRONMENTS), "|".join(ACTIVATIONS)
    finish_help(arguments, IMPORT_USAGE.format(names=names, activations=activations))
    prepare_jax()
    default = _import_defaults(arguments)
    given: Any = parse(_import_flags(default), arguments, "embrl agents import")
    if not given.files:
        raise EmbrlError(
            "FILE must be one or more files, got none; embrl agents import FILE ... --out POP"
        )
    env, key = given.env.build(), jax.random.key(_checked(given.seed))
    before = Population(given.out).count if (given.out / RECORD).exists() else 0
    population = import_agents(
        given.files,
        given.out,
        given.environment,
        given.env,
        lambda architecture, w: survival(env, architecture, w, key, given.episodes),
        activation=given.activation,
        layers=given.layers or None,
    )
    _report_imported(population, before, given.files)


def _checked(seed: int) -> int:
    if not 0 <= seed < 2**32:
        raise EmbrlError(f"seed must be 0 to 4294967295, got {seed}")
    return seed


def _import_defaults(arguments: Sequence[str]) -> _ImportDefaults:
    out = value_of("--out", arguments, "")
    if out and (Path(out) / RECORD).exists():
        there = Population(out)
        default = _ImportDefaults(there.environment, there.env, there.episodes)
    else:
        default = _ImportDefaults("cart_pole", ENVIRONMENTS["cart_pole"](), 100)
    environment = value_of("--environment", arguments, default.environment)
    if environment != default.environment:
        return _ImportDefaults(environment, ENVIRONMENTS[environment](), default.episodes)
    return default


def _import_flags(default: _ImportDefaults) -> type:
    """Return a dataclass of the flags for these defaults."""
    activations = Literal[tuple(ACTIVATIONS)] | None  # type: ignore[valid-type]
    return dataclasses.make_dataclass(
        "Import",
        [
            ("files", Annotated[tuple[Path, ...], tyro.conf.Positional]),
            ("out", Path),
            field("environment", str, default.environment, "Environment of the agents."),
            field("episodes", int, default.episodes, "Evaluation episodes of each agent."),
            field("seed", int, 0, "Random seed of these episodes."),
            field("activation", activations, None, "Activation between layers."),
            field("layers", tuple[str, ...], (), "Names of a state dict's layers, in order."),
            ("env", type(default.env), default.env),
        ],
        frozen=True,
    )


def _report_imported(population: Population, before: int, files: Sequence[Path]) -> None:
    console, table = Console(), population.table()
    for path, mean, survived in zip(
        files,
        table["return_mean"][before:].tolist(),
        table["survival_mean"][before:].tolist(),
        strict=True,
    ):
        console.print(
            f"{path}: mean return {mean:.1f}, mean survival {survived:.1f} steps over "
            f"{population.episodes} episodes",
            highlight=False,
            soft_wrap=True,
        )
    console.print(
        f"{population.count:,} agents {population.architecture}\n{population.path}",
        highlight=False,
        soft_wrap=True,
    )
