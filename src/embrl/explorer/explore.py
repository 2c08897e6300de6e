"""Explorer pages of what embrl has written: the function behind `embrl explore`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.population import Population
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.runtime import prepare_jax
from embrl.explorer.page import Page
from embrl.explorer.populations import page_of_population
from embrl.explorer.runs import page_of_embedding, page_of_run
from embrl.fitting.embedding import Embedding
from embrl.loading import load
from embrl.storage import files
from embrl.trained import Run

MAX_POINTS = 100_000
"""Points of a cloud, at most: of more, that many are spread evenly."""
NAME = "explore.html"


def explore(
    source: Any,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    embedding: Any = None,
    projection: str = "pca",
    metadata: Mapping[str, Any] | None = None,
    max_points: int = MAX_POINTS,
) -> Path:
    """Write a page in which an embedding can be seen and touched; return its path.

    It is one file, and works from disk without a network.

    Args:
        source: a `Run`, an `Embedding`, a `Population`, or the folder of one.
        out: the file, which ends in `.html`; it is replaced. None: `figures/explore.html` in the
            source's folder.
        seed: index of a run's seed.
        embedding: of a population's agents, or its folder; None: principal components of weights.
        projection: `pca` or `umap`, for spaces of more than two dimensions.
        metadata: values of actions by column, as `Store.load_actions` takes it.
        max_points: states, actions or agents in the page, at most.

    Raises:
        EmbrlError: there is nothing to explore, a setting does not fit it, umap-learn is not
            installed, or the file cannot be written.
    """
    prepare_jax()
    target = _target(source, out)
    if max_points < 2:
        raise SettingError("max_points", "2 or more", max_points)
    page = page_of(
        load(source) if isinstance(source, str | Path) else source,
        seed=seed,
        embedding=load(embedding) if isinstance(embedding, str | Path) else embedding,
        projection=projection,
        metadata=metadata,
        max_points=max_points,
    )
    files.make_folder(target.parent)
    files.write_text(target, page.html())
    return target


def page_of(
    found: Any,
    *,
    seed: int,
    embedding: Any,
    projection: str,
    metadata: Mapping[str, Any] | None,
    max_points: int,
) -> Page:
    """Return the page of a loaded source; arguments as of `explore`."""
    if isinstance(found, Population):
        if metadata is not None:
            raise EmbrlError("metadata must be left out for a population, which has a table")
        if embedding is not None and not isinstance(embedding, AgentEmbedding):
            raise SettingError("embedding", "one of agents", embedding, "embrl agents fit makes it")
        return page_of_population(found, embedding, projection=projection, most=max_points)
    if embedding is not None:
        raise EmbrlError("embedding must be left out where the source is not a population")
    if isinstance(found, Run):
        return page_of_run(
            found, seed=seed, projection=projection, metadata=metadata, most=max_points
        )
    if isinstance(found, Embedding):
        return page_of_embedding(found, projection=projection, metadata=metadata, most=max_points)
    if isinstance(found, AgentEmbedding):
        raise EmbrlError(
            "source must be a population to show agents, got their embedding; give the population, "
            "and the embedding as embedding"
        )
    raise SettingError("source", "a run, an embedding or a population", type(found).__name__)


def _target(source: Any, out: str | Path | None) -> Path:
    """Return the file to write, or refuse it before anything is computed."""
    if out is None:
        folder = source
        if isinstance(source, Run):
            folder = source.folder.path
        elif isinstance(source, Population):
            folder = source.path
        if not isinstance(folder, str | Path):
            raise SettingError("out", "a file where the source is not a folder", None)
        if not files.as_path(folder).is_dir():
            raise SettingError("source", "a folder that embrl wrote", folder)
        return files.as_path(folder) / "figures" / NAME
    target = files.as_path(out)
    if target.suffix.lower() not in (".html", ".htm") or target.is_dir():
        raise SettingError("out", "a file that ends in .html", out)
    return target
