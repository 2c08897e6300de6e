"""Commands `embrl agents walk POP EMB A B` and `embrl agents report POP EMB [EMB ...]`."""

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from embrl.agents.embeddings.embedding import AgentEmbedding, load
from embrl.agents.evidence.pair_walks import summary_line, walk_key, walk_pair, write_walk
from embrl.agents.evidence.report import ReportConfig, write_report
from embrl.agents.evidence.report_tasks import measure_apart
from embrl.agents.population import Population
from embrl.agents.walks import rule_of
from embrl.cli.executor_flags import chosen_executor, executor_flags
from embrl.cli.parsing import flags_of, parse, parse_flags
from embrl.core.errors import EmbrlError, SettingError, require
from embrl.core.runtime import prepare_jax
from embrl.report.console import plain_console
from embrl.report.progress_bar import ProgressBar


@dataclasses.dataclass(frozen=True)
class _Walk:
    """Walk from one agent to another, in figures and animations.

    The walk is a straight line from agent A of a population to agent B and beyond both, in the
    latent space of an embedding and in weight space. Writes walk.json, walk.png and, for cart_pole,
    walk.gif: both agents, their midpoint and the best extrapolation side by side.
    """

    population: Annotated[Path, tyro.conf.Positional]
    """Population folder."""
    embedding: Annotated[Path, tyro.conf.Positional]
    """Folder written by embrl agents fit for such agents."""
    a: Annotated[int, tyro.conf.Positional]
    """Number of one agent."""
    b: Annotated[int, tyro.conf.Positional]
    """Number of the other agent."""
    out: Path
    """Folder to write."""
    episodes: int = 100
    """Episodes at every point."""
    margin: float | None = None
    """Margin of the rule that classifies walks, in units of return. Default: a tenth of the range
    of returns; 50 steps in cart_pole."""
    seed: int = 0
    """Random seed of the episodes."""


def walk(arguments: Sequence[str]) -> None:
    """Parse the arguments, play the walk, draw it and print a summary."""
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
    plain_console().print(
        f"{summary_line(found.record)}\n{given.out} ({', '.join(written)})",
        soft_wrap=True,
    )


@dataclasses.dataclass(frozen=True)
class _AgentReport:
    """Measure embeddings, and write all evidence to a folder.

    Writes summary.json, README.md with the tables, figures, and animations of a real slope, valley
    and hill: scores of reconstructed and new agents, new agents beside trivial ones, walks between
    pairs of agents, similarity of decisions and representations. The same command resumes an
    interrupted report (finished parts are in the folder parts).
    """

    population: Annotated[Path, tyro.conf.Positional]
    """Population folder."""
    embeddings: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders written by embrl agents fit for it, the best one first."""
    out: Path
    """Folder to write."""


def report(arguments: Sequence[str]) -> None:
    """Parse the arguments, write the evidence folder and print the claims."""
    own, measured = flags_of(_AgentReport), flags_of(ReportConfig())
    about = inspect.getdoc(_AgentReport) or ""
    flags = [*own, *measured, *executor_flags()]
    values = parse_flags(flags, arguments, "embrl agents report", about)
    given = _AgentReport(**{flag.name: values[flag.name] for flag in own})
    config = ReportConfig(**{flag.name: values[flag.name] for flag in measured})
    require("matplotlib", "plot")  # before the work, not after it
    prepare_jax()
    population = Population(given.population)
    embeddings = _named(given.embeddings)
    console = plain_console()
    if (executor := chosen_executor(values, console)) is not None:
        if values["results"] != "shared":
            raise SettingError(
                "results", "shared", values["results"], "parts of a report are in one folder"
            )
        folders = dict(zip(embeddings, given.embeddings, strict=True))
        measure_apart(executor, given.population, folders, given.out, config)
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
        console.print(text, soft_wrap=True)
    console.print(f"{summary['wall_s'] / 60:.1f} minutes\n{given.out}", soft_wrap=True)


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


def _command(given: _AgentReport, config: ReportConfig) -> str:
    """Return the command, without the machine's own paths."""
    places = [given.population, *given.embeddings]
    parts = ["embrl agents report", *map(_place, places), f"--out {_place(given.out)}"]
    default = ReportConfig()
    parts += [
        flag.shown if flag.default is True else f"{flag.shown} {flag.default}"
        for flag in flags_of(config)
        if flag.default != getattr(default, flag.name)
    ]
    return " ".join(parts)


def _place(path: Path) -> str:
    return path.name if path.is_absolute() else str(path)
