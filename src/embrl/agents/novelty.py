"""Novelty of generated agents, and the two trivial generators they are compared with.

Zeng et al. (2025, arXiv 2506.07998): generators of weights mostly reproduce training checkpoints or
mixtures of them, and few beat adding noise to training weights when quality is weighed against
novelty.
"""

import dataclasses
import itertools
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from embrl.agents.architecture import Architecture
from embrl.agents.canonical import canonical
from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.embeddings.evaluate import EPISODES, as_json
from embrl.agents.embeddings.fit import select_agents
from embrl.agents.embeddings.prior import fit_prior
from embrl.agents.episodes import survival, visited_states
from embrl.agents.groups import score_scale
from embrl.agents.latent_search import expected_score, fit_critic, guided_samples
from embrl.agents.population import Population
from embrl.core.errors import EmbrlError
from embrl.core.statistics import bootstrap_ratio
from embrl.storage import files

NOISES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
"""Sizes of the noise, in standard deviations of each weight over the training agents."""

CHUNK_AGENTS = 1024
"""Agents whose distances to all training agents are in memory at once."""


class AgentNovelty(NamedTuple):
    """Distance of each agent to the nearest training agent."""

    weights: Float[np.ndarray, " N"]
    """Euclidean distance in canonical order.

    In units of the training agents' root mean square length.
    """
    decisions: Float[np.ndarray, " N"]
    """Smallest fraction of probe states in which they decide differently."""


def novelty(
    architecture: Architecture,
    w: Float[np.ndarray, "N size"],
    training: Float[np.ndarray, "M size"],
    probes: Float[np.ndarray, "P inputs"],
) -> AgentNovelty:
    """Measure how far each agent is from all training agents.

    Args:
        architecture: architecture of all agents.
        w: agents in canonical order, as is `training`.
        training: training agents.
        probes: states in which decisions are compared.
    """
    w, training = np.asarray(w, np.float32), np.asarray(training, np.float32)
    unit = float(np.sqrt((training.astype(np.float64) ** 2).sum(1).mean()))
    mine, theirs = (
        _one_hot(decisions(architecture, a, probes), architecture) for a in (w, training)
    )
    lengths = (training.astype(np.float64) ** 2).sum(1)
    far, apart = [], []
    for start in range(0, len(w), CHUNK_AGENTS):
        rows = slice(start, start + CHUNK_AGENTS)
        squares = lengths - 2 * (w[rows] @ training.T).astype(np.float64)
        nearest = squares.argmin(1)
        # Recomputed from the difference: small distances drown in the products' rounding.
        far.append(np.linalg.norm(w[rows] - training[nearest], axis=1) / unit)
        apart.append(1.0 - (mine[rows] @ theirs.T).max(1) / len(probes))
    return AgentNovelty(np.concatenate(far), np.concatenate(apart))


def decisions(
    architecture: Architecture,
    w: Float[np.ndarray, "N size"],
    probes: Float[np.ndarray, "P inputs"],
) -> Int[np.ndarray, "N P"]:
    """Return the action of each agent in each probe state."""
    chosen = jax.lax.map(
        lambda one: architecture.logits(one, jnp.asarray(probes)).argmax(-1),
        jnp.asarray(w),
        batch_size=64,
    )
    return np.asarray(chosen)


def add_noise(
    w: Float[np.ndarray, "M size"], n: int, size: float, seed: int = 0
) -> Float[np.ndarray, "n size"]:
    """Draw training agents and add Gaussian noise to each weight.

    Args:
        w: training agents.
        n: number of agents to draw.
        size: standard deviation of the noise, in each weight's standard deviations over the
            training agents.
        seed: random seed.
    """
    draw = np.random.default_rng(seed)
    chosen = w[draw.integers(len(w), size=n)]
    noise = size * w.std(0) * draw.standard_normal((n, w.shape[1]))
    return (chosen + noise).astype(np.float32)


def average_pairs(
    w: Float[np.ndarray, "M size"], n: int, seed: int = 0
) -> Float[np.ndarray, "n size"]:
    """Return averages of two different training agents each, drawn at random."""
    draw = np.random.default_rng(seed)
    one = draw.integers(len(w), size=n)
    other = (one + draw.integers(1, len(w), size=n)) % len(w)
    return ((w[one] + w[other]) / 2).astype(np.float32)


