"""`embrl agents improve POP EMB [A ...]`"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from embrl.agents.ascend import RADIUS
from embrl.agents.embeddings.embedding import load
from embrl.agents.improving import EACH, EPISODES, RECORD, improve_agents
from embrl.agents.population import Population
from embrl.cli.parsing import finish_help, parse
from embrl.cli.progress import ProgressBar
from embrl.core.errors import EmbrlError
from embrl.core.runtime import prepare_jax
from embrl.experiments.agents.worth import check_fits, worth_of
from embrl.training.loop import Progress as Step

USAGE = f"""\
usage: embrl agents improve POP EMB [A ...] --out POP2 [--each N] [--radius R] [--episodes E] ...

Improves agents: encodes those of the population POP with the numbers A, goes uphill in the latent
space on what a critic expects, decodes, evaluates, and writes what they became as the population
POP2, with the lineages, steps and seeds of the agents they were. EMB must be an embedding of all
groups (embrl agents fit --group all): a critic that saw good agents alone knows no way up.

  POP             a population folder
  EMB             a folder that embrl agents fit has made of such agents
  A ...           numbers of agents (default: a draw of each group's held-out agents)
  --each N        of each group at most, where no numbers are given (default: {EACH})
  --radius R      how far an agent may go: root mean square over the numbers of z, in standard
                  deviations of the population (default: {RADIUS:g})
  --episodes E    that each is evaluated on, before and after (default: {EPISODES})
  --seed S        where all randomness comes from (default: 0)"""


@dataclasses.dataclass(frozen=True)
class _Improve:
    population: Annotated[Path, tyro.conf.Positional]
    """The population folder."""
    embedding: Annotated[Path, tyro.conf.Positional]
    """The embedding's folder."""
    agents: Annotated[tuple[int, ...], tyro.conf.Positional]
    """Numbers of agents."""
    out: Path
    """The population folder to write."""
    each: int = EACH
    """Of each group at most, where no numbers are given."""
    radius: float = RADIUS
    """How far an agent may go."""
    episodes: int = EPISODES
    """That each is evaluated on."""
    seed: int = 0
    """Where all randomness comes from."""


def improve(arguments: Sequence[str]) -> None:
    """Improves, writes, says what it came to."""
    finish_help(arguments, USAGE)
    if not arguments or arguments[0].startswith("-"):
        raise EmbrlError(
            "improve what? embrl agents improve POP EMB [A ...] --out POP2, where POP is a "
            "population folder and EMB what embrl agents fit has made of it"
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
            on_progress=lambda done, of: bar.show(Step("agents played", done, of, None)),
        )
    console.print(table(told, worth_of(population).name))
    console.print(f"{given.out} ({RECORD})", highlight=False, soft_wrap=True, markup=False)


def table(told: dict[str, dict[str, Any]], value: str) -> Table:
    """A row for each group, as people read it; intervals over lineages."""
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
