"""`embrl agents fit POP`"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from embrl.agents.embeddings import KINDS
from embrl.agents.embeddings.config import FitConfig
from embrl.agents.embeddings.evaluate import MOST, SUMMARY, evaluate
from embrl.agents.embeddings.fit import Progress, planned
from embrl.agents.embeddings.fit import fit as run
from embrl.agents.plane import PLANE, plane
from embrl.agents.population import Population
from embrl.cli.flags import field
from embrl.cli.parsing import finish_help, parse, value_of
from embrl.cli.progress import ProgressBar
from embrl.core.errors import EmbrlError
from embrl.core.runtime import prepare_jax
from embrl.training.loop import Progress as Step

USAGE = """\
usage: embrl agents fit POP [--kind {kinds}] [--k K] [--group best|all|G] --out EMB
                        [--steps N] [--beta B] [--seed S] [--novelty] [--resume] ...

Learns an embedding of the agents of a population folder: a vector of k numbers for each, and a way
back. Lineages that are held out are measured too. Writes a folder with the embedding,
summary.json and, with --novelty, novelty.json (new agents beside noise and averages).

embrl agents fit POP --help lists all flags. docs/agents/embeddings.md says what the kinds are."""


def fit(arguments: Sequence[str]) -> None:
    """Parses, fits, measures, says how it went."""
    if not arguments or arguments[0].startswith("-"):
        finish_help(arguments, USAGE.format(kinds="|".join(KINDS)))
        raise EmbrlError("fit what? embrl agents fit POP, where POP is a population folder")
    prepare_jax()
    given: Any = parse(_flags(*_defaults(arguments)), arguments[1:], "embrl agents fit POP")
    population = Population(arguments[0])
    names = [part.name for part in dataclasses.fields(FitConfig)]
    config = FitConfig(**{name: getattr(given, name) for name in names})
    console, started = Console(), time.perf_counter()
    title = f"{given.kind} of {given.group} agents"
    with ProgressBar(console, title) as bar:
        embedding = run(
            given.kind,
            population,
            config,
            given.out,
            resume=given.resume,
            on_progress=lambda now: bar.show(_step(now)),
        )
        bar.show(Step("measuring", 0, 1, None))
        summary = evaluate(
            embedding, population, given.out, episodes=given.episodes, most=given.most
        )
        if given.novelty:
            plane(embedding, population, given.out, episodes=given.episodes)
        bar.show(Step("measuring", 1, 1, None))
    console.print(table(summary))
    written = f"{SUMMARY} and {PLANE}" if given.novelty else SUMMARY
    seconds = time.perf_counter() - started
    console.print(
        f"{summary['k']} numbers for {population.architecture.size} weights, "
        f"{seconds:.1f} s\n{given.out} ({written})",
        highlight=False,
        soft_wrap=True,
    )


def table(summary: dict[str, Any]) -> Table:
    """What agents of each group are worth, as people read it."""
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


def _defaults(arguments: Sequence[str]) -> tuple[str, FitConfig]:
    """What a fit that goes on was started with; else everybody's."""
    out = value_of("--out", arguments, "")
    found = planned(out) if out and "--resume" in arguments else None
    return found or ("fingerprint", FitConfig())


def _flags(kind: str, defaults: FitConfig) -> type:
    says = {
        "k": "Numbers in an embedding.",
        "group": "Which agents: all, best, or a group's number from 0, or its name.",
        "hidden": "Widths of the encoder's hidden layers; the decoder's are the same, in reverse.",
        "steps": "Gradient steps.",
        "batch": "Agents in a step.",
        "learning_rate": "Adam's; falls to zero along half a cosine.",
        "beta": "Weight of the KL to a standard normal; default: the kind's own.",
        "held_out": "Share of lineages that training never sees.",
        "agents": "Training agents at most, drawn at random.",
        "states": "In which an agent and its reconstruction are compared in a step.",
        "keep": "Visited states that are remembered of each agent.",
        "working": "Agents whose reconstructions act between two chunks of steps.",
        "chunk": "Steps between two looks at the host.",
        "seed": "Where all randomness comes from.",
    }
    types = {part.name: part.type for part in dataclasses.fields(FitConfig)}
    own = [field(name, types[name], getattr(defaults, name), text) for name, text in says.items()]
    return dataclasses.make_dataclass(
        "Fit",
        [
            ("out", Path),
            field("kind", str, kind, f"Which embedding: {', '.join(KINDS)}."),
            *own,
            field("episodes", int, 100, "That agents are measured on."),
            field("most", int, MOST, "Agents of a set that are measured, at most."),
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
                "Go on from the folder's last checkpoint.",
            ),
        ],
        frozen=True,
    )


def _step(now: Progress) -> Step:
    return Step("fitting", now.done, now.total, now.measures["loss"])
