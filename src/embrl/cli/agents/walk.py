"""`embrl agents walk POP EMB A B`"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from embrl.agents.embeddings.embedding import load
from embrl.agents.population import Population
from embrl.cli.parsing import finish_help, parse
from embrl.core.errors import EmbrlError, require
from embrl.core.runtime import prepare_jax
from embrl.experiments.agents.pair import pair_key, summary_line, walk_pair, write_walk
from embrl.experiments.agents.worth import rule_of

USAGE = """\
usage: embrl agents walk POP EMB A B --out DIR [--episodes N] [--margin M] [--seed K]

Walks in a straight line from agent number A of a population to agent number B and beyond both, in
the latent space of an embedding and, beside it, in weight space. Writes DIR/walk.json, DIR/walk.png
and, of cart_pole, DIR/walk.gif: both agents, their midpoint and the best extrapolation balancing
side by side.

  POP             a population folder
  EMB             a folder that embrl agents fit has made of such agents
  --episodes N    at every point (default: 100)
  --margin M      of the rule that tells slopes, valleys and hills, in units of return (default: a
                  tenth of the range there is; 50 steps in cart_pole)
  --seed K        where episodes come from (default: 0)"""


@dataclasses.dataclass(frozen=True)
class _Walk:
    population: Annotated[Path, tyro.conf.Positional]
    """The population folder."""
    embedding: Annotated[Path, tyro.conf.Positional]
    """The embedding's folder."""
    a: Annotated[int, tyro.conf.Positional]
    """The number of one agent."""
    b: Annotated[int, tyro.conf.Positional]
    """And of the other."""
    out: Path
    """The folder to write."""
    episodes: int = 100
    """At every point."""
    margin: float | None = None
    """Of the rule."""
    seed: int = 0
    """Where episodes come from."""


def walk(arguments: Sequence[str]) -> None:
    """Plays the walk, draws it, says what it came to."""
    finish_help(arguments, USAGE)
    if not arguments or arguments[0].startswith("-"):
        raise EmbrlError(
            "walk where? embrl agents walk POP EMB A B --out DIR, where A and B are numbers of "
            "agents in the population folder POP"
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
        key=pair_key(given.seed),
    )
    written = write_walk(found, population, given.out, "walk", pair_key(given.seed))
    Console().print(
        f"{summary_line(found.record)}\n{given.out} ({', '.join(written)})",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
