"""Python interface to agents, with the functions and arguments of `embrl agents`."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embrl import envs
from embrl.agents import collect as collecting
from embrl.agents import generate as generating
from embrl.agents.embeddings import fit as fitting
from embrl.agents.embeddings.embedding import AgentEmbedding, AgentFitConfig, check_fits, load
from embrl.agents.embeddings.evaluate import evaluate
from embrl.agents.evidence.pair_walks import PairWalk, walk_key, walk_pair, write_walk
from embrl.agents.evidence.report import ReportConfig, write_report
from embrl.agents.latent_search import RADIUS
from embrl.agents.lineages import LineageConfig
from embrl.agents.population import Population
from embrl.agents.walks import rule_of
from embrl.core.errors import EmbrlError, UnknownNameError, require
from embrl.core.runtime import prepare_jax
from embrl.training.loop import Progress

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


def collect_agents(
    environment: str = "cart_pole",
    *,
    out: str | Path,
    lineages: int = collecting.LINEAGES,
    episodes: int = collecting.EPISODES,
    block: int = collecting.BLOCK,
    runs: Mapping[str, Any] | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    **options: Any,
) -> Population:
    """Collect a population of agents, as `embrl agents collect` does.

    Args:
        environment: registered name of the environment.
        out: population folder to write.
        lineages: number of training runs.
        episodes: evaluation episodes of each agent.
        block: lineages trained at once.
        runs: other settings of the training runs, by their names in
            `embrl.agents.lineages.LineageConfig`: `{"hidden": (16,), "checkpoints": (0, 10)}`.
        resume: continue the collection in `out`.
        on_progress: called with a `Progress` after each block.
        options: settings of the environment.

    Raises:
        EmbrlError: as `embrl agents collect`.
    """
    prepare_jax()
    known = [field.name for field in dataclasses.fields(LineageConfig)]
    for name in (runs := dict(runs or {})):
        if name not in known:
            raise UnknownNameError("setting of runs", name, known)
    config = LineageConfig(environment, envs.configure(environment, **options), **runs)
    config = collecting.CollectConfig(config, lineages, episodes, block)
    return collecting.collect(config, out, resume=resume, on_progress=on_progress)


def fit_agents(
    population: Population | Folder,
    kind: str = "fingerprint",
    *,
    out: Folder,
    resume: bool = False,
    measure: bool = True,
    on_progress: Callable[[Progress], None] = lambda _: None,
    **settings: Any,
) -> AgentEmbedding:
    """Fit an embedding of a population's agents, as `embrl agents fit` does.

    Args:
        population: opened, or its folder.
        kind: a name in `embrl.agents.embeddings.KINDS`.
        out: folder to write: the embedding and, if `measure`, `summary.json`.
        resume: continue from the last checkpoint in `out`, with the same settings.
        measure: write `summary.json` too.
        on_progress: called with a `Progress` between chunks.
        settings: by their names in `embrl.agents.embeddings.embedding.AgentFitConfig`: `k=16`,
            `group="best"`, `steps=4000`.

    Returns:
        The embedding: `encode(w)` of weights `[N, size]` gives z `[N, k]`, `decode(z)` weights
        again, `sample(key, n)` new z `[n, k]`.

    Raises:
        EmbrlError: as `embrl agents fit`.
    """
    prepare_jax()
    known = [field.name for field in dataclasses.fields(AgentFitConfig)]
    for name in settings:
        if name not in known:
            raise UnknownNameError("setting of a fit", name, known)
    agents = _opened(population)
    embedding = fitting.fit(
        kind, agents, AgentFitConfig(**settings), out, resume=resume, on_progress=on_progress
    )
    if measure:
        evaluate(embedding, agents, out)
    return embedding


def load_agents(path: Folder) -> AgentEmbedding:
    """Load an embedding of agents from the folder that `fit_agents` or `embrl agents fit` wrote.

    Raises:
        EmbrlError: there is none, or it is unfinished or damaged.
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
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Population:
    """Generate new agents and evaluate them, as `embrl agents generate` does.

    Args:
        embedding: opened, or its folder.
        n: number of agents.
        out: population folder to write; its lineage is -1.
        spread: factor of the distance from the prior's mean.
        episodes: evaluation episodes of each agent.
        seed: random seed.
        on_progress: called with a `Progress` after each part.

    Raises:
        EmbrlError: as `embrl agents generate`.
    """
    prepare_jax()
    return generating.generate(
        _loaded(embedding),
        n,
        out,
        spread=spread,
        seed=seed,
        episodes=episodes,
        on_progress=on_progress,
    )


