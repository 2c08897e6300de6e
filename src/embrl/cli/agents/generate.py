"""`embrl agents generate EMB`"""

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
from embrl.training.loop import Progress as Step

USAGE = """\
usage: embrl agents generate EMB [--n N] [--spread S] [--episodes E] [--seed S] --out POP

Draws new agents from an embedding that embrl agents fit has made, evaluates them and writes a
population folder of them (lineage -1).

  --spread S    how far from the middle of what was learned: 1 as it was, 2 twice as far"""


@dataclasses.dataclass(frozen=True)
class _Generate:
    out: Path
    """The population folder to write."""
    n: int = 1_000
    """New agents."""
    spread: float = 1.0
    """How far from the prior's mean, in multiples of what it says."""
    episodes: int = EPISODES
    """That each is evaluated on."""
    seed: int = 0
    """Where all randomness comes from."""


def generate(arguments: Sequence[str]) -> None:
    """Parses, generates, says how good they are."""
    if not arguments or arguments[0].startswith("-"):
        finish_help(arguments, USAGE)
        raise EmbrlError("generate from what? embrl agents generate EMB, a folder of agents fit")
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
            on_progress=lambda done, of: bar.show(Step("new agents", done, of, None)),
        )
    returns = made.table()["return_mean"]
    console.print(
        f"{made.count:,} new agents {made.architecture}: mean return {returns.mean():.1f} "
        f"(worst {returns.min():.1f}, best {returns.max():.1f})\n{made.path}",
        highlight=False,
        soft_wrap=True,
    )