def frontier_margin(
    novelty: float, quality: float, others: list[tuple[float, float]], floor: float = 0.0
) -> float:
    """Return how far a generator lies above the frontier of a trivial one.

    `quality` less the best quality among the points and the lines between neighbours of `others`
    that are at least as novel, or `floor` where `others` reaches no such novelty.

    Args:
        novelty: novelty of the generator.
        quality: quality of the generator.
        others: (novelty, quality) of the trivial generator at several settings.
        floor: lowest quality.
    """
    points = sorted(others)
    reached = [value for at, value in points if at >= novelty]
    for (left, low), (right, high) in itertools.pairwise(points):
        if left <= novelty <= right and right > left:
            reached.append(low + (high - low) * (novelty - left) / (right - left))
    return quality - max(reached, default=floor)


def _one_hot(
    chosen: Int[np.ndarray, "N P"], architecture: Architecture
) -> Float[np.ndarray, "N P_A"]:
    return np.eye(architecture.outputs, dtype=np.float32)[chosen].reshape(len(chosen), -1)


NOVELTY_FILE = "novelty.json"
"""File with the comparison, in the embedding's folder."""
SPREADS = (0.5, 1.0, 1.5, 2.0)
"""Spreads of the prior that are measured."""
PROBES = 512
"""Visited states in which decisions are compared.

Differences below half a percent are not resolved.
"""
VISITORS = 256
"""Training agents that provide these states."""


def evaluate_novelty(
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
    """Compare an embedding's new agents with trivial generators and write `novelty.json`.

    The file has a point for each generator and setting. Generators: `embedding` (the prior of the
    group, at each spread), `guided` (those draws of which a critic, fitted to the embedding's
    training agents, expects as much as of half the group), `noise` (training agents with noise of
    each size), `average` (of pairs of training agents in canonical order); and, for comparison,
    `held_out`, agents that training never saw, and `reconstruction` of these. A point has its mean
    return (called survival, which it is in Cart-Pole) and its mean novelty in weights and in
    decisions; points of the first two also their margin `above` each trivial generator in both
    novelties.

    Args:
        embedding: embedding to measure.
        population: population it was fitted to.
        out: folder of the embedding.
        agents: number of agents of each generator.
        episodes: evaluation episodes.
        spreads: spreads of the prior.
        group: group of the agents to be matched, if the embedding is of all.
        seed: random seed.

    Returns:
        The written report.
    """
    playing, drawing, visiting, critic_key = jax.random.split(jax.random.key(seed), 4)
    env, architecture = embedding.env.build(), embedding.architecture
    everyone = select_agents(population, embedding.config)
    rows = everyone
    if embedding.config.group == "all":
        rows = select_agents(population, dataclasses.replace(embedding.config, group=group))
    training = canonical(architecture, population.rows(rows.train))
    draw = np.random.default_rng(seed)
    some = training[draw.permutation(len(training))[:VISITORS]]
    states = np.asarray(visited_states(env, architecture, jnp.asarray(some), visiting))
    probes = draw.permutation(states.reshape(-1, states.shape[-1]))[:PROBES]

    def point(generator: str, setting: float | None, w: Float[np.ndarray, "N size"]) -> dict:
        """Measure the agents of one generator."""
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
    trivial = [point("noise", size, add_noise(training, agents, size, seed)) for size in NOISES]
    if len(training) > 1:
        trivial.append(point("average", None, average_pairs(training, agents, seed)))
    table, floor = population.table()["return_mean"], score_scale(population).floor
    z = embedding.encode(population.rows(everyone.train))
    critic = fit_critic(z, table[everyone.train], critic_key)
    z = z[np.isin(everyone.train, rows.train)]
    prior, least = fit_prior(z, embedding.config.seed), float(np.median(expected_score(critic, z)))
    mine = []
    for generator, spread in itertools.product(("embedding", "guided"), spreads):
        z = np.asarray(prior.sample(drawing, agents, spread))
        if generator == "guided":
            try:
                z = guided_samples(prior, critic, drawing, agents, least=least, spread=spread)
            except EmbrlError:
                continue  # the critic accepts hardly any at this spread
        mine.append(point(generator, spread, embedding.decode(z)))
        mine[-1]["above"] = {
            f"{other}, {axis}": frontier_margin(
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
    files.write_json(Path(out) / NOVELTY_FILE, report)
    return report
