"""`embrl agents collect [ENV]`"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from rich.console import Console

from embrl.agents.collect import FILE, CollectConfig, Progress, planned
from embrl.agents.collect import collect as run
from embrl.agents.groups import Groups
from embrl.agents.lineages import LineageConfig
from embrl.agents.population import Population
from embrl.cli.flags import field
from embrl.cli.parsing import finish_help, parse, value_of
from embrl.cli.progress import ProgressBar
from embrl.core.registry import load_installed_plugins
from embrl.core.runtime import prepare_jax
from embrl.envs import ENVIRONMENTS
from embrl.training.loop import Progress as Step

USAGE = """\
usage: embrl agents collect [ENV] [--lineages N] [--checkpoints E [E ...]] [--hidden W [W ...]]
                            [--algorithm vpg|ppo] [--episodes N] [--seed K] [--out POP] ...
       embrl agents collect --resume --out POP

Trains very many small policies at once, takes agents of each along the way, from hopeless to
perfect, evaluates every agent on whole episodes and writes a population folder.

  ENV                   an environment whose observations are vectors (default: cart_pole); there
                        are {names}
  --lineages N          training runs (default: {lineages})
  --checkpoints E ...   epochs after which an agent of each is taken (default: {checkpoints})
  --resume              go on with the collection in that folder; the result is the same

embrl agents collect ENV --help lists all flags. docs/agents/collecting.md says how agents are taken
and what stands in the folder."""

ENVIRONMENT = "cart_pole"


def collect(arguments: Sequence[str]) -> None:
    """Parses, collects, says what came of it."""
    named = bool(arguments) and not arguments[0].startswith("-")
    if not named and not {"-h", "--help"}.isdisjoint(arguments):
        finish_help(arguments, _usage())
    prepare_jax()
    config, given = _configured(arguments)
    console = Console()
    started = time.perf_counter()
    with ProgressBar(console, f"agents of {config.runs.environment}") as bar:
        population = run(
            config, given.out, resume=given.resume, on_progress=lambda now: bar.show(_step(now))
        )
    _report(population, console, time.perf_counter() - started)


def _usage() -> str:
    load_installed_plugins()  # to be named
    default = _default(ENVIRONMENT)
    return USAGE.format(
        names=", ".join(ENVIRONMENTS),
        lineages=default.lineages,
        checkpoints=" ".join(map(str, default.runs.checkpoints)),
    )


def _default(environment: str) -> CollectConfig:
    return CollectConfig(LineageConfig(environment, ENVIRONMENTS[environment]()))


def _configured(arguments: Sequence[str]) -> tuple[CollectConfig, Any]:
    """The collection that the flags describe, and all of them."""
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
    """A dataclass of the flags for these defaults."""
    runs = default.runs
    return dataclasses.make_dataclass(
        "Collect",
        [
            field("lineages", int, default.lineages, "Training runs."),
            field(
                "checkpoints",
                tuple[int, ...],
                runs.checkpoints,
                "Epochs after which an agent of each run is taken; 0 is before any training.",
            ),
            field("hidden", tuple[int, ...], runs.hidden, "Widths of the policy's hidden layers."),
            field("algorithm", Literal["vpg", "ppo"], runs.algorithm, "How agents learn."),
            field(
                "learning_rate",
                tuple[float, float],
                runs.learning_rate,
                "The actor's lowest and highest: drawn log-uniformly for each run.",
            ),
            field("epoch", int, runs.epoch, "Samples between two updates of a policy."),
            field(
                "lanes",
                int,
                runs.lanes,
                "Environments side by side in each run; must divide the epoch.",
            ),
            field(
                "episodes",
                int,
                default.episodes,
                "That each agent is evaluated on, by its likeliest action.",
            ),
            field(
                "block",
                int,
                default.block,
                "Lineages that are trained at once: they bound the memory, and what an "
                "interruption can cost.",
            ),
            field("seed", int, runs.seed, "Where all randomness comes from."),
            field("out", Path, out, "The folder to write."),
            field(
                "resume",
                tyro.conf.FlagCreatePairsOff[bool],
                False,
                "Go on with the collection in that folder.",
            ),
            ("env", type(runs.env), runs.env),
        ],
        frozen=True,
    )


def _step(now: Progress) -> Step:
    return Step("lineages", now.lineages, now.of, now.value, now.news)


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
