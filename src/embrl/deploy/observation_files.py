"""Observations from files, some rows at a time, so that a file may be larger than memory."""

import csv
import json
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from embrl.core.errors import EmbrlError, UnknownNameError, require
from embrl.deploy.form import Form

ROWS = 4096
"""At a time."""

STDIN = "-"

FAULTY = (OSError, ValueError, EOFError, csv.Error, zipfile.BadZipFile, zlib.error)
"""What a damaged file may lead to."""

Part = tuple[int, np.ndarray]
"""The number of the first row, and rows `[B, ...]`."""


def observations(source: str | Path, form: Form) -> Iterator[np.ndarray]:
    """Checked observations `[B, *form.shape]`, part by part, in order.

    Arguments:
        source: a file by its ending (`READERS`), or `-`: an observation a line, in JSON, on
            standard input; each is a part.

    Raises:
        EmbrlError: there is no such file, it is damaged, or a row is not in the space; the message
            names the row, counted from 0.
    """
    path = Path(source)
    if str(source) == STDIN:
        parts = _json_lines(sys.stdin, form, 1)
    else:
        if path.suffix not in READERS:
            raise UnknownNameError("kind of file", path.suffix or path.name, READERS)
        if not path.is_file():
            raise EmbrlError(f"{path} is no file")
        parts = READERS[path.suffix](path, form)
    try:
        for first, values in parts:
            yield form.checked(values, first)
    except EmbrlError as error:
        where = "standard input" if str(source) == STDIN else source
        raise EmbrlError(f"{where}: {error}") from error
    except FAULTY as error:
        raise EmbrlError(f"{source} is damaged: {error}") from error


def _npy(path: Path, form: Form) -> Iterator[Part]:
    del form
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(values, np.ndarray) or not values.ndim:
        raise EmbrlError("it holds no rows")
    for first in range(0, len(values), ROWS):
        yield first, np.asarray(values[first : first + ROWS])


def _npz(path: Path, form: Form) -> Iterator[Part]:
    """Its only array, or the one called `observations`; read as it comes out of the archive."""
    del form
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        name = names[0] if len(names) == 1 else "observations"
        if name not in names:
            raise EmbrlError(
                f"it holds {', '.join(names) or 'nothing'}: it must hold one array, or one called "
                "observations"
            )
        with archive.open(f"{name}.npy") as file:
            version = np.lib.format.read_magic(file)
            read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
            if version[0] not in read:
                raise EmbrlError(f"{name} has version {version} of the npy format")
            shape, fortran, dtype = read[version[0]](file)
            if dtype.hasobject or len(shape) < 1 or (fortran and len(shape) > 1):
                raise EmbrlError(f"{name} is no array of rows: save it in C order, without objects")
            size = int(np.prod(shape[1:])) * dtype.itemsize
            count = int(np.prod(shape[:1]))
            for first in range(0, count, ROWS):
                rows = min(ROWS, count - first)
                data = file.read(rows * size)
                yield first, np.frombuffer(data, dtype).reshape(rows, *shape[1:])


def _csv(path: Path, form: Form) -> Iterator[Part]:
    """Numbers of a row side by side; a first line that has other things is a header."""
    with path.open(newline="") as file:
        yield from _parts(_cells(file), form, ROWS)


def _cells(file: IO[str]) -> Iterator[Any]:
    number = 0
    for line, cells in enumerate(filter(None, csv.reader(file))):
        try:
            yield [float(cell) for cell in cells]
        except ValueError as error:
            if line == 0:
                continue
            raise EmbrlError(f"row {number}: {error}") from error
        number += 1


def _jsonl(path: Path, form: Form) -> Iterator[Part]:
    with path.open() as file:
        yield from _json_lines(file, form, ROWS)


def _json_lines(file: Iterable[str], form: Form, rows: int) -> Iterator[Part]:
    def values() -> Iterator[Any]:
        for number, line in enumerate(line for line in file if line.strip()):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise EmbrlError(f"row {number} is no JSON: {error}") from error

    yield from _parts(values(), form, rows)


def _parquet(path: Path, form: Form) -> Iterator[Part]:
    """A column of lists, or a column for each number, in their order."""
    polars = require("polars", "data")
    try:
        frame = polars.scan_parquet(path)
        count = frame.select(polars.len()).collect().item()
        for first in range(0, count, ROWS):
            rows = frame.slice(first, ROWS).collect()
            if rows.width == 1:
                for at, values in _parts(rows.to_series().to_list(), form, ROWS):
                    yield first + at, values
            else:
                yield first, rows.to_numpy()
    except polars.exceptions.PolarsError as error:
        raise EmbrlError(f"it is damaged: {error}") from error


def _parts(rows: Iterable[Any], form: Form, count: int) -> Iterator[Part]:
    """Rows that come one by one, looked at one by one."""
    gathered: list[np.ndarray] = []
    first = number = 0
    for number, row in enumerate(rows):
        try:
            values = np.asarray(row)
        except ValueError as error:  # lists of different lengths
            raise EmbrlError(f"row {number} is no array: expected {form}") from error
        if values.size != form.size or values.dtype.kind not in "iufb":
            form.checked(values[None], number)  # says what is wrong
        gathered.append(values.reshape(form.shape))
        if len(gathered) == count:
            yield first, np.stack(gathered)
            first, gathered = number + 1, []
    if gathered:
        yield first, np.stack(gathered)


READERS: dict[str, Callable[[Path, Form], Iterator[Part]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
"""By endings."""
