"""New populations from an embedding: samples of its prior, and improved agents.

An agent's score is its mean return; in Cart-Pole that is its survival in steps.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.embeddings.evaluate import as_json
from embrl.agents.embeddings.fit import select_agents
from embrl.agents.episodes import survival
from embrl.agents.groups import Groups
from embrl.agents.latent_search import RADIUS, LatentCritic, fit_critic, improve
from embrl.agents.population import Population, append, check_free, create
from embrl.core.errors import EmbrlError
from embrl.core.statistics import bootstrap_ratio
from embrl.core.types import Key
from embrl.storage import files
from embrl.storage.lock import locked
from embrl.training.evaluation import Episodes
from embrl.training.loop import Progress

EPISODES = 100
"""Default number of evaluation episodes."""

LINEAGE = -1
"""Lineage of generated agents: no training run made them."""

AT_ONCE = 1_024
"""Agents evaluated between two progress reports."""


def generate(
    embedding: AgentEmbedding,
    n: int,
    out: str | os.PathLike[str],
    *,
    spread: float = 1.0,
    seed: int = 0,
    episodes: int = EPISODES,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Population:
    """Generate a population: sample the prior, decode, evaluate.

    The agents have lineage -1, step 0 and the seed given here.

    Args:
        embedding: embedding to sample from.
        n: number of agents.
        out: folder of the new population.
        spread: factor of the distance from the prior's mean.
        seed: random seed.
        episodes: evaluation episodes of each agent.
        on_progress: called after each part.

    Raises:
        EmbrlError: `n` or `spread` is not positive, or `out` is not empty.
    """
    if n < 1:
        raise EmbrlError(f"n must be 1 or more, got {n}")
    if not (spread > 0 and np.isfinite(spread)):
        raise EmbrlError(f"spread must be above 0, got {spread}")
    out = Path(out)
    with locked(out):
        check_free(out)
        drawing, playing = jax.random.split(jax.random.key(seed))
        w = embedding.decode(embedding.sample(drawing, n, spread))
        env, found = embedding.env.build(), []
        for start in range(0, n, AT_ONCE):
            found.append(
                survival(env, embedding.architecture, w[start : start + AT_ONCE], playing, episodes)
            )
            on_progress(Progress("new agents", min(start + AT_ONCE, n), n, None))
        returns = np.concatenate([np.asarray(episodes.returns) for episodes in found])
        lengths = np.concatenate([np.asarray(episodes.lengths) for episodes in found])
        table = {
            "lineage": np.full(n, LINEAGE),
            "step": np.zeros(n, np.int64),
            "seed": np.full(n, seed),
            "return_mean": returns.mean(1),
            "return_std": returns.std(1),
            "survival_mean": lengths.mean(1),
        }
        create(out, embedding.architecture, embedding.environment, embedding.env, episodes)
        append(out, w, table, architecture=embedding.architecture)
    return Population(out)


RECORD = "improved.json"
"""File beside `population.json`: the original agents, and a table of the improvement."""

EACH = 100
"""Default maximum number of agents of each group."""


class ImprovedAgents(NamedTuple):
    """Agents before and after the search, evaluated on the same episodes."""

    agents: Int[np.ndarray, " N"]
    """Their numbers in the population."""
    before: Float[np.ndarray, " N"]
    """Mean return of the original agent."""
    decoded: Float[np.ndarray, " N"]
    """Mean return of its reconstruction: the effect of encoding and decoding alone."""
    after: Float[np.ndarray, " N"]
    """Mean return of the improved agent."""
    expected: Float[np.ndarray, " N"]
    """Score predicted by the critic, usually too high."""
    w: Float[np.ndarray, "N size"]
    """Weights of the improved agents."""
    played: Episodes
    """Episodes of the improved agents, `[N, episodes]` each."""


def supports_search(embedding: AgentEmbedding) -> bool:
    """Return True if the embedding is of all groups, so that a critic knows bad agents too."""
    return embedding.config.group == "all"


def sample_held_out(
    embedding: AgentEmbedding, population: Population, groups: Groups, most: int, seed: int
) -> Int[np.ndarray, " N"]:
    """Draw at most `most` agents of each group from lineages the embedding never saw."""
    rows = select_agents(population, embedding.config, groups).held_out
    draw = np.random.default_rng(seed)
    mixed = draw.permutation(rows)
    group = groups.of(population.table()["return_mean"])[mixed]
    return np.sort(np.concatenate([mixed[group == at][:most] for at in range(groups.count)]))


def fit_population_critic(
    embedding: AgentEmbedding, population: Population, key: Key
) -> LatentCritic:
    """Fit a critic to the embedding's training agents and their mean returns."""
    train = select_agents(population, embedding.config).train
    returns = population.table()["return_mean"][train]
    return fit_critic(embedding.encode(population.rows(train)), returns, key)


