"""The pictures of an evidence folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.embeddings.fit import in_group
from embrl.agents.population import Population
from embrl.experiments.agents.page import scope_words, space_words
from embrl.experiments.agents.survivals import COLUMNS
from embrl.report.agents_map import plot_map
from embrl.report.agents_novelty import plot_novelty
from embrl.report.agents_patterns import plot_patterns
from embrl.report.agents_survival import plot_survival

MAPPED = 10_000
"""Agents on a map at most."""


def draw(
    out: Path,
    population: Population,
    embeddings: Mapping[str, AgentEmbedding],
    scopes: Mapping[str, list[str]],
    survivals: Mapping[str, dict[str, Any]],
    summary: dict[str, Any],
) -> list[dict[str, str]]:
    """Writes them. **Returns** the name of each and what it shows, in the order to be shown in."""
    value, found = summary["value"], []

    def add(file: str, text: str) -> Path:
        found.append({"file": file, "text": text})
        return out / file

    for title, rows in _families(embeddings, survivals).items():
        named = title.replace(" ", "-").replace("(", "").replace(")", "").lower()
        path = add(f"survival-{named}.png", f"{title}: what agents are worth, by group.")
        plot_survival(path, f"{title}: agents by group", rows, value)
    for name, embedding in embeddings.items():
        if embedding.config.group != "all":
            continue
        z, worth = _mapped(population, embedding)
        path = add(f"map-{name}.png", f"{name}: the population in its latent space.")
        plot_map(path, f"{name}: z of k = {embedding.k} numbers", z, worth, value)
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
    """Those in which trivial generators have the same training agents share a picture."""
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
    """Rows of groups; embeddings of one kind that each are for a group share a picture."""
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
