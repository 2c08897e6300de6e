"""Commands `embrl agents walk POP EMB A B` and `embrl agents report POP EMB [EMB ...]`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from embrl.agents.embeddings.embedding import AgentEmbedding, load
from embrl.agents.evidence.pair_walks import summary_line, walk_key, walk_pair, write_walk
from embrl.agents.evidence.report import ReportConfig, write_report
from embrl.agents.population import Population
from embrl.agents.walks import rule_of
from embrl.cli.flags import field
from embrl.cli.parsing import finish_help, parse, require_first
from embrl.cli.progress import ProgressBar
from embrl.core.errors import EmbrlError, require
from embrl.core.runtime import prepare_jax

WALK_USAGE = """\
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
    finish_help(arguments, WALK_USAGE)
    require_first(
        arguments,
        "POP must be a population folder, got none; embrl agents walk POP EMB A B --out DIR",
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


REPORT_USAGE = """\
usage: embrl agents report POP EMB [EMB ...] --out DIR [--pairs N] [--agents N] ...

Measure embeddings of a population, and write DIR/summary.json, DIR/README.md with the tables,
figures, and animations of a real slope, valley and hill: scores of reconstructed and new agents,
new agents beside trivial ones, walks between pairs of agents, similarity of decisions and
representations. The same command resumes an interrupted report (finished parts are in DIR/parts).

  POP                 population folder
  EMB ...             folders written by embrl agents fit for it, the best one first
{flags}"""

FLAGS = {
    "pairs": "walks of each embedding's agents",
    "walk_episodes": "episodes at each of a walk's 13 points, an even number",
    "agents": "maximum number of reconstructed or generated agents of each group",
    "episodes": "episodes of these agents, and of the walks that are shown",
    "margin": "margin of the rule that classifies walks, in units of return",
    "everybody": "walk between all agents, not only held-out ones",
    "seed": "random seed",
}


def report(arguments: Sequence[str]) -> None:
    """Parse the arguments, write the evidence folder and print the claims."""
    finish_help(arguments, REPORT_USAGE.format(flags=_help()))
    require_first(
        arguments,
        (
            "POP must be a population folder, got none; embrl agents report POP EMB [EMB ...] "
            "--out DIR"
        ),
    )
    given: Any = parse(_flags(), arguments, "embrl agents report")
    require("matplotlib", "plot")  # before the work, not after it
    prepare_jax()
    config = ReportConfig(**{name: getattr(given, name) for name in FLAGS})
    population = Population(given.population)
    embeddings = _named(given.embeddings)
    console = Console()
    with ProgressBar(console, f"report on {given.population.name}") as bar:
        summary = write_report(
            population,
            embeddings,
            given.out,
            config,
            _command(given, config),
            bar.show,
        )
    for claim in [
        *summary["quality_claims"],
        *summary["latent_search_claims"],
        *_walk_claims(summary),
        *summary["similarity"]["claims"],
    ]:
        mark = "holds         " if claim["holds"] else "does not hold "
        name = f"{claim['embedding']}: " if "embedding" in claim else ""
        text = f"{mark}{name}{claim['claim']}"
        console.print(text, highlight=False, soft_wrap=True, markup=False)
    console.print(f"{summary['wall_s'] / 60:.1f} minutes\n{given.out}", highlight=False)


def _flags() -> type:
    default = ReportConfig()
    types = {part.name: part.type for part in dataclasses.fields(ReportConfig)}
    types["everybody"] = tyro.conf.FlagCreatePairsOff[bool]
    return dataclasses.make_dataclass(
        "Report",
        [
            ("population", Annotated[Path, tyro.conf.Positional]),
            ("embeddings", Annotated[tuple[Path, ...], tyro.conf.Positional]),
            ("out", Path),
            *(
                field(name, types[name], getattr(default, name), text.capitalize())
                for name, text in FLAGS.items()
            ),
        ],
        frozen=True,
    )


def _help() -> str:
    default = ReportConfig()
    rows = []
    for name, text in FLAGS.items():
        value = getattr(default, name)
        said = "a tenth of their range" if value is None else value
        rows.append(f"  {_flag(name):<17} {text}" + f" (default: {said})" * (value is not False))
    return "\n".join(rows)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _named(folders: Sequence[Path]) -> dict[str, AgentEmbedding]:
    """Load embeddings by the names of their folders.

    Raises:
        EmbrlError: two have the same name, there is none, or one is not an embedding.
    """
    if not folders:
        raise EmbrlError(
            "EMB must be one or more folders, got none; embrl agents report POP EMB [EMB ...]"
        )
    names = [folder.resolve().name for folder in folders]
    if twice := {name for name in names if names.count(name) > 1}:
        raise EmbrlError(
            f"folders of embeddings must have different names, got {twice.pop()} twice"
        )
    return {name: load(folder) for name, folder in zip(names, folders, strict=True)}


def _walk_claims(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [claim for told in summary["walks"].values() for claim in told["claims"]]


def _command(given: Any, config: ReportConfig) -> str:
    """Return the command, without the machine's own paths."""
    places = [given.population, *given.embeddings]
    parts = ["embrl agents report", *map(_place, places), f"--out {_place(given.out)}"]
    default = ReportConfig()
    for name in FLAGS:
        value = getattr(config, name)
        if value != getattr(default, name):
            parts.append(_flag(name) if value is True else f"{_flag(name)} {value}")
    return " ".join(parts)


def _place(path: Path) -> str:
    return path.name if path.is_absolute() else str(path)
