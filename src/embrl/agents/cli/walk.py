"""Command `embrl agents walk POP EMB A B`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from embrl.agents.embeddings.embedding import load
from embrl.agents.evidence.pair_walks import summary_line, walk_key, walk_pair, write_walk
from embrl.agents.population import Population
from embrl.agents.walks import rule_of
from embrl.cli.parsing import finish_help, parse
from embrl.core.errors import EmbrlError, require
from embrl.core.runtime import prepare_jax

USAGE = """\
usage: embrl agents walk POP EMB A B --out DIR [--episodes N] [--margin M] [--seed K]

Walk in a straight line from agent number A of a population to agent number B and beyond both, in
the latent space of an embedding and in weight space. Writes DIR/walk.json, DIR/walk.png and, for
cart_pole, DIR/walk.gif: both agents, their midpoint and the best extrapolation side by side.

  POP             population folder
  EMB             folder written by embrl agents fit for such agents
  --episodes N    episodes at every point (default: 100)
  --margin M      margin of the rule that classifies walks, in units of return (default: a tenth of
                  their range; 50 steps in cart_pole)
  --seed K        random seed of the episodes (default: 0)"""


@dataclasses.dataclass(frozen=True)
class _Walk:
    population: Annotated[Path, tyro.conf.Positional]
    """Population folder."""
    embedding: Annotated[Path, tyro.conf.Positional]
    """Folder of the embedding."""
    a: Annotated[int, tyro.conf.Positional]
    """Number of one agent."""
    b: Annotated[int, tyro.conf.Positional]
    """Number of the other agent."""
    out: Path
    """Folder to write."""
    episodes: int = 100
    """Episodes at every point."""
    margin: float | None = None
    """Margin of the rule that classifies walks; default: a tenth of the range of returns."""
    seed: int = 0
    """Random seed of the episodes."""


def walk(arguments: Sequence[str]) -> None:
    """Parse the arguments, play the walk, draw it and print a summary."""
    finish_help(arguments, USAGE)
    if not arguments or arguments[0].startswith("-"):
        raise EmbrlError(
            "POP must be a population folder, got none; embrl agents walk POP EMB A B --out DIR"
        )
    given = parse(_Walk, arguments, "embrl agents walk")
    require("matplotlib", "plot")  # before the work, not after it
    prepare_jax()
    population = Population(given.population)
    found = walk_pair(
        population,
        load(given.embedding),
        given.a,
        given.b,
        rule=rule_of(population, given.margin),
        episodes=given.episodes,
        key=walk_key(given.seed),
    )
    written = write_walk(found, population, given.out, "walk", walk_key(given.seed))
    Console().print(
        f"{summary_line(found.record)}\n{given.out} ({', '.join(written)})",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
