"""Commands `embrl agents generate EMB` and `embrl agents improve POP EMB [A ...]`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from embrl.agents import generate as generating
from embrl.agents.embeddings.embedding import check_fits, load
from embrl.agents.generate import EACH, EPISODES, RECORD, improve_agents
from embrl.agents.groups import score_scale
from embrl.agents.latent_search import RADIUS
from embrl.agents.population import Population
from embrl.cli.parsing import finish_help, parse, require_first
from embrl.cli.progress import ProgressBar
from embrl.core.runtime import prepare_jax

GENERATE_USAGE = """\
usage: embrl agents generate EMB [--n N] [--spread S] [--episodes E] [--seed S] --out POP

Sample new agents from an embedding fitted by embrl agents fit, evaluate them and write them as a
population folder (lineage -1).

  --spread S    factor of the distance from the prior's mean: 1 as learned, 2 twice as far"""


@dataclasses.dataclass(frozen=True)
class _Generate:
    out: Path
    """Population folder to write."""
    n: int = 1_000
    """Number of new agents."""
    spread: float = 1.0
    """Factor of the distance from the prior's mean."""
    episodes: int = EPISODES
    """Evaluation episodes of each agent."""
    seed: int = 0
    """Random seed."""


def generate(arguments: Sequence[str]) -> None:
    """Parse the arguments, generate agents and print a summary."""
    require_first(
        arguments,
        "EMB must be an embedding's folder, got none; embrl agents generate EMB --out POP",
        GENERATE_USAGE,
    )
    prepare_jax()
    given = parse(_Generate, arguments[1:], "embrl agents generate EMB")
    embedding = load(arguments[0])
    console = Console()
    with ProgressBar(console, f"{embedding.kind} of {embedding.config.group} agents") as bar:
        made = generating.generate(
            embedding,
            given.n,
            given.out,
            spread=given.spread,
            seed=given.seed,
            episodes=given.episodes,
            on_progress=bar.show,
        )
    returns = made.table()["return_mean"]
    console.print(
        f"{made.count:,} new agents {made.architecture}: mean return {returns.mean():.1f} "
        f"(worst {returns.min():.1f}, best {returns.max():.1f})\n{made.path}",
        highlight=False,
        soft_wrap=True,
    )


IMPROVE_USAGE = f"""\
usage: embrl agents improve POP EMB [A ...] --out POP2 [--each N] [--radius R] [--episodes E] ...

Improve agents: encode those of the population POP with the numbers A, follow the gradient of a
critic in the latent space, decode, evaluate, and write the results as the population POP2, with
the lineages, steps and seeds of the original agents. EMB must be an embedding of all groups
(embrl agents fit --group all), as a critic needs bad agents too.

  POP             population folder
  EMB             folder written by embrl agents fit for such agents
  A ...           numbers of agents (default: drawn from each group's held-out agents)
  --each N        maximum number of each group, where no numbers are given (default: {EACH})
  --radius R      maximum distance of the search: root mean square over the numbers of z, in
                  standard deviations of the population (default: {RADIUS:g})
  --episodes E    evaluation episodes of each agent, before and after (default: {EPISODES})
  --seed S        random seed (default: 0)"""


@dataclasses.dataclass(frozen=True)
class _Improve:
    population: Annotated[Path, tyro.conf.Positional]
    """Population folder."""
    embedding: Annotated[Path, tyro.conf.Positional]
    """Folder of the embedding."""
    agents: Annotated[tuple[int, ...], tyro.conf.Positional]
    """Numbers of agents."""
    out: Path
    """Population folder to write."""
    each: int = EACH
    """Maximum number of agents of each group, where no numbers are given."""
    radius: float = RADIUS
    """Maximum distance of the search."""
    episodes: int = EPISODES
    """Evaluation episodes of each agent."""
    seed: int = 0
    """Random seed."""


def improve(arguments: Sequence[str]) -> None:
    """Parse the arguments, improve agents and print a table."""
    finish_help(arguments, IMPROVE_USAGE)
    require_first(
        arguments,
        (
            "POP must be a population folder, got none; embrl agents improve POP EMB [A ...] "
            "--out POP2"
        ),
    )
    given = parse(_Improve, arguments, "embrl agents improve")
    prepare_jax()
    population, embedding = Population(given.population), load(given.embedding)
    check_fits(embedding, population, "the embedding")
    console = Console()
    with ProgressBar(console, f"improving agents of {given.population.name}") as bar:
        told = improve_agents(
            embedding,
            population,
            given.out,
            agents=np.asarray(given.agents, np.int64) if given.agents else None,
            each=given.each,
            radius=given.radius,
            episodes=given.episodes,
            seed=given.seed,
            on_progress=bar.show,
        )
    console.print(table(told, score_scale(population).name))
    console.print(f"{given.out} ({RECORD})", highlight=False, soft_wrap=True, markup=False)


def table(told: dict[str, dict[str, Any]], value: str) -> Table:
    """Return a table with a row for each group; intervals over lineages."""
    shown = Table(title=f"mean {value} [95 % interval]")
    for column in ("group", "agents", "before", "decoded", "after", "gain", "better"):
        shown.add_column(column, justify="left" if column == "group" else "right")
    for name, group in told.items():
        shown.add_row(
            name,
            f"{group['agents']:,}",
            *(_of(group[side]) for side in ("before", "decoded", "after", "gain")),
            f"{group['better']['mean']:.0%}",
        )
    return shown


def _of(found: dict[str, float | None]) -> str:
    ends = "" if found["low"] is None else rf" \[{found['low']:.1f}, {found['high']:.1f}]"
    return f"{found['mean']:.1f}{ends}"
