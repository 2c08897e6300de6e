"""Command `embrl agents fit POP`."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from embrl.agents.embeddings import KINDS
from embrl.agents.embeddings.embedding import AgentFitConfig
from embrl.agents.embeddings.evaluate import MAX_AGENTS, SUMMARY, evaluate
from embrl.agents.embeddings.fit import fit as run
from embrl.agents.embeddings.fit import planned
from embrl.agents.novelty import NOVELTY_FILE, evaluate_novelty
from embrl.agents.population import Population
from embrl.cli.flags import field
from embrl.cli.parsing import parse, require_first, value_of
from embrl.cli.progress import ProgressBar
from embrl.core.runtime import prepare_jax
from embrl.training.loop import Progress

USAGE = """\
usage: embrl agents fit POP [--kind {kinds}] [--k K] [--group best|all|G] --out EMB
                        [--steps N] [--beta B] [--seed S] [--novelty] [--resume] ...

Learn an embedding of the agents of a population folder: an encoder to k numbers, and a decoder
back to weights. Held-out lineages are measured too. Writes a folder with the embedding,
summary.json and, with --novelty, novelty.json (new agents beside noise and averages).

embrl agents fit POP --help lists all flags. docs/agents/embeddings.md describes the kinds."""


def fit(arguments: Sequence[str]) -> None:
    """Parse the arguments, fit and measure an embedding and print a table."""
    require_first(
        arguments,
        "POP must be a population folder, got none; embrl agents fit POP --out EMB",
        USAGE.format(kinds="|".join(KINDS)),
    )
    prepare_jax()
    given: Any = parse(_flags(*_defaults(arguments)), arguments[1:], "embrl agents fit POP")
    population = Population(arguments[0])
    names = [part.name for part in dataclasses.fields(AgentFitConfig)]
    config = AgentFitConfig(**{name: getattr(given, name) for name in names})
    console, started = Console(), time.perf_counter()
    title = f"{given.kind} of {given.group} agents"
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
        highlight=False,
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
    return found or ("fingerprint", AgentFitConfig())


def _flags(kind: str, defaults: AgentFitConfig) -> type:
    says = {
        "k": "Dimensions of the embedding.",
        "group": "Agents to embed: all, best, or a group's number from 0 or its name.",
        "hidden": "Widths of the encoder's hidden layers; the decoder's are the same, in reverse.",
        "steps": "Gradient steps.",
        "batch": "Agents per gradient step.",
        "learning_rate": "Learning rate of Adam; falls to zero along half a cosine.",
        "beta": "Weight of the KL divergence to a standard normal; default: the kind's own.",
        "held_out": "Fraction of lineages held out from training.",
        "agents": "Maximum number of training agents, drawn at random.",
        "states": "States per step in which an agent and its reconstruction are compared.",
        "keep": "Visited states kept for each agent.",
        "working": "Agents whose reconstructions act between two chunks of steps.",
        "chunk": "Gradient steps per compiled call.",
        "seed": "Random seed.",
    }
    types = {part.name: part.type for part in dataclasses.fields(AgentFitConfig)}
    own = [field(name, types[name], getattr(defaults, name), text) for name, text in says.items()]
    return dataclasses.make_dataclass(
        "Fit",
        [
            ("out", Path),
            field("kind", str, kind, f"Kind of embedding: {', '.join(KINDS)}."),
            *own,
            field("episodes", int, 100, "Evaluation episodes."),
            field("most", int, MAX_AGENTS, "Maximum number of measured agents of a set."),
            field(
                "novelty",
                tyro.conf.FlagCreatePairsOff[bool],
                False,
                "Also set new agents beside training agents with noise and averages of pairs.",
            ),
            field(
                "resume",
                tyro.conf.FlagCreatePairsOff[bool],
                False,
                "Continue from the last checkpoint in the folder.",
            ),
        ],
        frozen=True,
    )
