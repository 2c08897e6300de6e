"""Rows of a store from what embrl has trained: actions, states and agents, with their versions."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from embrl.agents.embeddings.embedding import AgentEmbedding, check_fits
from embrl.agents.groups import Groups
from embrl.agents.population import Population
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.runtime import prepare_jax
from embrl.fitting.embedding import Embedding
from embrl.loading import load
from embrl.storage import checkpoint
from embrl.store.collection import Metadata
from embrl.store.tables import kind_of
from embrl.trained import Run

ENCODED = 16_384
"""Agents or states embedded at a time."""


class Loaded(NamedTuple):
    """Rows to be stored, and where they come from."""

    kind: str
    version: str
    ids: np.ndarray
    vectors: np.ndarray
    metadata: dict[str, np.ndarray]
    about: dict[str, str]

    @property
    def columns(self) -> dict[str, str]:
        """Kinds of the metadata by column."""
        return {name: kind_of(name, values) for name, values in self.metadata.items()}


def embedding_of(source: Any, seed: int = 0) -> Embedding | AgentEmbedding:
    """Return the embedding of a run, of a folder, or the embedding itself.

    Args:
        source: a `Run`, an embedding, or the folder of either.
        seed: index of a run's seed.

    Raises:
        EmbrlError: it has none.
    """
    return _embedding(_opened(source), source, seed)


def _embedding(found: Any, source: Any, seed: int) -> Embedding | AgentEmbedding:
    """Return the embedding of what `source` holds."""
    if isinstance(found, Run):
        return found.embedding(seed)
    if not isinstance(found, Embedding | AgentEmbedding):
        raise SettingError("source", "a run or an embedding", source, "embrl fit makes one")
    return found


def _opened(source: Any) -> Any:
    """Return what a folder holds, or what was given."""
    if not isinstance(source, str | Path):
        return source
    prepare_jax()
    return load(source)


def version_of(embedding: Embedding | AgentEmbedding) -> str:
    """Return the version of an embedding: a hash of the weights by which it embeds."""
    model: Any = embedding.model
    parts = {"phi": model.phi, "g": model.g} if isinstance(embedding, Embedding) else model
    return hashlib.sha256(checkpoint.packed(parts)).hexdigest()


def actions(
    source: Any,
    *,
    metadata: Metadata | None = None,
    names: Sequence[str] | None = None,
    kind: str = "actions",
    seed: int = 0,
) -> Loaded:
    """Return the embedded actions of a run or an embedding, without excluded ones.

    Args:
        source: as `embedding_of` takes it.
        metadata: values by column. With a column `name` or `id` among them, a row belongs to the
            action of that name or index, and there must be one for each; otherwise, in order.
        names: names of the actions; None: those of the run, if they have names.
        kind: `actions` or `replies`.
        seed: index of a run's seed.

    Raises:
        EmbrlError: actions are not listed (continuous, or of several parts), or metadata does not
            fit them.
    """
    found = _opened(source)
    embedding = _of_states(found, source, seed)
    if embedding.table is None:
        raise SettingError("actions", "Discrete to be stored", embedding.action_space)
    ids = np.arange(len(embedding.table))
    if names is None:
        names = found.action_names if isinstance(found, Run) else None
    if names is not None and len(names) != len(ids):
        raise SettingError("names", f"{len(ids)} names", len(names))
    if embedding.allowed is not None:
        ids = np.flatnonzero(embedding.allowed)
    values = _by_action(dict(metadata or {}), ids, names)
    if names is not None:
        values["name"] = np.asarray(names)[ids]
    return _loaded(kind, embedding, ids, embedding.table[ids], values, source)


def states(
    source: Any,
    observations: ArrayLike,
    *,
    metadata: Metadata | None = None,
    first_id: int = 0,
    seed: int = 0,
) -> Loaded:
    """Return embedded states.

    Args:
        source: as `embedding_of` takes it.
        observations: `[n, ...]`.
        metadata: values by column, in the order of the observations.
        first_id: id of the first one; the others follow.
        seed: index of a run's seed.

    Raises:
        EmbrlError: an observation is not in the space, or metadata has another length.
    """
    embedding = _of_states(_opened(source), source, seed)
    seen = np.asarray(observations)
    parts = [embedding.phi(seen[at : at + ENCODED]) for at in range(0, len(seen), ENCODED)]
    vectors = np.concatenate([np.zeros((0, embedding.m), np.float32), *parts])
    ids = first_id + np.arange(len(vectors))
    return _loaded("states", embedding, ids, vectors, _in_order(metadata, len(ids)), source)


def agents(
    source: Any, population: Population | str | Path, *, metadata: Metadata | None = None
) -> Loaded:
    """Return the embedded agents of a population, with its table as metadata.

    Args:
        source: an embedding of agents, or its folder.
        population: of such agents, or its folder.
        metadata: more values by column, in the order of the agents.

    Raises:
        EmbrlError: the embedding is of other agents.
    """
    embedding = embedding_of(source)
    if not isinstance(embedding, AgentEmbedding):
        raise SettingError("source", "an embedding of agents", source, "embrl agents fit makes one")
    opened = population if isinstance(population, Population) else Population(population)
    check_fits(embedding, opened, "the embedding")
    vectors = np.concatenate(
        [
            embedding.encode(opened.weights(at, at + ENCODED))
            for at in range(0, opened.count, ENCODED)
        ]
    )
    table = opened.table()
    groups = Groups.default(opened.environment, table["return_mean"])
    values = {
        **table,
        "group": np.asarray(groups.names)[groups.of(table["return_mean"])],
        **_in_order(metadata, opened.count),
    }
    return _loaded("agents", embedding, np.arange(opened.count), vectors, values, opened.path)


def _of_states(found: Any, source: Any, seed: int) -> Embedding:
    embedding = _embedding(found, source, seed)
    if not isinstance(embedding, Embedding):
        raise SettingError("source", "an embedding of states and actions", source)
    return embedding


def _loaded(
    kind: str,
    embedding: Embedding | AgentEmbedding,
    ids: np.ndarray,
    vectors: np.ndarray,
    metadata: dict[str, np.ndarray],
    source: Any,
) -> Loaded:
    if isinstance(embedding, AgentEmbedding):
        about = {"run": Path(source).name, "environment": embedding.environment}
    else:
        said = embedding.source
        about = {"run": str(said.get("name", "")), "environment": str(said.get("environment", ""))}
        if isinstance(source, str | Path):
            about["run"] = Path(source).name
    about = {name: value for name, value in about.items() if value}
    for name, value in about.items():  # rows of several runs may come together
        metadata.setdefault(name, np.full(len(ids), value))
    return Loaded(kind, version_of(embedding), ids, vectors, metadata, about)


def _in_order(metadata: Metadata | None, count: int) -> dict[str, np.ndarray]:
    found = {name: np.asarray(values) for name, values in (metadata or {}).items()}
    found.pop("id", None)
    for name, values in found.items():
        if len(values) != count:
            raise SettingError(f"column {name} of metadata", f"{count} values", len(values))
    return found


def _by_action(
    metadata: dict[str, Any], ids: np.ndarray, names: Sequence[str] | None
) -> dict[str, np.ndarray]:
    """Return metadata in the order of the actions."""
    keys = metadata.get("id")
    wanted: Sequence[Any] = ids.tolist()
    if names is not None and "name" in metadata:
        keys, wanted = [str(each) for each in metadata["name"]], [names[at] for at in ids]
    if keys is None:
        return _in_order(metadata, len(ids))
    rows = {key: at for at, key in enumerate(np.asarray(keys).tolist())}
    if len(rows) < len(keys):
        raise SettingError("metadata", "one row for each action", "several for one")
    missing = [each for each in wanted if each not in rows]
    if missing:
        raise EmbrlError(
            f"metadata must have a row for each action, got none for {len(missing):,} of "
            f"{len(ids):,}, such as {missing[0]}"
        )
    order = np.array([rows[each] for each in wanted], int)
    return {
        name: np.asarray(values)[order]
        for name, values in metadata.items()
        if name not in ("id", "name")
    }