def improve_and_evaluate(
    embedding: AgentEmbedding,
    population: Population,
    agents: Int[np.ndarray, " N"],
    *,
    radius: float = RADIUS,
    episodes: int = EPISODES,
    seed: int = 0,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> ImprovedAgents:
    """Improve agents, and evaluate them, their reconstructions and the results.

    Args:
        embedding: embedding of all groups.
        population: population of the agents.
        agents: numbers of the agents.
        radius: maximum distance of the search, see `latent_search`.
        episodes: evaluation episodes.
        seed: random seed.
        on_progress: called after each part.

    Raises:
        EmbrlError: the embedding is of one group, there is no such agent, or a setting is out of
            range.
    """
    _check(embedding, radius, episodes)
    agents = np.asarray(agents, np.int64)
    w = population.rows(agents)
    judging, playing = jax.random.split(jax.random.key(seed))
    found = improve(
        embedding, fit_population_critic(embedding, population, judging), w, radius=radius
    )
    sides = (w, embedding.decode(found.path[0]), found.w)
    everyone, played = np.concatenate(sides), []
    env = embedding.env.build()
    for start in range(0, len(everyone), AT_ONCE):
        part = everyone[start : start + AT_ONCE]
        played.append(survival(env, embedding.architecture, part, playing, episodes))
        done = min(start + AT_ONCE, len(everyone))
        on_progress(Progress("agents evaluated", done, len(everyone), None))
    returns = np.concatenate([part.returns for part in played])
    lengths = np.concatenate([part.lengths for part in played])
    before, decoded, after = returns.mean(1, dtype=np.float64).reshape(3, -1)
    last = Episodes(returns[2 * len(w) :], lengths[2 * len(w) :])  # type: ignore[arg-type]
    return ImprovedAgents(agents, before, decoded, after, found.expected[-1], found.w, last)


def summarize_by_group(
    found: ImprovedAgents, population: Population, groups: Groups
) -> dict[str, dict[str, Any]]:
    """Summarize an improvement for each group of the original agents.

    Mean returns before, after encoding and decoding alone, and after the search; the gain; the
    fractions that improved and worsened. All with 95 % intervals over lineages.
    """
    table, result = population.table(), {}
    group = groups.of(table["return_mean"])[found.agents]
    lineage = table["lineage"][found.agents]

    def mean(values: np.ndarray, mine: np.ndarray) -> dict[str, float | None]:
        return as_json(bootstrap_ratio(values[mine], np.ones(mine.sum()), lineage[mine]))

    for at, name in enumerate(groups.names):
        if not (mine := group == at).any():
            continue
        result[name] = {
            "agents": int(mine.sum()),
            "lineages": len(np.unique(lineage[mine])),
            "before": mean(found.before, mine),
            "decoded": mean(found.decoded, mine),
            "after": mean(found.after, mine),
            "gain": mean(found.after - found.before, mine),
            "better": mean((found.after > found.before).astype(float), mine),
            "worse": mean((found.after < found.before).astype(float), mine),
        }
    return result


def improve_agents(
    embedding: AgentEmbedding,
    population: Population,
    out: str | os.PathLike[str],
    *,
    agents: Int[np.ndarray, " N"] | None = None,
    each: int = EACH,
    radius: float = RADIUS,
    episodes: int = EPISODES,
    seed: int = 0,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> dict[str, Any]:
    """Improve agents and write them as a population folder.

    Its columns `lineage`, `step` and `seed` are those of the original agents: held-out lineages
    stay held out, and no environment step was added. The other columns are the improved agents'
    own. `improved.json` beside it has each original agent's number, in the same order, and its mean
    return.

    Args:
        embedding: embedding of all groups.
        population: population of the agents.
        out: folder of the new population.
        agents: numbers of the agents; None: at most `each` held-out agents of each group.
        each: maximum number of agents of each group.
        radius: maximum distance of the search, see `latent_search`.
        episodes: evaluation episodes.
        seed: random seed.
        on_progress: called after each part.

    Returns:
        The result of `summarize_by_group`, which is also in `improved.json`.

    Raises:
        EmbrlError: as `improve_and_evaluate`, or `out` is not empty.
    """
    _check(embedding, radius, episodes)
    out, table = Path(out), population.table()
    groups = Groups.default(population.environment, table["return_mean"])
    if agents is None:
        if each < 1:
            raise EmbrlError(f"each must be 1 or more, got {each}")
        agents = sample_held_out(embedding, population, groups, each, seed)
    if not len(agents):
        raise EmbrlError("agents must not be empty; name some, or leave them out to draw some")
    population.rows(agents)  # checks the numbers before anything is written
    with locked(out):
        check_free(out)
        found = improve_and_evaluate(
            embedding,
            population,
            agents,
            radius=radius,
            episodes=episodes,
            seed=seed,
            on_progress=on_progress,
        )
        told = summarize_by_group(found, population, groups)
        mine = {name: table[name][found.agents] for name in ("lineage", "step", "seed")}
        returns = np.asarray(found.played.returns, np.float64)
        lengths = np.asarray(found.played.lengths, np.float64)
        mine |= {"return_mean": returns.mean(1), "return_std": returns.std(1)}
        create(out, population.architecture, population.environment, population.env, episodes)
        append(out, found.w, {**mine, "survival_mean": lengths.mean(1)})
        record = {
            "embedding": {"kind": embedding.kind, "k": embedding.k},
            "radius": radius,
            "episodes": episodes,
            "seed": seed,
            "agents": found.agents.tolist(),
            "before": found.before.tolist(),
            "decoded": found.decoded.tolist(),
            "groups": told,
        }
        files.write_json(out / RECORD, record)
    return told


def _check(embedding: AgentEmbedding, radius: float, episodes: int) -> None:
    if not supports_search(embedding):
        raise EmbrlError(
            f"group of the embedding must be all, got {embedding.config.group!r}; a critic needs "
            "agents of every skill: fit an embedding with --group all"
        )
    if not (radius > 0 and np.isfinite(radius)):
        raise EmbrlError(f"radius must be above 0, got {radius}")
    if episodes < 1:
        raise EmbrlError(f"episodes must be 1 or more, got {episodes}")
