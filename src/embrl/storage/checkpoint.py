"""A pytree of arrays on disk: safetensors for the numbers, JSON for the rest, never a pickle."""

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
TENSORS = "state.safetensors"
MANIFEST = "manifest.json"


def write(folder: Path, number: int, state: Any, manifest: dict[str, Any]) -> None:
    """Makes `state` and `manifest` the folder's checkpoint `number`.

    It is written under a temporary name, renamed when all of it is on disk, and only then are
    older ones removed: at any moment the newest complete one is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    tensors = packed(state)
    with files.replacing_folder(folder / f"{number:08d}") as new:
        files.write_bytes(new / TENSORS, tensors)
        files.write_json(
            new / MANIFEST,
            {"format": FORMAT, "sha256": hashlib.sha256(tensors).hexdigest(), **manifest},
        )
    for older in _complete(folder)[:-1]:
        shutil.rmtree(older)


def latest(folder: Path) -> Path | None:
    """The newest checkpoint in the folder, if there is one."""
    complete = _complete(folder)
    return complete[-1] if complete else None


def read_manifest(checkpoint: Path) -> dict[str, Any]:
    """What was said of the checkpoint when it was written.

    Raises:
        EmbrlError: it is missing, damaged or of a newer format.
    """
    manifest = files.read_json(checkpoint / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise EmbrlError(
            f"{checkpoint / MANIFEST} has format {manifest.get('format')!r}, "
            f"this version of embrl reads {FORMAT}"
        )
    return manifest


def read(checkpoint: Path, like: Tree) -> Tree:
    """The state of a checkpoint.

    Arguments:
        like: a pytree with the shapes and dtypes to expect (`jax.eval_shape` makes one).

    Raises:
        EmbrlError: the file is damaged, or holds something else.
    """
    path = checkpoint / TENSORS
    arrays = unpacked(path, lambda: read_manifest(checkpoint).get("sha256"))
    return shaped(path, arrays, like)


def packed(state: Any) -> bytes:
    """The arrays of a pytree as safetensors, by their places in it."""
    return save(_named_arrays(state))


def unpacked(path: Path, checksum: Callable[[], Any]) -> dict[str, np.ndarray]:
    """The arrays that `packed` wrote into the file `path`, by their places.

    Arguments:
        checksum: what the SHA-256 of the file should be.

    Raises:
        EmbrlError: the file is missing or damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EmbrlError(f"{path} is missing or unreadable: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != checksum():
        raise EmbrlError(f"{path} is damaged: it is not what was written (checksum)")
    try:
        return load(data)
    except SafetensorError as error:
        raise EmbrlError(f"{path} is damaged: {error}") from error


def shaped(
    path: Path, arrays: dict[str, np.ndarray], like: Tree, under: str = "", of: str = "run"
) -> Tree:
    """A pytree of these arrays.

    Arguments:
        path: where they were read, for messages.
        like: a pytree with the shapes and dtypes to expect.
        under: where in what was packed it stands, as `['model']`.
        of: what it must fit, for messages.

    Raises:
        EmbrlError: an array is missing, or has another shape or dtype.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    found = [_leaf(path, arrays, under + jax.tree_util.keystr(at), leaf, of) for at, leaf in leaves]
    return jax.tree.unflatten(structure, found)


def _leaf(path: Path, arrays: dict[str, np.ndarray], name: str, like: Any, of: str) -> Any:
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
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(at): np.asarray(leaf) for at, leaf in leaves}


def _complete(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[0-9]*") if path.is_dir())
