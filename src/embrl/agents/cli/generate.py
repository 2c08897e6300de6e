"""Command `embrl agents generate EMB`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from embrl.agents.embeddings.embedding import load
from embrl.agents.generate import EPISODES
from embrl.agents.generate import generate as run
from embrl.cli.parsing import finish_help, parse
from embrl.cli.progress import ProgressBar
from embrl.core.errors import EmbrlError
from embrl.core.runtime import prepare_jax

USAGE = """\
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
    if not arguments or arguments[0].startswith("-"):
        finish_help(arguments, USAGE)
        raise EmbrlError(
            "EMB must be an embedding's folder, got none; embrl agents generate EMB --out POP"
        )
    prepare_jax()
    given = parse(_Generate, arguments[1:], "embrl agents generate EMB")
    embedding = load(arguments[0])
    console = Console()
    with ProgressBar(console, f"{embedding.kind} of {embedding.config.group} agents") as bar:
        made = run(
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
