"""Actions into files, some rows at a time; a file is there whole or not at all."""

import contextlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from embrl.core.errors import EmbrlError, UnknownNameError, require
from embrl.deploy.form import Form
from embrl.storage import files

Put = Callable[[np.ndarray], None]
"""Takes rows of actions `[B, ...]`."""


@contextlib.contextmanager
def actions_into(path: Path, form: Form) -> Iterator[Put]:
    """What takes the actions of a file by its ending (`WRITERS`).

    Raises:
        EmbrlError: there is no such kind of file, or it cannot be written.
    """
    if path.suffix not in WRITERS:
        raise UnknownNameError("kind of file", path.suffix or path.name, WRITERS)
    if not path.absolute().parent.is_dir():
        raise EmbrlError(f"{path}: there is no folder {path.parent}")
    if path.suffix == ".parquet":
        require("polars", "data")
    try:
        with files.replacing(path) as file, WRITERS[path.suffix](file, form) as put:
            yield put
    except OSError as error:
        raise EmbrlError(f"{path} cannot be written: {error.strerror or error}") from error


def as_line(action: np.ndarray) -> str:
    """An action in JSON."""
    return json.dumps(action.tolist())


@contextlib.contextmanager
def _npy(file: IO[bytes], form: Form) -> Iterator[Put]:
    # NumPy leaves room in the header for the number of rows, which is not known yet.
    def head(rows: int) -> None:
        shape = (rows, *form.shape)
        described = {"descr": np.dtype(form.dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, described)

    begin, rows = file.tell(), 0

    def put(actions: np.ndarray) -> None:
        nonlocal rows
        rows += len(actions)
        file.write(np.ascontiguousarray(actions, form.dtype).tobytes())

    head(0)
    data = file.tell()
    yield put
    file.seek(begin)
    head(rows)
    assert file.tell() == data
    file.seek(0, 2)


@contextlib.contextmanager
def _npz(file: IO[bytes], form: Form) -> Iterator[Put]:
    with tempfile.TemporaryFile() as plain:
        with _npy(plain, form) as put:
            yield put
        plain.seek(0)
        with (
            zipfile.ZipFile(file, "w") as archive,
            archive.open("actions.npy", "w", force_zip64=True) as entry,
        ):
            shutil.copyfileobj(plain, entry)


@contextlib.contextmanager
def _csv(file: IO[bytes], form: Form) -> Iterator[Put]:
    def put(actions: np.ndarray) -> None:
        for row in actions.reshape(len(actions), -1).tolist():
            file.write((",".join(map(repr, row)) + "\n").encode())

    file.write((",".join(_columns(form)) + "\n").encode())
    yield put


@contextlib.contextmanager
def _jsonl(file: IO[bytes], form: Form) -> Iterator[Put]:
    del form

    def put(actions: np.ndarray) -> None:
        file.writelines((as_line(action) + "\n").encode() for action in actions)

    yield put


@contextlib.contextmanager
def _parquet(file: IO[bytes], form: Form) -> Iterator[Put]:
    """All of them in memory, until the end."""
    polars = require("polars", "data")
    parts: list[np.ndarray] = []
    yield parts.append
    rows = np.concatenate([np.zeros((0, *form.shape), form.dtype), *parts])
    columns = rows.reshape(len(rows), form.size)
    frame: Any = {name: columns[:, at] for at, name in enumerate(_columns(form))}
    polars.DataFrame(frame).write_parquet(file)


def _columns(form: Form) -> list[str]:
    """An action of one number is `action`; else they are numbered."""
    return ["action"] if not form.shape else [f"action_{at}" for at in range(form.size)]


WRITERS: dict[str, Callable[[IO[bytes], Form], contextlib.AbstractContextManager[Put]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
"""By endings."""
