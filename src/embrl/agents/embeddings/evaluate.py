"""What an embedding of agents is worth: what agents keep, and how good new ones are."""

import functools
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.agents.architecture import Architecture
from embrl.agents.decisions import agreement
from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.embeddings.fit import ROWS, chosen
from embrl.agents.embeddings.prior import fit_prior
from embrl.agents.groups import Groups
from embrl.agents.population import Population
from embrl.agents.survival import survival
from embrl.agents.visits import visited
from embrl.agents.worth import worth_of
from embrl.core.statistics import Interval, bootstrap_ratio
from embrl.core.types import Key
from embrl.storage import files

SUMMARY = "summary.json"
FORMAT = 1

MOST = 1_000
"""Agents of a set that are measured; where there are more, that many drawn at random."""

EPISODES = 100


def evaluate(
    embedding: AgentEmbedding,
    population: Population,
    out: str | os.PathLike[str],
    *,
    groups: Groups | None = None,
    episodes: int = EPISODES,
    most: int = MOST,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures an embedding on the population it was fitted to and writes `summary.json` into its
    folder.

    For every group of agents that the embedding is for: mean return (in Cart-Pole, survival in
    steps) of original and reconstructed agents, of training lineages and held-out ones, over the
    same episodes; the share of it that is kept, measured from `Worth.floor`; the share of the
    original's decisions, in states it visits, that its reconstruction takes too; and the return of
    new agents, drawn from a prior that is fitted to the group's training agents. Intervals resample
    lineages (new agents: agents).

    **Returns** what is written.
    """
    key = jax.random.key(seed)
    playing, visiting, drawing = jax.random.split(key, 3)
    returns = population.table()["return_mean"]
    lineage = population.table()["lineage"]
    groups = groups or Groups.default(population.environment, returns)
    agents = chosen(population, embedding.config, groups)
    worth = worth_of(population)
    report: dict[str, Any] = {
        "format": FORMAT,
        "kind": embedding.kind,
        "group": embedding.config.group,
        "k": embedding.k,
        "architecture": str(embedding.architecture),
        "training_agents": len(agents.train),
        "held_out_agents": len(agents.held_out),
        "episodes": episodes,
        "value": worth.name,
        "floor": worth.floor,
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
    # All at once: what is compiled depends on how many there are.
    tried = reconstructed(
        embedding, population.rows(np.concatenate([*some.values()])), playing, visiting, episodes
    )
    parts = np.split(np.stack(tried), np.cumsum([len(row) for row in some.values()])[:-1], axis=1)
    for ((number, side), row), part in zip(some.items(), parts, strict=True):
        entry = report["groups"].setdefault(groups.names[number], {})
        entry[side] = {
            "agents": len(sides[number, side]),
            **_kept(Tried(*part), lineage[row], worth.floor),
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
    returns = returned(embedding, embedding.decode(new), playing, episodes)
    for number, found in zip(grouped, returns.reshape(-1, most), strict=True):
        entry = report["groups"][groups.names[number]]
        interval = as_json(bootstrap_ratio(found, np.ones(most), np.arange(most)))
        trained = entry["training"]["original"]["mean"] - worth.floor
        share = (float(found.mean()) - worth.floor) / trained if trained else float("nan")
        share = share if np.isfinite(share) else None
        entry["generated"] = {"agents": most, "survival": interval, "of_training": share}
    files.write_json(Path(out) / SUMMARY, report)
    return report


class Tried(NamedTuple):
    """Agents and their reconstructions."""

    before: Float[np.ndarray, " N"]
    after: Float[np.ndarray, " N"]
    """Mean return of both."""
    agreement: Float[np.ndarray, " N"]
    """Share of decisions that are the same, in states that the original visits."""


def reconstructed(
    embedding: AgentEmbedding,
    w: Float[np.ndarray, "N size"],
    playing: Key,
    visiting: Key,
    episodes: int = EPISODES,
) -> Tried:
    """Encodes agents, decodes them, and lets both act."""
    architecture = embedding.architecture
    again = embedding.decode(embedding.encode(w))
    agreed = []
    for start in range(0, len(w), ROWS):
        one, other = (jnp.asarray(x[start : start + ROWS]) for x in (w, again))
        key = jax.random.fold_in(visiting, start)
        states = visited(embedding.env.build(), architecture, one, key)
        agreed.append(_agreement(architecture, one, other, states))
    return Tried(
        returned(embedding, w, playing, episodes),
        returned(embedding, again, playing, episodes),
        np.concatenate(agreed),
    )


def returned(
    embedding: AgentEmbedding, w: Float[np.ndarray, "N size"], playing: Key, episodes: int
) -> Float[np.ndarray, " N"]:
    """Mean return of each agent."""
    found = survival(embedding.env.build(), embedding.architecture, w, playing, episodes)
    return np.asarray(found.returns).mean(1)


@functools.partial(jax.jit, static_argnums=0)
def _agreement(architecture: Architecture, w: Array, other: Array, states: Array) -> Array:
    return agreement(architecture.logits(w, states), architecture.logits(other, states))


def _kept(tried: Tried, lineage: Int[np.ndarray, " N"], floor: float) -> dict[str, Any]:
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
    """JSON knows no nan: what is not known is null."""
    values = {name: float(value) for name, value in interval._asdict().items()}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def _bytes(embedding: AgentEmbedding) -> dict[str, Any]:
    """Of an agent's weights and of its embedding; of the decoder, which all agents share."""
    leaves = jax.tree.leaves((embedding.model.decoder, embedding.model.weights))
    weights = 4 * embedding.architecture.size
    return {
        "weights": weights,
        "embedding": 4 * embedding.k,
        "compression": weights / (4 * embedding.k),
        "decoder": int(sum(np.asarray(leaf).nbytes for leaf in leaves)),
    }
