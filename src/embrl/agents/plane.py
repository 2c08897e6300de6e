"""Survival against novelty: an embedding's new agents beside those of two trivial generators."""

import dataclasses
import itertools
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from embrl.agents.ascend import fit_critic
from embrl.agents.canonical import canonical
from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.embeddings.evaluate import EPISODES, as_json
from embrl.agents.embeddings.fit import chosen
from embrl.agents.embeddings.prior import fit_prior
from embrl.agents.guided import expected, guided
from embrl.agents.novelty import NOISES, above, averaged, noisy, novelty
from embrl.agents.population import Population
from embrl.agents.survival import survival
from embrl.agents.visits import visited
from embrl.agents.worth import worth_of
from embrl.core.errors import EmbrlError
from embrl.core.statistics import bootstrap_ratio
from embrl.storage import files

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
    group: str = "best",
    seed: int = 0,
) -> dict[str, Any]:
    """Writes `novelty.json` into the embedding's folder: a point for each generator and setting.

    Generators: `embedding` (the prior of the group, at each spread), `guided` (of the same draws
    those of which a critic, fitted to the embedding's training agents, expects as much as of half
    the group), `noise` (training agents with noise of each size), `average` (of pairs of training
    agents in canonical order); and, to compare with, `held_out`, agents that training never saw,
    and `reconstruction` of these. A point has its mean return (called survival, which it is in
    Cart-Pole), the mean novelty in weights and in decisions (`agents/novelty.py`); points of the
    first two also how far they stand `above` each trivial generator on both planes.

    Arguments:
        group: of the agents that are to be matched, where the embedding is of all.

    **Returns** what is written.
    """
    playing, drawing, visiting, judging = jax.random.split(jax.random.key(seed), 4)
    env, architecture = embedding.env.build(), embedding.architecture
    everyone = chosen(population, embedding.config)
    rows = everyone
    if embedding.config.group == "all":
        rows = chosen(population, dataclasses.replace(embedding.config, group=group))
    training = canonical(architecture, population.rows(rows.train))
    draw = np.random.default_rng(seed)
    some = training[draw.permutation(len(training))[:VISITORS]]
    states = np.asarray(visited(env, architecture, jnp.asarray(some), visiting))
    probes = draw.permutation(states.reshape(-1, states.shape[-1]))[:PROBES]

    def point(generator: str, setting: float | None, w: Float[np.ndarray, "N size"]) -> dict:
        w = canonical(architecture, np.asarray(w, np.float32))
        returns = np.asarray(survival(env, architecture, w, playing, episodes).returns).mean(1)
        new = novelty(architecture, w, training, probes)
        return {
            "generator": generator,
            "setting": setting,
            "survival": as_json(bootstrap_ratio(returns, np.ones(len(w)), np.arange(len(w)))),
            "weights": float(new.weights.mean()),
            "decisions": float(new.decisions.mean()),
        }

    held_out = population.rows(np.sort(draw.permutation(rows.held_out)[:agents]))
    again = embedding.decode(embedding.encode(held_out))
    trivial = [point("noise", size, noisy(training, agents, size, seed)) for size in NOISES]
    trivial.append(point("average", None, averaged(training, agents, seed)))
    table, floor = population.table()["return_mean"], worth_of(population).floor
    z = embedding.encode(population.rows(everyone.train))
    critic = fit_critic(z, table[everyone.train], judging)
    z = z[np.isin(everyone.train, rows.train)]
    prior, least = fit_prior(z, embedding.config.seed), float(np.median(expected(critic, z)))
    mine = []
    for generator, spread in itertools.product(("embedding", "guided"), spreads):
        z = np.asarray(prior.sample(drawing, agents, spread))
        if generator == "guided":
            try:
                z = guided(prior, critic, drawing, agents, least=least, spread=spread)
            except EmbrlError:
                continue  # it likes hardly any at this spread: there is no such point
        mine.append(point(generator, spread, embedding.decode(z)))
        mine[-1]["above"] = {
            f"{other}, {axis}": above(
                mine[-1][axis],
                mine[-1]["survival"]["mean"],
                [(p[axis], p["survival"]["mean"]) for p in trivial if p["generator"] == other],
                floor,
            )
            for other in ("noise", "average")
            for axis in ("weights", "decisions")
        }
    others = [point("held_out", None, held_out), point("reconstruction", None, again)]
    report = {"format": 1, "kind": embedding.kind, "group": embedding.config.group}
    report |= {"matched": group if embedding.config.group == "all" else embedding.config.group}
    report |= {"least": least}
    report |= {"k": embedding.k, "agents": agents, "points": [*others, *trivial, *mine]}
    files.write_json(Path(out) / PLANE, report)
    return report
