"""Checkpoints of pytrees: arrays as safetensors by their paths, the rest as JSON, no pickle.

Arrays are stored by their path in the pytree: renaming a field changes the format, whose number
(`FORMAT`) has to be raised then.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from embrl.core.errors import EmbrlError
from embrl.storage import files

Tree = TypeVar("Tree")

FORMAT = 2
"""Number of the format, in the manifest."""

TENSORS = "state.safetensors"
MANIFEST = "manifest.json"


def write(folder: Path, number: int, state: Any, manifest: dict[str, Any]) -> None:
    """Write a checkpoint, and remove older ones.

    It is written under a temporary name and renamed when all of it is on disk; older checkpoints
    are removed only then. At any moment the latest one is complete.

    Args:
        folder: of all checkpoints.
        number: of this one; the largest is the latest.
        state: pytree of arrays.
        manifest: JSON values to store beside the arrays.
    """
    files.make_folder(folder)
    files.remove_leftovers(folder)
    tensors = packed(state)
    name = f"{number:08d}"
    while (folder / name).exists():  # in its place, there would be none for a moment
        name += "+"
    with files.replacing_folder(folder / name) as new:
        files.write_bytes(new / TENSORS, tensors)
        files.write_json(
            new / MANIFEST,
            {"format": FORMAT, "sha256": hashlib.sha256(tensors).hexdigest(), **manifest},
        )
    for older in _complete(folder)[:-1]:
        shutil.rmtree(older, ignore_errors=True)


def latest(folder: Path) -> Path | None:
    """Return the latest checkpoint in a folder, if there is one."""
    complete = _complete(folder)
    return complete[-1] if complete else None


def read_manifest(checkpoint: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint.

    Raises:
        EmbrlError: it is missing, damaged or of another format.
    """
    manifest = files.read_json(checkpoint / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise EmbrlError(
            f"{checkpoint / MANIFEST} has format {manifest.get('format')!r}, this version reads "
            f"{FORMAT}; use the version of embrl that wrote it"
        )
    return manifest


def read(checkpoint: Path, like: Tree) -> Tree:
    """Return the state of a checkpoint.

    Args:
        checkpoint: its folder.
        like: a pytree with the expected shapes and dtypes, as from `jax.eval_shape`.

    Raises:
        EmbrlError: the file is damaged, or holds other arrays.
    """
    path = checkpoint / TENSORS
    arrays = unpacked(path, lambda: read_manifest(checkpoint).get("sha256"))
    return shaped(path, arrays, like)


def packed(state: Any) -> bytes:
    """Return the arrays of a pytree as safetensors, by their paths in it."""
    return save(_named_arrays(state))


def unpacked(path: Path, checksum: Callable[[], Any]) -> dict[str, np.ndarray]:
    """Return the arrays that `packed` wrote into a file, by their paths.

    Args:
        path: the file.
        checksum: returns the expected SHA-256 of the file; called once the file has been read.

    Raises:
        EmbrlError: the file is missing or damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EmbrlError(f"{path} is missing or unreadable: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != checksum():
        raise EmbrlError(f"{path} is damaged: its checksum is not that of what was written")
    try:
        return load(data)
    except SafetensorError as error:
        raise EmbrlError(f"{path} is damaged: {error}") from error


def shaped(
    path: Path, arrays: dict[str, np.ndarray], like: Tree, under: str = "", of: str = "run"
) -> Tree:
    """Return arrays as a pytree.

    Args:
        path: their file, for messages.
        arrays: arrays by path.
        like: a pytree with the expected shapes and dtypes.
        under: path of the pytree in what was packed, as `['model']`.
        of: word for what the arrays must fit, for messages.

    Raises:
        EmbrlError: an array is missing, or has another shape or dtype.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    found = [_leaf(path, arrays, under + jax.tree_util.keystr(at), leaf, of) for at, leaf in leaves]
    return jax.tree.unflatten(structure, found)


def _leaf(path: Path, arrays: dict[str, np.ndarray], name: str, like: Any, of: str) -> Any:
    """Return one array, after a check of its shape and dtype."""
    if name not in arrays:
        raise EmbrlError(f"{path} does not fit this {of}: it lacks {name}")
    array = arrays[name]
    if array.shape != like.shape or array.dtype != like.dtype:
        raise EmbrlError(
            f"{path} does not fit this {of}: {name} is {array.dtype}{list(array.shape)}, "
            f"expected {like.dtype}{list(like.shape)}"
        )
    return array


def _named_arrays(state: Any) -> dict[str, np.ndarray]:
    """Return the leaves of a pytree by path."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(at): np.asarray(leaf) for at, leaf in leaves}


def _complete(folder: Path) -> list[Path]:
    """Return the complete checkpoints in a folder, the latest one last."""
    return sorted(path for path in folder.glob("[0-9]*") if path.is_dir())
