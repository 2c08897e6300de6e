"""Survival against novelty: an embedding's new agents beside those of two trivial generators."""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from embrl.agents.canonical import canonical
from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.embeddings.evaluate import EPISODES, as_json
from embrl.agents.embeddings.fit import chosen
from embrl.agents.novelty import NOISES, above, averaged, noisy, novelty
from embrl.agents.population import Population
from embrl.agents.survival import survival
from embrl.agents.visits import visited
from embrl.statistics import bootstrap_ratio
from embrl.training import files

PLANE = "novelty.json"
SPREADS = (0.5, 1.0, 1.5, 2.0)
PROBES = 512
"""Visited states in which decisions are compared: fewer than half a percent of them cannot be told
apart."""
VISITORS = 256
"""Training agents whose visited states these are."""


def plane(
    embedding: AgentEmbedding,
    population: Population,
    out: str | os.PathLike[str],
    *,
    agents: int = 500,
    episodes: int = EPISODES,
    spreads: tuple[float, ...] = SPREADS,
    seed: int = 0,
) -> dict[str, Any]:
    """Writes `novelty.json` into the embedding's folder: a point for each generator and setting.

    Generators: `embedding` (its prior, at each spread), `noise` (training agents with noise of each
    size), `average` (of pairs of training agents in canonical order); and, to compare with,
    `held_out`, agents that training never saw, and `reconstruction` of these. A point has mean
    survival, the mean novelty in weights and in decisions (`agents/novelty.py`); points of the
    embedding also how far they stand `above` each trivial generator on both planes, in steps.

    **Returns** what is written.
    """
    playing, drawing, visiting = jax.random.split(jax.random.key(seed), 3)
    env, architecture = embedding.env.build(), embedding.architecture
    rows = chosen(population, embedding.config)
    training = canonical(architecture, population.rows(rows.train))
    draw = np.random.default_rng(seed)
    some = training[draw.permutation(len(training))[:VISITORS]]
    states = np.asarray(visited(env, architecture, jnp.asarray(some), visiting))
    probes = draw.permutation(states.reshape(-1, states.shape[-1]))[:PROBES]

    def point(generator: str, setting: float | None, w: Float[np.ndarray, "N size"]) -> dict:
        w = canonical(architecture, np.asarray(w, np.float32))
        lengths = np.asarray(survival(env, architecture, w, playing, episodes).lengths).mean(1)
        new = novelty(architecture, w, training, probes)
        return {
            "generator": generator,
            "setting": setting,
            "survival": as_json(bootstrap_ratio(lengths, np.ones(len(w)), np.arange(len(w)))),
            "weights": float(new.weights.mean()),
            "decisions": float(new.decisions.mean()),
        }

    held_out = population.rows(np.sort(draw.permutation(rows.held_out)[:agents]))
    again = embedding.decode(embedding.encode(held_out))
    trivial = [point("noise", size, noisy(training, agents, size, seed)) for size in NOISES]
    trivial.append(point("average", None, averaged(training, agents, seed)))
    mine = []
    for spread in spreads:
        w = embedding.decode(embedding.sample(drawing, agents, spread))
        mine.append(point("embedding", spread, w))
        mine[-1]["above"] = {
            f"{generator}, {axis}": above(
                mine[-1][axis],
                mine[-1]["survival"]["mean"],
                [(p[axis], p["survival"]["mean"]) for p in trivial if p["generator"] == generator],
            )
            for generator in ("noise", "average")
            for axis in ("weights", "decisions")
        }
    others = [point("held_out", None, held_out), point("reconstruction", None, again)]
    report = {"format": 1, "kind": embedding.kind, "group": embedding.config.group}
    report |= {"k": embedding.k, "agents": agents, "points": [*others, *trivial, *mine]}
    files.write_json(Path(out) / PLANE, report)
    return report
