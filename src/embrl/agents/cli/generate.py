"""Commands `embrl agents generate EMB` and `embrl agents improve POP EMB [A ...]`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.table import Table

from embrl.agents import generate as generating
from embrl.agents.embeddings.embedding import check_fits, load
from embrl.agents.generate import EACH, EPISODES, RECORD, improve_agents
from embrl.agents.groups import score_scale
from embrl.agents.latent_search import RADIUS
from embrl.agents.population import Population
from embrl.cli.parsing import parse
from embrl.core.runtime import prepare_jax
from embrl.report.console import plain_console
from embrl.report.progress_bar import ProgressBar


@dataclasses.dataclass(frozen=True)
class _Generate:
    """Draw new agents from an embedding.

    They are evaluated and written as a population folder, as lineage -1.
    """

    embedding: Annotated[Path, tyro.conf.Positional]
    """Folder written by embrl agents fit."""
    out: Path
    """Population folder to write."""
    n: int = 1_000
    """Number of new agents."""
    spread: float = 1.0
    """Factor of the distance from the prior's mean: 1 as learned, 2 twice as far."""
    episodes: int = EPISODES
    """Evaluation episodes of each agent."""
    seed: int = 0
    """Random seed."""


def generate(arguments: Sequence[str]) -> None:
    """Parse the arguments, generate agents and print a summary."""
    given = parse(_Generate, arguments, "embrl agents generate")
    prepare_jax()
    embedding = load(given.embedding)
    console = plain_console()
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
        soft_wrap=True,
    )


@dataclasses.dataclass(frozen=True)
class _Improve:
    """Improve agents by latent search, and evaluate them.

    Agents of a population are encoded, follow the gradient of a critic in the latent space, and are
    decoded and written as another population, with the lineages, steps and seeds of the original
    agents. The embedding must be one of all groups (embrl agents fit --group all), as a critic
    needs bad agents too.
    """

    population: Annotated[Path, tyro.conf.Positional]
    """Population folder."""
    embedding: Annotated[Path, tyro.conf.Positional]
    """Folder written by embrl agents fit for such agents."""
    agents: Annotated[tuple[int, ...], tyro.conf.Positional]
    """Numbers of agents. If there are none, they are drawn from each group's held-out agents."""
    out: Path
    """Population folder to write."""
    each: int = EACH
    """Maximum number of agents of each group, where no numbers are given."""
    radius: float = RADIUS
    """Maximum distance of the search: root mean square over the numbers of z, in standard
    deviations of the population."""
    episodes: int = EPISODES
    """Evaluation episodes of each agent, before and after."""
    seed: int = 0
    """Random seed."""


def improve(arguments: Sequence[str]) -> None:
    """Parse the arguments, improve agents and print a table."""
    given = parse(_Improve, arguments, "embrl agents improve")
    prepare_jax()
    population, embedding = Population(given.population), load(given.embedding)
    check_fits(embedding, population, "the embedding")
    console = plain_console()
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
    console.print(f"{given.out} ({RECORD})", soft_wrap=True)


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
    ends = "" if found["low"] is None else f" [{found['low']:.1f}, {found['high']:.1f}]"
    return f"{found['mean']:.1f}{ends}"
