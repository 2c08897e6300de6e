"""What agents are worth as trained, reconstructed and generated: every one, for histograms."""

from typing import Any

import jax
import numpy as np

from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.embeddings.fit import chosen
from embrl.agents.embeddings.prior import fit_prior
from embrl.agents.groups import Groups
from embrl.agents.population import Population
from embrl.agents.survival import survival

COLUMNS = {
    "training": "training agents",
    "reconstructed": "held-out agents, reconstructed",
    "generated": "generated agents",
}


def survivals(
    embedding: AgentEmbedding,
    population: Population,
    groups: Groups,
    agents: int,
    episodes: int,
    seed: int,
) -> dict[str, Any]:
    """For each group that the embedding is for, mean returns of at most `agents` agents of each of
    `COLUMNS`. New agents of a group are drawn from a prior fitted to its training agents.
    """
    playing, drawing = jax.random.split(jax.random.key(seed))
    env, architecture = population.env.build(), population.architecture
    returns = population.table()["return_mean"]
    rows, group = chosen(population, embedding.config, groups), groups.of(returns)
    draw, found = np.random.default_rng(seed), {}

    def worth(w: np.ndarray) -> list[float]:
        played = survival(env, architecture, w, playing, episodes).returns
        return np.round(played.mean(1, dtype=np.float64), 3).tolist()

    for number, name in enumerate(groups.names):
        train, held_out = (side[group[side] == number] for side in rows)
        if len(train) < 2:
            continue
        entry = {"training": returns[draw.permutation(train)[:agents]].tolist()}
        if len(held_out):
            some = np.sort(draw.permutation(held_out)[:agents])
            again = embedding.decode(embedding.encode(population.rows(some)))
            entry["reconstructed"] = worth(again)
        prior = fit_prior(embedding.encode(population.rows(train)), seed)
        z = np.asarray(prior.sample(jax.random.fold_in(drawing, number), agents))
        entry["generated"] = worth(embedding.decode(z))
        found[name] = entry
    return found
