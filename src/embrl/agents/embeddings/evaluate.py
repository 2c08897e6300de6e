"""What an embedding of agents is worth: what agents keep, and how good new ones are."""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from embrl.agents.decisions import agreement
from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.embeddings.fit import chosen, in_group
from embrl.agents.embeddings.prior import fit_prior
from embrl.agents.groups import Groups
from embrl.agents.population import Population
from embrl.agents.survival import survival
from embrl.agents.visits import visited
from embrl.statistics import Interval, bootstrap_ratio
from embrl.training import files
from embrl.types import Key

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

    For every group of agents that the embedding is for: mean survival, in steps, of original and
    reconstructed agents, of training lineages and held-out ones, over the same episodes; the share
    of survival kept; the share of the original's decisions, in states it visits, that its
    reconstruction takes too; and the survival of new agents, drawn from a prior that is fitted to
    the group's training agents. Intervals resample lineages (new agents: agents).

    **Returns** what is written.
    """
    key = jax.random.key(seed)
    playing, visiting, drawing = jax.random.split(key, 3)
    returns = population.table()["return_mean"]
    lineage = population.table()["lineage"]
    groups = groups or Groups.default(population.environment, returns)
    agents = chosen(population, embedding.config, groups)
    report: dict[str, Any] = {
        "format": FORMAT,
        "kind": embedding.kind,
        "group": embedding.config.group,
        "k": embedding.k,
        "architecture": str(embedding.architecture),
        "training_agents": len(agents.train),
        "held_out_agents": len(agents.held_out),
        "episodes": episodes,
        "bytes": _bytes(embedding),
        "groups": {},
    }
    draw = np.random.default_rng(seed)
    for number, name in enumerate(groups.names):
        here = in_group(population.environment, returns, str(number), groups)
        rows = {"training": agents.train, "held_out": agents.held_out}
        rows = {side: row[here[row]] for side, row in rows.items()}
        entry: dict[str, Any] = {}
        for side, row in rows.items():
            if len(row):
                some = np.sort(draw.permutation(row)[:most])
                w, clusters = population.rows(some), lineage[some]
                entry[side] = kept(embedding, w, clusters, playing, visiting, episodes)
                entry[side]["agents"] = len(row)
        if len(rows["training"]) >= 2:
            z = embedding.encode(population.rows(rows["training"]))
            new = fit_prior(z, seed).sample(drawing, most)
            entry["generated"] = generated(embedding, np.asarray(new), playing, episodes)
            if "training" in entry:
                share = entry["generated"]["survival"]["mean"]
                share /= entry["training"]["original"]["mean"]
                entry["generated"]["of_training"] = share
        if entry:
            report["groups"][name] = entry
    files.write_json(Path(out) / SUMMARY, report)
    return report


def kept(
    embedding: AgentEmbedding,
    w: Float[np.ndarray, "N size"],
    lineage: Int[np.ndarray, " N"],
    playing: Key,
    visiting: Key,
    episodes: int = EPISODES,
) -> dict[str, Any]:
    """Survival before and after encode and decode, what is kept, and agreement of decisions."""
    env, architecture = embedding.env.build(), embedding.architecture
    again = embedding.decode(embedding.encode(w))
    before, after = (
        np.asarray(survival(env, architecture, x, playing, episodes).lengths).mean(1)
        for x in (w, again)
    )
    states = visited(env, architecture, jnp.asarray(w), visiting)
    agreed = agreement(
        architecture.logits(jnp.asarray(w), states), architecture.logits(jnp.asarray(again), states)
    )
    ones = np.ones(len(w))
    return {
        "measured": len(w),
        "lineages": len(np.unique(lineage)),
        "original": as_json(bootstrap_ratio(before, ones, lineage)),
        "reconstructed": as_json(bootstrap_ratio(after, ones, lineage)),
        "kept": as_json(bootstrap_ratio(after, before, lineage)),
        "agreement": as_json(bootstrap_ratio(np.asarray(agreed), ones, lineage)),
    }


def generated(
    embedding: AgentEmbedding, z: Float[np.ndarray, "N k"], playing: Key, episodes: int = EPISODES
) -> dict[str, Any]:
    """Survival of the agents that z are decoded to."""
    env, w = embedding.env.build(), embedding.decode(z)
    lengths = np.asarray(survival(env, embedding.architecture, w, playing, episodes).lengths)
    found = bootstrap_ratio(lengths.mean(1), np.ones(len(z)), np.arange(len(z)))
    return {"agents": len(z), "survival": as_json(found)}


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
