"""Task features in the folder of their embedding: `tasks.json` and `tasks.safetensors`."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import safetensors.numpy

from embrl.core.errors import EmbrlError, SettingError
from embrl.core.runtime import versions
from embrl.storage import checkpoint, files
from embrl.storage.files import from_plain, require_keys
from embrl.tasks.config import TasksConfig
from embrl.tasks.networks import TaskNetworks
from embrl.tasks.space import TaskModel

FORMAT = 2
KIND = "tasks"
MANIFEST = "tasks.json"
TENSORS = "tasks.safetensors"
KEYS = ("sha256", "embedding", "settings")
"""Required keys of `tasks.json`, beside `format`, `kind` and `versions`."""

ARRAYS = ("states", "weights", "actions")
"""Arrays of a `TaskModel`, beside its networks."""

Packed = tuple[dict[str, Any], bytes]
"""Content of `tasks.json` and of `tasks.safetensors`."""


def as_bytes(tasks: TaskModel, embedding: str) -> Packed:
    """Return the content of both files.

    Args:
        tasks: what was learned.
        embedding: SHA-256 of the arrays of the embedding in which it was.
    """
    tensors = checkpoint.packed({name: getattr(tasks, name) for name in ("networks", *ARRAYS)})
    manifest = {
        "format": FORMAT,
        "kind": KIND,
        "versions": versions(),
        "sha256": hashlib.sha256(tensors).hexdigest(),
        "embedding": embedding,
        "settings": dataclasses.asdict(tasks.config),
    }
    return manifest, tensors


def as_files(packed: Packed) -> dict[str, bytes]:
    """Return both files by name."""
    manifest, tensors = packed
    return {TENSORS: tensors, MANIFEST: json.dumps(manifest, indent=2).encode()}


def from_bytes(packed: Packed, m: int, d: int) -> TaskModel:
    """Return the task features that `as_bytes` gave."""
    manifest, tensors = packed
    return _of_arrays(Path(), manifest, safetensors.numpy.load(tensors), m, d)


def read(path: str | Path, embedding: str, m: int, d: int) -> TaskModel | None:
    """Read the task features in the folder of an embedding.

    Args:
        path: the folder.
        embedding: SHA-256 of the arrays of the embedding there.
        m: dimensions of its states.
        d: dimensions of its actions.

    Returns:
        The task features; None if the folder has none.

    Raises:
        EmbrlError: they have another format or are of another embedding, or a file is damaged.
    """
    path = files.as_path(path)
    where = path / MANIFEST
    if not where.exists():
        return None
    manifest = files.read_json(where)
    if (manifest.get("format"), manifest.get("kind")) != (FORMAT, KIND):
        raise SettingError(
            str(where),
            f"of kind {KIND} and format {FORMAT}",
            f"{manifest.get('kind')!r} and {manifest.get('format')!r}",
            "read it with the version of embrl that wrote it",
        )
    require_keys(manifest, KEYS, where)
    if manifest["embedding"] != embedding:
        raise EmbrlError(f"{where} is of another embedding; fit this one again with --tasks")
    arrays = checkpoint.unpacked(path / TENSORS, lambda: manifest["sha256"])
    return _of_arrays(path, manifest, arrays, m, d)


def _of_arrays(
    path: Path, manifest: dict[str, Any], arrays: dict[str, Any], m: int, d: int
) -> TaskModel:
    config = from_plain(manifest["settings"], TasksConfig, f"{path / MANIFEST}: settings")
    config.validate()
    for name in ARRAYS:
        if f"['{name}']" not in arrays:
            raise EmbrlError(f"{path / TENSORS} does not fit this embedding: it lacks {name}")
    found = {name: arrays[f"['{name}']"] for name in ARRAYS}
    states = len(found["states"])
    like = jax.eval_shape(lambda: TaskNetworks(m, d, config, states=states, key=jax.random.key(0)))
    networks = checkpoint.shaped(path / TENSORS, arrays, like, "['networks']", "embedding")
    return TaskModel(config, jax.tree.map(jnp.asarray, networks), **found)
