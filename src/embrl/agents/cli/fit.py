"""Command `embrl agents fit POP`."""

import dataclasses
import inspect
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.table import Table

from embrl.agents.embeddings import KINDS
from embrl.agents.embeddings.embedding import AgentFitConfig
from embrl.agents.embeddings.evaluate import MAX_AGENTS, SUMMARY, evaluate
from embrl.agents.embeddings.fit import fit as run
from embrl.agents.embeddings.fit import planned
from embrl.agents.novelty import NOVELTY_FILE, evaluate_novelty
from embrl.agents.population import Population
from embrl.cli.parsing import Switch, flags_of, parse_flags, value_of
from embrl.core.runtime import prepare_jax
from embrl.report.console import plain_console
from embrl.report.progress_bar import ProgressBar
from embrl.training.loop import Progress

COMMON = ("k", "group", "hidden", "steps", "beta", "seed")
"""Settings that `--help` shows."""


@dataclasses.dataclass(frozen=True)
class _AgentFit:
    """Learn an embedding of the agents of a population.

    It is an encoder to k numbers, and a decoder back to weights; held-out lineages are measured,
    too. Writes a folder with the embedding and summary.json. docs/agents/embeddings.md describes
    the kinds.
    """

    population: Annotated[Path, tyro.conf.Positional]
    """Population folder."""
    out: Path
    """Folder to write."""
    kind: str = "fingerprint"
    """Kind of embedding, a name in `KINDS`."""
    episodes: int = 100
    """Evaluation episodes."""
    most: int = MAX_AGENTS
    """Maximum number of measured agents of a set."""
    novelty: Switch = False
    """Also set new agents beside training agents with noise and averages of pairs, in
    novelty.json."""
    resume: Switch = False
    """Continue from the last checkpoint in the folder."""


def fit(arguments: Sequence[str]) -> None:
    """Parse the arguments, fit and measure an embedding and print a table."""
    prepare_jax()
    kind, defaults = _defaults(arguments)
    own = flags_of(_AgentFit, common=("population", "out", "kind", "novelty", "resume"))
    own = [
        dataclasses.replace(flag, default=kind, text=f"Kind of embedding: {', '.join(KINDS)}.")
        if flag.name == "kind"
        else flag
        for flag in own
    ]
    settings = flags_of(defaults, common=COMMON)
    about = inspect.getdoc(_AgentFit) or ""
    values = parse_flags([*own, *settings], arguments, "embrl agents fit", about)
    given = _AgentFit(**{flag.name: values[flag.name] for flag in own})
    config = AgentFitConfig(**{flag.name: values[flag.name] for flag in settings})
    population = Population(given.population)
    console, started = plain_console(), time.perf_counter()
    title = f"{given.kind} of {config.group} agents"
    with ProgressBar(console, title) as bar:
        embedding = run(
            given.kind,
            population,
            config,
            given.out,
            resume=given.resume,
            on_progress=bar.show,
        )
        bar.show(Progress("measuring", 0, 1, None))
        summary = evaluate(
            embedding, population, given.out, episodes=given.episodes, most=given.most
        )
        if given.novelty:
            evaluate_novelty(embedding, population, given.out, episodes=given.episodes)
        bar.show(Progress("measuring", 1, 1, None))
    console.print(table(summary))
    written = f"{SUMMARY} and {NOVELTY_FILE}" if given.novelty else SUMMARY
    seconds = time.perf_counter() - started
    console.print(
        f"{summary['k']} numbers for {population.architecture.size} weights, "
        f"{seconds:.1f} s\n{given.out} ({written})",
        soft_wrap=True,
    )


def table(summary: dict[str, Any]) -> Table:
    """Return a table of the scores of each group's agents."""
    shown = Table(title=f"mean {summary['value']}, {summary['kind']}, k = {summary['k']}")
    for column in ("group", "agents", "original", "reconstructed", "kept", "new"):
        shown.add_column(column, justify="left" if column == "group" else "right")
    for name, group in summary["groups"].items():
        new = group.get("generated", {}).get("survival")
        for side, words in (("training", ""), ("held_out", ", held out")):
            if side in group:
                one = group[side]
                shown.add_row(
                    name + words,
                    f"{one['agents']:,}",
                    f"{one['original']['mean']:.1f}",
                    f"{one['reconstructed']['mean']:.1f}",
                    "" if one["kept"]["mean"] is None else f"{one['kept']['mean']:.1%}",
                    f"{new['mean']:.1f}" if new and side == "training" else "",
                )
    return shown


def _defaults(arguments: Sequence[str]) -> tuple[str, AgentFitConfig]:
    """Return the settings of the fit that is resumed; else the defaults."""
    out = value_of("--out", arguments, "")
    found = planned(out) if out and "--resume" in arguments else None
    return found or (_AgentFit.kind, AgentFitConfig())
