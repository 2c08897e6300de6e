"""The Python interface to whole agents, of the same shape as `embrl agents`."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embrl import envs
from embrl.agents import collect as collecting
from embrl.agents import generate as generating
from embrl.agents import improving
from embrl.agents.ascend import RADIUS
from embrl.agents.embeddings import fit as fitting
from embrl.agents.embeddings.config import FitConfig
from embrl.agents.embeddings.embedding import AgentEmbedding, load
from embrl.agents.embeddings.evaluate import evaluate
from embrl.agents.lineages import LineageConfig
from embrl.agents.population import Population
from embrl.core.errors import EmbrlError, UnknownNameError, require
from embrl.core.runtime import prepare_jax
from embrl.experiments.agents.evidence import ReportConfig, Tell, evidence
from embrl.experiments.agents.pair import PairWalk, pair_key, walk_pair, write_walk
from embrl.experiments.agents.worth import check_fits, rule_of

__all__ = [
    "collect_agents",
    "fit_agents",
    "generate_agents",
    "improve_agents",
    "load_agents",
    "report_agents",
    "walk_agents",
]

Folder = str | Path

Counted = Callable[[int, int], None]
"""Told how much is done, and of how much."""


def _nobody(*_: object) -> None:
    """Looks."""


def collect_agents(
    environment: str = "cart_pole",
    *,
    out: str | Path,
    lineages: int = collecting.LINEAGES,
    episodes: int = collecting.EPISODES,
    block: int = collecting.BLOCK,
    runs: Mapping[str, Any] | None = None,
    resume: bool = False,
    watch: collecting.Watcher = collecting.unwatched,
    **options: Any,
) -> Population:
    """Trains very many agents and leaves a population folder, as `embrl agents collect` does.

    Arguments:
        out: the population folder to write.
        lineages: training runs.
        episodes: that each agent is evaluated on.
        block: lineages that are trained at once.
        runs: other settings of the training runs, by their names in
            `embrl.agents.lineages.LineageConfig`: `{"hidden": (16,), "checkpoints": (0, 10)}`.
        resume: go on with the collection in `out`.
        watch: called with a `Progress` after each block.
        options: the environment's.

    Raises:
        EmbrlError: as `embrl agents collect` would say it.
    """
    prepare_jax()
    known = [field.name for field in dataclasses.fields(LineageConfig)]
    for name in (runs := dict(runs or {})):
        if name not in known:
            raise UnknownNameError("setting of runs", name, known)
    config = LineageConfig(environment, envs.configure(environment, **options), **runs)
    config = collecting.CollectConfig(config, lineages, episodes, block)
    return collecting.collect(config, out, resume=resume, watch=watch)


def fit_agents(
    population: Population | Folder,
    kind: str = "fingerprint",
    *,
    out: Folder,
    resume: bool = False,
    measure: bool = True,
    watch: Callable[[fitting.Progress], None] = _nobody,
    **settings: Any,
) -> AgentEmbedding:
    """Learns an embedding of a population's agents, as `embrl agents fit` does.

    Arguments:
        population: opened, or its folder.
        kind: a name in `embrl.agents.embeddings.KINDS`.
        out: the folder to write: the embedding and, if `measure`, `summary.json`.
        resume: go on from the last checkpoint in `out`, with the same settings.
        watch: called with a `Progress` between chunks.
        settings: by their names in `embrl.agents.embeddings.config.FitConfig`: `k=16`,
            `group="best"`, `steps=4000`.

    **Returns** the embedding: `encode(w)` of weights `[N, size]` gives z `[N, k]`, `decode(z)`
    weights again, `sample(key, n)` new z `[n, k]`.

    Raises:
        EmbrlError: as `embrl agents fit` would say it.
    """
    prepare_jax()
    known = [field.name for field in dataclasses.fields(FitConfig)]
    for name in settings:
        if name not in known:
            raise UnknownNameError("setting of a fit", name, known)
    agents = _opened(population)
    embedding = fitting.fit(kind, agents, FitConfig(**settings), out, resume=resume, watch=watch)
    if measure:
        evaluate(embedding, agents, out)
    return embedding


def load_agents(path: Folder) -> AgentEmbedding:
    """An embedding of agents by the folder that `fit_agents` or `embrl agents fit` wrote.

    Raises:
        EmbrlError: there is none, it is not finished, or damaged.
    """
    prepare_jax()
    return load(path)


def generate_agents(
    embedding: AgentEmbedding | Folder,
    n: int = 1_000,
    *,
    out: Folder,
    spread: float = 1.0,
    episodes: int = generating.EPISODES,
    seed: int = 0,
    watch: Counted = _nobody,
) -> Population:
    """Draws n new agents, evaluates them and leaves a population folder (lineage -1), as `embrl
    agents generate` does.

    Arguments:
        spread: how far from the prior's mean, in multiples of what it says.
        watch: told agents done and n.

    Raises:
        EmbrlError: as `embrl agents generate` would say it.
    """
    prepare_jax()
    return generating.generate(
        _loaded(embedding), n, out, spread=spread, seed=seed, episodes=episodes, watch=watch
    )


def improve_agents(
    population: Population | Folder,
    embedding: AgentEmbedding | Folder,
    agents: Sequence[int] | None = None,
    *,
    out: Folder,
    each: int = improving.EACH,
    radius: float = RADIUS,
    episodes: int = improving.EPISODES,
    seed: int = 0,
    watch: Counted = _nobody,
) -> Population:
    """Takes agents uphill in an embedding of all groups and leaves what they became as a
    population folder, as `embrl agents improve` does.

    Its columns `lineage`, `step` and `seed` are those of the agents as they were.
    `improved.json` in it has their numbers and their mean returns before, and a table by group.

    Arguments:
        agents: their numbers; None: at most `each` held-out agents of each group.
        radius: how far an agent may go: root mean square over the k numbers of z, in standard
            deviations of the population.
        watch: told agents played, and of how many.

    Raises:
        EmbrlError: as `embrl agents improve` would say it.
    """
    prepare_jax()
    opened, loaded = _fitting(population, embedding)
    numbers = None if agents is None else _numbers(agents)
    improving.improve_agents(
        loaded, opened, out, agents=numbers, each=each, radius=radius, episodes=episodes,
        seed=seed, watch=watch,
    )  # fmt: skip
    return Population(out)


def walk_agents(
    population: Population | Folder,
    embedding: AgentEmbedding | Folder,
    a: int,
    b: int,
    *,
    out: Folder | None = None,
    episodes: int = 100,
    margin: float | None = None,
    seed: int = 0,
) -> PairWalk:
    """Walks from agent number `a` to number `b` and beyond both, in latent space and in weight
    space, as `embrl agents walk` does.

    Arguments:
        out: the folder to write `walk.json`, `walk.png` and, of cart_pole, `walk.gif` to; None:
            none is written.
        episodes: at every point.
        margin: of the rule that tells slopes, valleys and hills, in units of return; None: a
            tenth of the range there is.

    **Returns** `record`, as `walk.json` has it; `returns`, `[points, episodes]` for each line, at
    `embrl.agents.walk.COEFFICIENTS`; `latent`, the decoded agents on the way, `[points, size]`.

    Raises:
        EmbrlError: as `embrl agents walk` would say it.
    """
    if out is not None:
        require("matplotlib", "plot")  # before the work, not after it
    prepare_jax()
    opened, loaded = _fitting(population, embedding)
    rule, key = rule_of(opened, margin), pair_key(seed)
    found = walk_pair(opened, loaded, a, b, rule=rule, episodes=episodes, key=key)
    if out is not None:
        write_walk(found, opened, Path(out), "walk", key)
    return found


def report_agents(
    population: Population | Folder,
    embeddings: Mapping[str, AgentEmbedding | Folder],
    *,
    out: Folder,
    watch: Tell = _nobody,
    **settings: Any,
) -> dict[str, Any]:
    """Measures embeddings of a population and leaves the evidence folder, as `embrl agents report`
    does. The same call again goes on where it stopped.

    Arguments:
        embeddings: by what to call them, the best one first.
        out: the folder to write.
        watch: told the stage, how much of it is done, and of how much.
        settings: by their names in `embrl.experiments.agents.evidence.ReportConfig`: `pairs=2000`.

    **Returns** what `summary.json` has.

    Raises:
        EmbrlError: as `embrl agents report` would say it.
    """
    require("matplotlib", "plot")
    prepare_jax()
    known = [field.name for field in dataclasses.fields(ReportConfig)]
    for name in settings:
        if name not in known:
            raise UnknownNameError("setting of a report", name, known)
    if not embeddings:
        raise EmbrlError("report on which embedding? give one or more")
    opened = _opened(population)
    loaded = {name: _loaded(embedding) for name, embedding in embeddings.items()}
    said = f"embrl.report_agents({opened.path.name!r}, {', '.join(loaded)})"
    return evidence(opened, loaded, out, ReportConfig(**settings), said, watch)


def _opened(population: Population | Folder) -> Population:
    return population if isinstance(population, Population) else Population(population)


def _loaded(embedding: AgentEmbedding | Folder) -> AgentEmbedding:
    return embedding if isinstance(embedding, AgentEmbedding) else load(embedding)


def _fitting(
    population: Population | Folder, embedding: AgentEmbedding | Folder
) -> tuple[Population, AgentEmbedding]:
    opened, loaded = _opened(population), _loaded(embedding)
    check_fits(loaded, opened, "the embedding")
    return opened, loaded


def _numbers(agents: Sequence[int]) -> np.ndarray:
    numbers = np.asarray(agents)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise EmbrlError(
            f"numbers of agents are whole numbers [n], not {numbers.dtype}{list(numbers.shape)}"
        )
    return numbers
