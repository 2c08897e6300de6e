"""The page of a population: its agents on a map, and agents between them that live in the page."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from embrl.agents.canonical import canonical
from embrl.agents.embeddings.embedding import AgentEmbedding, check_fits
from embrl.agents.groups import Groups
from embrl.agents.population import Population
from embrl.core.errors import EmbrlError
from embrl.envs.cart_pole import CartPoleConfig
from embrl.explorer.page import Cloud, MapView, Page, spread
from embrl.explorer.projection import projected
from embrl.store.sources import ENCODED

COMPONENTS = 16
"""Dimensions of the principal components of weights, where there is no embedding."""
FITTED = 10_000
"""Agents of which they are computed, at most."""


def page_of_population(
    population: Population,
    embedding: AgentEmbedding | None = None,
    *,
    projection: str = "pca",
    most: int,
) -> Page:
    """Return the page of a population.

    Args:
        population: the agents.
        embedding: of such agents; None: principal components of their weights, in canonical form.
        projection: `pca` or `umap`.
        most: agents, at most.

    Raises:
        EmbrlError: the embedding is of other agents, or there are fewer than two.
    """
    if population.count < 2:
        raise EmbrlError(f"agents of {population.path} must be 2 or more, got {population.count}")
    chosen = spread(population.count, most)
    if embedding is None:
        vectors, decoder = _components(population, chosen)
        means = "principal components of their weights in canonical form"
    else:
        check_fits(embedding, population, "the embedding")
        vectors, decoder = _embedded(embedding, population, chosen), _decoder(embedding)
        means = f"an embedding of kind {embedding.kind}"
    table = population.table()
    groups = Groups.default(population.environment, table["return_mean"])
    columns = {
        **{name: values[chosen] for name, values in table.items()},
        "group": np.asarray(groups.names)[groups.of(table["return_mean"])][chosen],
    }
    found, linear = projected(vectors, "z", projection)
    centre, axes = (found.centre, found.axes) if linear else (None, None)
    notes = [f"{len(chosen):,} agents {population.architecture}; Z is {means}."]
    agents = _simulator(population, decoder)
    if agents is None:
        notes.append("Agents act in the page for cart_pole only.")
    return Page(
        title=f"Agents of {population.environment}",
        notes=tuple(notes),
        clouds={"agents": Cloud("agent", chosen, vectors, columns)},
        views=(MapView("Z", "Z: agents", "agents", found.points, found.names, centre, axes),),
        agents=agents,
    )


def _components(
    population: Population, chosen: np.ndarray
) -> tuple[Float[np.ndarray, "n k"], dict[str, Any]]:
    """Return agents by the principal components of their weights, and the way back."""
    architecture = population.architecture
    some = chosen[spread(len(chosen), FITTED)]
    weights = canonical(architecture, population.rows(some)).astype(np.float64)
    centre = weights.mean(0)
    _, sizes, axes = np.linalg.svd(weights - centre, full_matrices=False)
    axes, sizes = axes[:COMPONENTS], sizes[:COMPONENTS] / np.sqrt(len(some))
    axes = axes * np.maximum(sizes, 1e-12)[:, None]  # so that z has about unit variance
    inverse = np.linalg.pinv(axes)
    parts = [
        (canonical(architecture, population.rows(chosen[at : at + ENCODED])) - centre) @ inverse
        for at in range(0, len(chosen), ENCODED)
    ]
    layers = [{"weight": axes, "bias": np.zeros(len(centre))}]
    decoder = {"layers": layers, "mean": centre, "deviation": np.ones(len(centre))}
    return np.concatenate(parts).astype(np.float32), decoder


def _embedded(
    embedding: AgentEmbedding, population: Population, chosen: np.ndarray
) -> Float[np.ndarray, "n k"]:
    return np.concatenate(
        [
            embedding.encode(population.rows(chosen[at : at + ENCODED]))
            for at in range(0, len(chosen), ENCODED)
        ]
    )


def _decoder(embedding: AgentEmbedding) -> dict[str, Any]:
    """Return the decoder's layers, with a GELU between them, and the scale of the weights."""
    model = embedding.model
    layers: Any = model.decoder.layers
    return {
        "layers": [
            {"weight": np.asarray(layer.weight), "bias": np.asarray(layer.bias)} for layer in layers
        ],
        "mean": np.asarray(model.weights.mean),
        "deviation": np.asarray(model.weights.deviation),
    }


def _simulator(population: Population, decoder: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the page needs to let agents act; None where it has no such simulator."""
    if not isinstance(population.env, CartPoleConfig):
        return None
    return {
        "decoder": decoder,
        "widths": list(population.architecture.widths),
        "activation": population.architecture.activation,
        "cart_pole": dataclasses.asdict(population.env),
    }