def improve_agents(
    population: Population | Folder,
    embedding: AgentEmbedding | Folder,
    agents: Sequence[int] | None = None,
    *,
    out: Folder,
    each: int = generating.EACH,
    radius: float = RADIUS,
    episodes: int = generating.EPISODES,
    seed: int = 0,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Population:
    """Improve agents by latent search, as `embrl agents improve` does.

    The columns `lineage`, `step` and `seed` of the new population are those of the original agents.
    `improved.json` in it has their numbers and their mean returns, and a table by group.

    Args:
        population: opened, or its folder.
        embedding: embedding of all groups, opened, or its folder.
        agents: numbers of the agents; None: at most `each` held-out agents of each group.
        out: population folder to write.
        each: maximum number of agents of each group.
        radius: maximum distance of the search: root mean square over the k numbers of z, in
            standard deviations of the population.
        episodes: evaluation episodes of each agent.
        seed: random seed.
        on_progress: called with a `Progress` after each part.

    Raises:
        EmbrlError: as `embrl agents improve`.
    """
    prepare_jax()
    opened, loaded = _fitting(population, embedding)
    numbers = None if agents is None else _numbers(agents)
    generating.improve_agents(
        loaded, opened, out, agents=numbers, each=each, radius=radius, episodes=episodes,
        seed=seed, on_progress=on_progress,
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
    """Walk from one agent to another in latent space and in weight space, as `embrl agents walk`.

    Args:
        population: opened, or its folder.
        embedding: opened, or its folder.
        a: number of one agent.
        b: number of the other agent.
        out: folder for `walk.json`, `walk.png` and, for cart_pole, `walk.gif`; None: nothing is
            written.
        episodes: episodes at every point.
        margin: margin of the rule that classifies walks, in units of return; None: a tenth of their
            range.
        seed: random seed of the episodes.

    Returns:
        `record`, the contents of `walk.json`; `returns`, `[points, episodes]` for each line, at
        `embrl.agents.walks.COEFFICIENTS`; `latent`, the decoded agents on the way, `[points,
        size]`.

    Raises:
        EmbrlError: as `embrl agents walk`.
    """
    if out is not None:
        require("matplotlib", "plot")  # before the work, not after it
    prepare_jax()
    opened, loaded = _fitting(population, embedding)
    rule, key = rule_of(opened, margin), walk_key(seed)
    found = walk_pair(opened, loaded, a, b, rule=rule, episodes=episodes, key=key)
    if out is not None:
        write_walk(found, opened, Path(out), "walk", key)
    return found


def report_agents(
    population: Population | Folder,
    embeddings: Mapping[str, AgentEmbedding | Folder],
    *,
    out: Folder,
    on_progress: Callable[[Progress], None] = lambda _: None,
    **settings: Any,
) -> dict[str, Any]:
    """Measure embeddings of a population and write the evidence folder.

    As `embrl agents report` does; the same call again resumes an interrupted report.

    Args:
        population: opened, or its folder.
        embeddings: embeddings, opened or their folders, by name, the best one first.
        out: folder to write.
        on_progress: called with a `Progress` of each stage.
        settings: by their names in `embrl.agents.evidence.report.ReportConfig`: `pairs=2000`.

    Returns:
        The contents of `summary.json`.

    Raises:
        EmbrlError: as `embrl agents report`.
    """
    require("matplotlib", "plot")
    prepare_jax()
    known = [field.name for field in dataclasses.fields(ReportConfig)]
    for name in settings:
        if name not in known:
            raise UnknownNameError("setting of a report", name, known)
    if not embeddings:
        raise EmbrlError("embeddings must be one or more, got none")
    opened = _opened(population)
    loaded = {name: _loaded(embedding) for name, embedding in embeddings.items()}
    said = f"embrl.report_agents({opened.path.name!r}, {', '.join(loaded)})"
    return write_report(opened, loaded, out, ReportConfig(**settings), said, on_progress)


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
        raise EmbrlError(f"agents must be integers [n], got {numbers.dtype}{list(numbers.shape)}")
    return numbers
