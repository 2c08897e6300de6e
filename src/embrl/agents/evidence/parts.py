"""Stored parts of a long evaluation, so that it can be resumed."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.population import RECORD, Population
from embrl.core.errors import EmbrlError
from embrl.storage import files

FOLDER = "parts"


class Parts:
    """Finished parts in a folder, each with the inputs it was made from."""

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    def get(self, name: str, of: dict[str, Any], make: Callable[[], dict[str, Any]]) -> Any:
        """Return the stored part if it was made from the same inputs; else make and store it.

        Args:
            name: name of the part.
            of: plain values, all inputs of the part.
            make: makes the part.
        """
        path = self.folder / f"{name}.json"
        if path.exists():
            try:
                kept = files.read_json(path)
            except EmbrlError:
                kept = {}  # damaged: made again
            if kept.get("of") == of and "part" in kept:
                return kept["part"]
        part = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, {"of": of, "part": part})
        return part


def population_digest(population: Population) -> str:
    """Return a digest that identifies a population."""
    table = population.table()
    found = hashlib.sha256((population.path / RECORD).read_bytes())
    for name in sorted(table):
        found.update(np.ascontiguousarray(table[name]).tobytes())
    return found.hexdigest()[:16]


def embedding_digest(embedding: AgentEmbedding) -> str:
    """Return a digest that identifies an embedding."""
    found = hashlib.sha256(f"{embedding.kind} {embedding.config} {embedding.env}".encode())
    for leaf in jax.tree.leaves((embedding.model, embedding.prior)):
        if hasattr(leaf, "dtype"):
            found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()[:16]
