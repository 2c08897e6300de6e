"""Agents of a population, improved: encoded, taken uphill, decoded; evaluated before and after.

What an agent is worth is its mean return; in Cart-Pole that is its survival in steps.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from embrl.agents.ascend import RADIUS, Critic, fit_critic, improve
from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.embeddings.evaluate import as_json
from embrl.agents.embeddings.fit import chosen
from embrl.agents.groups import Groups
from embrl.agents.population import Population, append, create
from embrl.agents.survival import survival
from embrl.core.errors import EmbrlError
from embrl.core.statistics import bootstrap_ratio
from embrl.core.types import Key
from embrl.storage import files
from embrl.training.evaluation import Episodes

RECORD = "improved.json"
"""Beside `population.json`: which agents these were, and what came of them."""

EACH, EPISODES = 100, 100
"""Agents of each group where none are named, and episodes, when nothing else is said."""

AT_ONCE = 1_024
"""Agents between two reports of progress."""


class Improved(NamedTuple):
    """Agents before and after; all were evaluated on the same episodes."""

    agents: Int[np.ndarray, " N"]
    """Their numbers in the population."""
    before: Float[np.ndarray, " N"]
    """Mean return of the agent as it was."""
    decoded: Float[np.ndarray, " N"]
    """Of its reconstruction: what the way through the embedding alone does."""
    after: Float[np.ndarray, " N"]
    """Of the improved agent."""
    expected: Float[np.ndarray, " N"]
    """What the critic makes of that: usually too much."""
    w: Float[np.ndarray, "N size"]
    """Improved."""
    played: Episodes
    """The improved agents', `[N, episodes]` each."""


def improvable(embedding: AgentEmbedding) -> bool:
    """Whether a critic of its agents can know what makes a bad one: they are of all groups."""
    return embedding.config.group == "all"


def held_out_of_each(
    embedding: AgentEmbedding, population: Population, groups: Groups, most: int, seed: int
) -> Int[np.ndarray, " N"]:
    """At most `most` agents of each group, of lineages that the embedding never saw."""
    rows = chosen(population, embedding.config, groups).held_out
    draw = np.random.default_rng(seed)
    mixed = draw.permutation(rows)
    group = groups.of(population.table()["return_mean"])[mixed]
    return np.sort(np.concatenate([mixed[group == at][:most] for at in range(groups.count)]))


def critic_of(embedding: AgentEmbedding, population: Population, key: Key) -> Critic:
    """Fitted to the agents that the embedding learned from, and their mean returns."""
    train = chosen(population, embedding.config).train
    returns = population.table()["return_mean"][train]
    return fit_critic(embedding.encode(population.rows(train)), returns, key)


def improved(
    embedding: AgentEmbedding,
    population: Population,
    agents: Int[np.ndarray, " N"],
    *,
    radius: float = RADIUS,
    episodes: int = EPISODES,
    seed: int = 0,
    watch: Callable[[int, int], None] = lambda *_: None,
) -> Improved:
    """Takes agents uphill, and evaluates them, their reconstructions and what they became.

    Arguments:
        agents: their numbers.
        radius: how far they may go, see `ascend`.
        watch: is told agents played, and of how many.

    Raises:
        EmbrlError: the embedding is of one group, an agent is not there, or a setting is out of
            range.
    """
    _check(embedding, radius, episodes)
    agents = np.asarray(agents, np.int64)
    w = population.rows(agents)
    judging, playing = jax.random.split(jax.random.key(seed))
    found = improve(embedding, critic_of(embedding, population, judging), w, radius=radius)
    sides = (w, embedding.decode(found.path[0]), found.w)
    everyone, played = np.concatenate(sides), []
    env = embedding.env.build()
    for start in range(0, len(everyone), AT_ONCE):
        part = everyone[start : start + AT_ONCE]
        played.append(survival(env, embedding.architecture, part, playing, episodes))
        watch(min(start + AT_ONCE, len(everyone)), len(everyone))
    returns, lengths = (np.concatenate(parts) for parts in zip(*played, strict=True))
    before, decoded, after = returns.mean(1, dtype=np.float64).reshape(3, -1)
    last = Episodes(returns[2 * len(w) :], lengths[2 * len(w) :])  # type: ignore[arg-type]
    return Improved(agents, before, decoded, after, found.expected[-1], found.w, last)


def by_group(found: Improved, population: Population, groups: Groups) -> dict[str, dict[str, Any]]:
    """For each group of the agents as they were: mean returns before, after encode and decode
    alone, and after the ascent; the gain; the shares that got better and worse. All with 95 %
    intervals over lineages.
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
    watch: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """Improves agents and writes them as a population folder.

    Its columns `lineage`, `step` and `seed` are those of the agents as they were: what was held
    out stays held out, and no sample was added. The others are the improved agents' own.
    `improved.json` beside it has the number that each agent had, in the same order, and its mean
    return before.

    Arguments:
        agents: their numbers; None: at most `each` held-out agents of each group.

    **Returns** `by_group`, also a part of `improved.json`.

    Raises:
        EmbrlError: as `improved`, or `out` is not empty.
    """
    _check(embedding, radius, episodes)
    out, table = Path(out), population.table()
    groups = Groups.default(population.environment, table["return_mean"])
    if agents is None:
        if each < 1:
            raise EmbrlError(f"each is {each}: choose 1 or more")
        agents = held_out_of_each(embedding, population, groups, each, seed)
    if not len(agents):
        raise EmbrlError("no agents to improve: name some, or none at all for a sample")
    population.rows(agents)  # all are there, before anything is written
    create(out, population.architecture, population.environment, population.env, episodes)
    found = improved(
        embedding, population, agents, radius=radius, episodes=episodes, seed=seed, on_progress=watch
    )
    told = by_group(found, population, groups)
    mine = {name: table[name][found.agents] for name in ("lineage", "step", "seed")}
    returns, lengths = (np.asarray(values, np.float64) for values in found.played)
    mine |= {"return_mean": returns.mean(1), "return_std": returns.std(1)}
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
    if not improvable(embedding):
        raise EmbrlError(
            f"the embedding is of group {embedding.config.group!r}: to know the way up, a critic "
            "needs agents of every skill; fit an embedding with --group all"
        )
    if not (radius > 0 and np.isfinite(radius)):
        raise EmbrlError(f"radius is {radius}: choose a number above 0")
    if episodes < 1:
        raise EmbrlError(f"episodes is {episodes}: choose 1 or more")
