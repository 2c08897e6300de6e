"""Figures of an evidence folder, and the scores for its histograms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.embeddings.fit import in_group, select_agents
from embrl.agents.embeddings.prior import fit_prior
from embrl.agents.episodes import survival
from embrl.agents.evidence.page import scope_words, space_words
from embrl.agents.figures import plot_map, plot_novelty, plot_patterns, plot_survival
from embrl.agents.groups import Groups
from embrl.agents.population import Population

COLUMNS = {
    "training": "training agents",
    "reconstructed": "held-out agents, reconstructed",
    "generated": "generated agents",
}
"""Kinds of agents in the histograms, and their names."""


def survivals(
    embedding: AgentEmbedding,
    population: Population,
    groups: Groups,
    agents: int,
    episodes: int,
    seed: int,
) -> dict[str, Any]:
    """Return single agents' scores for each group, at most `agents` of each of `COLUMNS`.

    New agents of a group are drawn from a prior fitted to its training agents.
    """
    playing, drawing = jax.random.split(jax.random.key(seed))
    env, architecture = population.env.build(), population.architecture
    returns = population.table()["return_mean"]
    rows, group = select_agents(population, embedding.config, groups), groups.of(returns)
    draw, found = np.random.default_rng(seed), {}

    def score(w: np.ndarray) -> list[float]:
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
            entry["reconstructed"] = score(again)
        prior = fit_prior(embedding.encode(population.rows(train)), seed)
        z = np.asarray(prior.sample(jax.random.fold_in(drawing, number), agents))
        entry["generated"] = score(embedding.decode(z))
        found[name] = entry
    return found


MAPPED = 10_000
"""Maximum number of agents on a map."""


def draw(
    out: Path,
    population: Population,
    embeddings: Mapping[str, AgentEmbedding],
    scopes: Mapping[str, list[str]],
    survivals: Mapping[str, dict[str, Any]],
    summary: dict[str, Any],
) -> list[dict[str, str]]:
    """Write all figures.

    Returns:
        File name and caption of each, in the order of the page.
    """
    value, found = summary["value"], []

    def add(file: str, text: str) -> Path:
        found.append({"file": file, "text": text})
        return out / file

    for title, rows in _families(embeddings, survivals).items():
        named = title.replace(" ", "-").replace("(", "").replace(")", "").lower()
        path = add(f"survival-{named}.png", f"{title}: scores of agents, by group.")
        plot_survival(path, f"{title}: agents by group", rows, value)
    for name, embedding in embeddings.items():
        if embedding.config.group != "all":
            continue
        z, score = _mapped(population, embedding)
        path = add(f"map-{name}.png", f"{name}: the population in its latent space.")
        plot_map(path, f"{name}: z of k = {embedding.k} numbers", z, score, value)
    for matched, planes in _planes(embeddings, summary["novelty"]).items():
        words = f"{scope_words(planes[0][1]['matched'])}, and new ones"
        path = add(
            f"novelty-{matched}.png",
            f"{words}: survival against novelty. Numbers at the ends of lines are sizes "
            "of noise (in deviations of each weight) and spreads of the prior.",
        )
        plot_novelty(path, words, planes, value)
    for scope in scopes:
        counts = summary["walks"][scope]["spaces"]
        path = add(f"patterns-{scope}.png", f"{scope_words(scope)}: patterns of walks between two.")
        plot_patterns(
            path,
            f"{scope_words(scope)}: walks between two (number of pairs in brackets)",
            [(_two_lines(space), told["patterns"]) for space, told in counts.items()],
        )
    return found


def _two_lines(space: str) -> str:
    return space_words(space).replace(", ", ",\n").replace(" of ", " of\n")


def _planes(
    embeddings: Mapping[str, AgentEmbedding], novelty: Mapping[str, Any]
) -> dict[str, list[tuple[str, Any]]]:
    """Group novelty reports that share training agents, one figure each."""
    found: dict[str, list[tuple[str, Any]]] = {}
    of: dict[str, Any] = {}
    for name, told in novelty.items():
        config = embeddings[name].config
        key = told["matched"].replace(" ", "-")
        if of.setdefault(key, (config.held_out, config.seed)) != (config.held_out, config.seed):
            key += f"-seed-{config.seed}-{config.held_out:g}"
        found.setdefault(key, []).append((name, told))
    return found


def _families(
    embeddings: Mapping[str, AgentEmbedding], survivals: Mapping[str, dict[str, Any]]
) -> dict[str, list]:
    """Group embeddings into figures: those of one kind, each for a group, share one."""
    found: dict[str, list] = {}
    for name, embedding in embeddings.items():
        family = name
        if embedding.config.group != "all":
            family = f"{embedding.kind} (k = {embedding.k}) of each group".replace("= ", "")
        for group, kinds in survivals[name].items():
            row = (group, {COLUMNS[kind]: np.asarray(v) for kind, v in kinds.items()})
            found.setdefault(family, []).append(row)
    return found


def _mapped(population: Population, embedding: AgentEmbedding) -> tuple[np.ndarray, np.ndarray]:
    returns = population.table()["return_mean"]
    rows = np.flatnonzero(in_group(population.environment, returns, embedding.config.group))
    if len(rows) > MAPPED:
        rows = np.sort(np.random.default_rng(0).choice(rows, MAPPED, replace=False))
    return embedding.encode(population.rows(rows)), returns[rows]
