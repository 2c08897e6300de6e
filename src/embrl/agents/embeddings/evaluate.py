"""Quality of an embedding: what reconstructed agents keep, and how good new ones are."""

import functools
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.agents.architecture import Architecture
from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.embeddings.fit import CHUNK_AGENTS, select_agents
from embrl.agents.embeddings.prior import fit_prior
from embrl.agents.episodes import survival, visited_states
from embrl.agents.groups import Groups, score_scale
from embrl.agents.population import Population
from embrl.agents.similarity import agreement
from embrl.core.statistics import Interval, bootstrap_ratio
from embrl.core.types import Key
from embrl.storage import files

SUMMARY = "summary.json"
FORMAT = 1

MAX_AGENTS = 1_000
"""Maximum number of measured agents of a set; of more, that many are drawn at random."""

EPISODES = 100
"""Default number of evaluation episodes."""


def evaluate(
    embedding: AgentEmbedding,
    population: Population,
    out: str | os.PathLike[str],
    *,
    groups: Groups | None = None,
    episodes: int = EPISODES,
    most: int = MAX_AGENTS,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure an embedding on its population and write `summary.json` into its folder.

    For every group of agents of the embedding: mean return (in Cart-Pole, survival in steps) of
    original and reconstructed agents, of training and held-out lineages, over the same episodes;
    the fraction of it that is kept, measured from `ScoreScale.floor`; the fraction of the
    original's decisions, in states it visits, that its reconstruction takes too; and the return of
    new agents, drawn from a prior fitted to the group's training agents. Intervals resample
    lineages (new agents: agents).

    Args:
        embedding: embedding to measure.
        population: population it was fitted to.
        out: folder of the embedding.
        groups: groups by mean return; None: Cart-Pole's, or the quartiles elsewhere.
        episodes: evaluation episodes.
        most: maximum number of measured agents of a set.
        seed: random seed.

    Returns:
        The written summary.
    """
    key = jax.random.key(seed)
    playing, visiting, drawing = jax.random.split(key, 3)
    returns = population.table()["return_mean"]
    lineage = population.table()["lineage"]
    groups = groups or Groups.default(population.environment, returns)
    agents = select_agents(population, embedding.config, groups)
    score = score_scale(population)
    report: dict[str, Any] = {
        "format": FORMAT,
        "kind": embedding.kind,
        "group": embedding.config.group,
        "k": embedding.k,
        "architecture": str(embedding.architecture),
        "training_agents": len(agents.train),
        "held_out_agents": len(agents.held_out),
        "episodes": episodes,
        "value": score.name,
        "floor": score.floor,
        "bytes": _bytes(embedding),
        "groups": {},
    }
    here = groups.of(returns)
    draw = np.random.default_rng(seed)
    sides = {
        (number, side): row[here[row] == number]
        for number in range(groups.count)
        for side, row in (("training", agents.train), ("held_out", agents.held_out))
    }
    some = {at: np.sort(draw.permutation(row)[:most]) for at, row in sides.items() if len(row)}
    # All at once, as a program is compiled for each number of agents.
    tried = evaluate_reconstructions(
        embedding, population.rows(np.concatenate([*some.values()])), playing, visiting, episodes
    )
    parts = np.split(np.stack(tried), np.cumsum([len(row) for row in some.values()])[:-1], axis=1)
    for ((number, side), row), part in zip(some.items(), parts, strict=True):
        entry = report["groups"].setdefault(groups.names[number], {})
        entry[side] = {
            "agents": len(sides[number, side]),
            **_kept(Reconstructions(*part), lineage[row], score.floor),
        }
    grouped = {
        number: embedding.encode(population.rows(row))
        for (number, side), row in sides.items()
        if side == "training" and len(row) > 1
    }
    new = np.zeros((0, embedding.k), np.float32)
    for number, z in grouped.items():
        drawn = fit_prior(z, seed).sample(jax.random.fold_in(drawing, number), most)
        new = np.concatenate([new, np.asarray(drawn)])
    returns = mean_returns(embedding, embedding.decode(new), playing, episodes)
    for number, found in zip(grouped, returns.reshape(-1, most), strict=True):
        entry = report["groups"][groups.names[number]]
        interval = as_json(bootstrap_ratio(found, np.ones(most), np.arange(most)))
        trained = entry["training"]["original"]["mean"] - score.floor
        share = (float(found.mean()) - score.floor) / trained if trained else float("nan")
        share = share if np.isfinite(share) else None
        entry["generated"] = {"agents": most, "survival": interval, "of_training": share}
    files.write_json(Path(out) / SUMMARY, report)
    return report


class Reconstructions(NamedTuple):
    """Agents and their reconstructions."""

    before: Float[np.ndarray, " N"]
    """Mean return of each original agent."""
    after: Float[np.ndarray, " N"]
    """Mean return of its reconstruction."""
    agreement: Float[np.ndarray, " N"]
    """Fraction of equal decisions, in states that the original visits."""


def evaluate_reconstructions(
    embedding: AgentEmbedding,
    w: Float[np.ndarray, "N size"],
    playing: Key,
    visiting: Key,
    episodes: int = EPISODES,
) -> Reconstructions:
    """Encode agents, decode them, and let both act."""
    architecture = embedding.architecture
    again = embedding.decode(embedding.encode(w))
    agreed = []
    for start in range(0, len(w), CHUNK_AGENTS):
        one, other = (jnp.asarray(x[start : start + CHUNK_AGENTS]) for x in (w, again))
        key = jax.random.fold_in(visiting, start)
        states = visited_states(embedding.env.build(), architecture, one, key)
        agreed.append(_agreement(architecture, one, other, states))
    return Reconstructions(
        mean_returns(embedding, w, playing, episodes),
        mean_returns(embedding, again, playing, episodes),
        np.concatenate(agreed),
    )


def mean_returns(
    embedding: AgentEmbedding, w: Float[np.ndarray, "N size"], playing: Key, episodes: int
) -> Float[np.ndarray, " N"]:
    """Return the mean return of each agent."""
    found = survival(embedding.env.build(), embedding.architecture, w, playing, episodes)
    return np.asarray(found.returns).mean(1)


@functools.partial(jax.jit, static_argnums=0)
def _agreement(architecture: Architecture, w: Array, other: Array, states: Array) -> Array:
    return agreement(architecture.logits(w, states), architecture.logits(other, states))


def _kept(tried: Reconstructions, lineage: Int[np.ndarray, " N"], floor: float) -> dict[str, Any]:
    ones = np.ones(len(lineage))
    return {
        "measured": len(lineage),
        "lineages": len(np.unique(lineage)),
        "original": as_json(bootstrap_ratio(tried.before, ones, lineage)),
        "reconstructed": as_json(bootstrap_ratio(tried.after, ones, lineage)),
        "kept": as_json(bootstrap_ratio(tried.after - floor, tried.before - floor, lineage)),
        "agreement": as_json(bootstrap_ratio(tried.agreement, ones, lineage)),
    }


def as_json(interval: Interval) -> dict[str, float | None]:
    """Return an interval as JSON values; NaN becomes null."""
    values = {name: float(value) for name, value in interval._asdict().items()}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def _bytes(embedding: AgentEmbedding) -> dict[str, Any]:
    """Return bytes of an agent's weights, of its embedding, and of the shared decoder."""
    leaves = jax.tree.leaves((embedding.model.decoder, embedding.model.weights))
    weights = 4 * embedding.architecture.size
    return {
        "weights": weights,
        "embedding": 4 * embedding.k,
        "compression": weights / (4 * embedding.k),
        "decoder": int(sum(np.asarray(leaf).nbytes for leaf in leaves)),
    }
