"""Transitions from NumPy's `.npz` files and from Parquet files."""

import re
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError, SettingError, require
from embrl.data.sources.recorded import ALIASES, UNSAID, Given, Recorded, from_columns

FAULTY = (
    *(OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error),
    *(tokenize.TokenError, NotImplementedError),
)
"""Errors that a damaged file of NumPy's may lead to."""

SPREAD = re.compile(r"(.+)_(\d+)")
"""Name of a column with one coordinate of a vector, as observation_0, observation_1, ..."""


def read_npz(path: Path, given: Given = UNSAID) -> Recorded:
    """Read a file of columns that `numpy.savez` wrote; nothing in it is ever unpickled.

    Raises:
        EmbrlError: the file cannot be read, or `from_columns` refuses its columns.
    """
    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise EmbrlError(f"{path} holds a single array; write columns with numpy.savez")
            columns = {name: _read(path, arrays, name) for name in arrays.files}
    except EmbrlError:
        raise
    except FileNotFoundError as error:
        raise EmbrlError(f"{path} does not exist") from error
    except FAULTY as error:
        raise EmbrlError(f"{path} cannot be read as .npz without pickle: {error}") from error
    return from_columns(columns, given, path.name)


def _read(path: Path, arrays: Any, name: str) -> np.ndarray:
    try:
        return arrays[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):  # NumPy's advice is to execute what is in the file
            raise
        raise SettingError(
            f"{path.name}: {name}", "numbers", "Python objects", "save it with a dtype of numbers"
        ) from error


def read_parquet(path: Path, given: Given = UNSAID) -> Recorded:
    """Read a Parquet file of columns.

    Vectors are lists of the same length in each row, or spread over columns NAME_0, NAME_1, ...

    Raises:
        EmbrlError: polars is not installed, the file cannot be read, rows differ in length, or
            `from_columns` refuses its columns.
    """
    polars = require("polars", "data")
    if not path.is_file():
        raise EmbrlError(f"{path} does not exist")
    try:
        frame = polars.read_parquet(path)
    except Exception as error:  # polars raises its own kinds of errors
        raise EmbrlError(f"{path} cannot be read as Parquet: {error}") from error
    names = {alias for aliases in ALIASES.values() for alias in aliases}
    columns = {name: _array(path, polars, frame[name]) for name in frame.columns if name in names}
    return from_columns({**_joined(path, polars, frame, names), **columns}, given, path.name)


def _joined(path: Path, polars: Any, frame: Any, names: set[str]) -> dict[str, np.ndarray]:
    """Return the vectors that are spread over several columns."""
    parts: dict[str, dict[int, np.ndarray]] = {}
    for name in frame.columns:
        match = SPREAD.fullmatch(name)
        if match and match[1] in names and name not in names:
            parts.setdefault(match[1], {})[int(match[2])] = _array(path, polars, frame[name])
    joined = {}
    for name, columns in parts.items():
        if name in frame.columns:
            raise EmbrlError(f"{path.name} has both {name} and {name}_0; leave one of them out")
        if sorted(columns) != list(range(len(columns))):
            missing = next(at for at in range(len(columns)) if at not in columns)
            raise EmbrlError(
                f"{path.name} has no column {name}_{missing}, but later ones; number them from 0"
            )
        joined[name] = np.stack([columns[at] for at in range(len(columns))], axis=1)
    return joined


def _array(path: Path, polars: Any, column: Any) -> np.ndarray:
    """Return a column as an array, `[N]` or `[N, p]`."""
    name = column.name
    if column.null_count():
        row = int(column.is_null().arg_max())
        raise EmbrlError(f"{path.name}: {name} in row {row} is empty; fill it or leave it out")
    if isinstance(column.dtype, polars.List):
        lengths = column.list.len().to_numpy()
        if len(lengths) and (lengths != lengths[0]).any():
            row = int(np.argmax(lengths != lengths[0]))
            raise SettingError(
                f"{path.name}: length of {name} in row {row}",
                f"{lengths[0]}, as in row 0",
                lengths[row],
            )
        flat = _plain(path, column.explode(), name)
        return flat.reshape(len(column), -1)
    if isinstance(column.dtype, polars.Array):
        return _plain(path, column.explode(), name).reshape(len(column), -1)
    return _plain(path, column, name)


def _plain(path: Path, column: Any, name: str) -> np.ndarray:
    """Return a column of plain numbers as an array."""
    if not (column.dtype.is_numeric() or str(column.dtype) == "Boolean"):
        raise SettingError(
            f"{path.name}: {name}",
            "numbers",
            f"{column.dtype}, as {column[0]!r} in row 0" if len(column) else column.dtype,
            "number them from 0, as by numpy.unique(values, return_inverse=True)",
        )
    return column.to_numpy()
