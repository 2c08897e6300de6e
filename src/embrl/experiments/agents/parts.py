"""Parts of a long evaluation that are kept, so that it can go on where it stopped."""

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
    """Finished parts in a folder, each with what it was made of."""

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    def get(self, name: str, of: dict[str, Any], make: Callable[[], dict[str, Any]]) -> Any:
        """What `make` returns: read, if it was made of the same before; else made and kept.

        Arguments:
            of: plain values, all that the part depends on.
        """
        path = self.folder / f"{name}.json"
        if path.exists():
            try:
                kept = files.read_json(path)
            except EmbrlError:
                kept = {}  # it can be made again
            if kept.get("of") == of and "part" in kept:
                return kept["part"]
        part = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, {"of": of, "part": part})
        return part


def mark_of_population(population: Population) -> str:
    """Other populations have other marks."""
    table = population.table()
    found = hashlib.sha256((population.path / RECORD).read_bytes())
    for name in sorted(table):
        found.update(np.ascontiguousarray(table[name]).tobytes())
    return found.hexdigest()[:16]


def mark_of_embedding(embedding: AgentEmbedding) -> str:
    """Other embeddings have other marks."""
    found = hashlib.sha256(f"{embedding.kind} {embedding.config} {embedding.env}".encode())
    for leaf in jax.tree.leaves((embedding.model, embedding.prior)):
        if hasattr(leaf, "dtype"):
            found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()[:16]
