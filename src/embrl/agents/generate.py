"""New agents out of an embedding, as a population."""

import os
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.population import Population, append, create
from embrl.agents.survival import survival
from embrl.core.errors import EmbrlError

EPISODES = 100

LINEAGE = -1
"""Of generated agents: no training run made them."""

AT_ONCE = 1_024
"""Agents between two reports of progress."""


def generate(
    embedding: AgentEmbedding,
    n: int,
    out: str | os.PathLike[str],
    *,
    spread: float = 1.0,
    seed: int = 0,
    episodes: int = EPISODES,
    watch: Callable[[int, int], None] = lambda *_: None,
) -> Population:
    """Draws n embeddings from the prior, decodes them, evaluates the agents and makes a population
    of them: lineage -1, step 0, the seed given here.

    Arguments:
        spread: how far from the prior's mean, in multiples of what it says.
        watch: is told agents done and n.

    Raises:
        EmbrlError: n or spread is not positive, or `out` is not empty.
    """
    if n < 1:
        raise EmbrlError(f"n is {n}: choose 1 or more")
    if not (spread > 0 and np.isfinite(spread)):
        raise EmbrlError(f"spread is {spread}: choose a number above 0")
    out = Path(out)
    create(out, embedding.architecture, embedding.environment, embedding.env, episodes)
    drawing, playing = jax.random.split(jax.random.key(seed))
    w = embedding.decode(embedding.sample(drawing, n, spread))
    env, found = embedding.env.build(), []
    for start in range(0, n, AT_ONCE):
        found.append(
            survival(env, embedding.architecture, w[start : start + AT_ONCE], playing, episodes)
        )
        watch(min(start + AT_ONCE, n), n)
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
    append(out, w, table, architecture=embedding.architecture)
    return Population(out)
