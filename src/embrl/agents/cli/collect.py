"""Command `embrl agents collect [ENV]`."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from rich.console import Console

from embrl.agents.collect import FILE, CollectConfig, planned
from embrl.agents.collect import collect as run
from embrl.agents.groups import Groups
from embrl.agents.lineages import LineageConfig
from embrl.agents.population import Population
from embrl.cli.flags import field
from embrl.cli.parsing import finish_help, parse, value_of
from embrl.cli.progress import ProgressBar
from embrl.core import registry as plugins
from embrl.core.runtime import prepare_jax
from embrl.envs import ENVIRONMENTS

USAGE = """\
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
        population = run(config, given.out, resume=given.resume, on_progress=bar.show)
    _report(population, console, time.perf_counter() - started)


def _usage() -> str:
    plugins.load_installed()  # so that their environments are listed
    default = _default(ENVIRONMENT)
    return USAGE.format(
        names=", ".join(ENVIRONMENTS),
        lineages=default.lineages,
        checkpoints=" ".join(map(str, default.runs.checkpoints)),
    )


def _default(environment: str) -> CollectConfig:
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
    default = default or _default(environment)
    given: Any = parse(_flags(default, out), flags, f"embrl agents collect {environment}")
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


def _flags(default: CollectConfig, out: Path) -> type:
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


def _report(population: Population, console: Console, seconds: float) -> None:
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
        shares = np.bincount(groups.of(returns), minlength=groups.count) / population.count
        parts = (f"{name} {share:.0%}" for name, share in zip(groups.names, shares, strict=True))
        lines.append(f"mean return {', '.join(parts)}")
    lines += [f"{seconds:.1f} s", str(population.path)]
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
