"""Files of observations and of actions, read and written some rows at a time.

Files of observations may be larger than memory. A file of actions exists whole or not at all.
"""

import contextlib
import csv
import dataclasses
import io
import json
import shutil
import sys
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from embrl.core.errors import EmbrlError, SettingError, UnknownNameError, WarnOnce, require
from embrl.deploy.array_forms import Form
from embrl.deploy.csv_rows import Header, rows_of
from embrl.storage import files

ROWS = 4096
"""Number of rows at a time."""

STDIN = "-"

NAME = "name"
"""Column of the names of actions."""

FAULTY = (
    *(OSError, ValueError, EOFError, csv.Error, zipfile.BadZipFile, zlib.error),
    *(tokenize.TokenError, KeyError, NotImplementedError),  # of NumPy's headers and of archives
)
"""Errors that a damaged file may lead to."""

Part = tuple[int, np.ndarray]
"""Number of the first row, and rows `[B, ...]`."""


def observations(
    source: str | Path, form: Form, header: Header = "auto", warn: WarnOnce | None = None
) -> Iterator[np.ndarray]:
    """Yield checked observations `[B, *form.shape]`, part by part, in order.

    Args:
        source: A file by its suffix (`READERS`), or `-` for standard input, an observation a line
            in JSON, each of which is a part.
        form: Form of an observation.
        header: Whether the first line of a CSV is a header.
        warn: Warns of numbers outside their bounds; None: they are refused.

    Raises:
        EmbrlError: If there is no such file, it is damaged or has no rows, or a row is not in the
            space; the message names the row, counted from 0.
    """
    path = Path(source)
    none = True
    suffix = path.suffix.lower()
    if str(source) == STDIN:
        parts = _json_lines(sys.stdin, form, 1)
    else:
        if suffix not in READERS:
            raise UnknownNameError("kind of file", path.suffix or path.name, READERS)
        if not path.is_file():
            raise EmbrlError(f"observations must be a file, got {path}, which does not exist")
        csv_ = suffix == ".csv"
        parts = _read_csv(path, form, header) if csv_ else READERS[suffix](path, form)
    try:
        for first, values in parts:
            none = none and not len(values)
            yield form.checked(values, first, warn)
        if none and str(source) != STDIN:
            raise EmbrlError(f"it must have at least one observation, got none ({form})")
    except UnicodeDecodeError as error:
        if suffix not in (".csv", ".jsonl"):
            raise EmbrlError(f"{source} is damaged: {error}") from error
        raise EmbrlError(f"{source} must be UTF-8, got other bytes; save it as UTF-8") from error
    except EmbrlError as error:
        where = "standard input" if str(source) == STDIN else source
        raise EmbrlError(f"{where}: {error}") from error
    except FAULTY as error:
        raise EmbrlError(f"{source} is damaged: {error}") from error


def rows_of_masks(path: Path) -> np.ndarray:
    """Return the rows of an .npy file of masks, read as they are needed.

    Raises:
        EmbrlError: there is no such file, or it is damaged.
    """
    if path.suffix.lower() != ".npy" or not path.is_file():
        raise SettingError("masks", "an .npy file", path, "numpy.save writes one")
    try:
        return _rows(path)
    except EmbrlError as error:
        raise EmbrlError(f"{path}: {error}") from error
    except FAULTY as error:
        raise EmbrlError(f"{path} is damaged: {error}") from error


def _read_npy(path: Path, form: Form) -> Iterator[Part]:
    del form
    values = _rows(path)
    for first in range(0, len(values), ROWS):
        yield first, np.asarray(values[first : first + ROWS])


def _rows(path: Path) -> np.ndarray:
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(values, np.ndarray) or not values.ndim:
        raise EmbrlError("it must hold rows, got a single value")
    return values


def _read_npz(path: Path, form: Form) -> Iterator[Part]:
    """Read the only array, or the one named `observations`, as it comes out of the archive.

    Recorded transitions, as `embrl fit` takes them, name it `observation`.
    """
    del form
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        likely = [name for name in ("observations", "observation") if name in names]
        name = names[0] if len(names) == 1 else (*likely, "")[0]
        if not name:
            raise EmbrlError(
                "it must hold one array, or one named observations, got "
                + (", ".join(names) or "none")
            )
        with archive.open(f"{name}.npy") as file:
            version = np.lib.format.read_magic(file)
            read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
            if version[0] not in read:
                raise EmbrlError(
                    f"{name} must have version 1 or 2 of the npy format, got {version}"
                )
            shape, fortran, dtype = read[version[0]](file)
            if dtype.hasobject or len(shape) < 1 or (fortran and len(shape) > 1):
                raise EmbrlError(
                    f"{name} must be an array of rows; save it in C order, without objects"
                )
            size = int(np.prod(shape[1:])) * dtype.itemsize
            count = int(np.prod(shape[:1]))
            for first in range(0, count, ROWS):
                rows = min(ROWS, count - first)
                data = file.read(rows * size)
                yield first, np.frombuffer(data, dtype).reshape(rows, *shape[1:])


def _read_csv(path: Path, form: Form, header: Header = "auto") -> Iterator[Part]:
    """Read lines of numbers."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from _parts(rows_of(file, form.size, header), form, ROWS)


def _read_jsonl(path: Path, form: Form) -> Iterator[Part]:
    with path.open(encoding="utf-8-sig") as file:
        yield from _json_lines(file, form, ROWS)


def _json_lines(file: Iterable[str], form: Form, rows: int) -> Iterator[Part]:
    def values() -> Iterator[Any]:
        for number, line in enumerate(line for line in file if line.strip("\ufeff \t\r\n")):
            try:
                yield json.loads(line.lstrip("\ufeff"))
            except ValueError as error:
                raise EmbrlError(f"row {number} must be JSON: {error}") from error

    yield from _parts(values(), form, rows)


def _read_parquet(path: Path, form: Form) -> Iterator[Part]:
    """Read a column of lists, or a column for each number, in order."""
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
    except polars.exceptions.PanicException as error:  # from damage that polars did not foresee
        raise EmbrlError("it is damaged") from error


def _parts(rows: Iterable[Any], form: Form, count: int) -> Iterator[Part]:
    """Gather rows that come one by one, checking each."""
    gathered: list[np.ndarray] = []
    first = number = 0
    for number, row in enumerate(rows):
        try:
            values = np.asarray(row)
        except ValueError as error:  # lists of different lengths
            raise EmbrlError(f"row {number} must be an array ({form})") from error
        if values.size != form.size or values.dtype.kind not in "iufb":
            form.checked(values[None], number)  # says what is wrong
        gathered.append(values.reshape(form.shape))
        if len(gathered) == count:
            yield first, np.stack(gathered)
            first, gathered = number + 1, []
    if gathered:
        yield first, np.stack(gathered)


READERS: dict[str, Callable[[Path, Form], Iterator[Part]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
"""Readers by suffix."""


Put = Callable[[np.ndarray], None]
"""Function that takes rows of actions `[B, ...]`."""


@contextlib.contextmanager
def actions_into(path: Path, form: Form) -> Iterator[Put]:
    """Open a file of actions by its suffix (`WRITERS`); yield a function that takes rows.

    Raises:
        EmbrlError: If there is no such kind of file, or it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise UnknownNameError("kind of file", path.suffix or path.name, WRITERS)
    if not (parent := path.absolute().parent).is_dir():
        remedy = f"{path.parent} is a file" if parent.exists() else f"create {path.parent} first"
        raise EmbrlError(f"out must be in an existing folder, got {path}; {remedy}")
    if suffix == ".parquet":
        require("polars", "data")
    with files.replacing(path) as file, WRITERS[suffix](file, form) as put:
        yield put


def as_line(action: np.ndarray, form: Form) -> str:
    """Return an action in JSON; with its name, if it has one."""
    if form.names is None:
        return json.dumps(action.tolist())
    return json.dumps({"action": action.tolist(), NAME: form.named(action)}, ensure_ascii=False)


@contextlib.contextmanager
def _write_npy(file: IO[bytes], form: Form) -> Iterator[Put]:
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
def _write_npz(file: IO[bytes], form: Form) -> Iterator[Put]:
    """Write an array `actions`, and an array `names` if they have names."""
    with tempfile.TemporaryFile() as plain, tempfile.TemporaryFile() as texts:
        parts: dict[str, IO[bytes]] = {"actions": plain}
        with contextlib.ExitStack() as open_:
            put = put_both = open_.enter_context(_write_npy(plain, form))
            if form.names is not None:
                parts["names"] = texts
                text = dataclasses.replace(form, dtype=np.array(form.names).dtype.str)
                put_names = open_.enter_context(_write_npy(texts, text))

                def put_both(actions: np.ndarray, /) -> None:
                    put(actions)
                    put_names(form.named(actions))

            yield put_both
        with zipfile.ZipFile(file, "w") as archive:
            for name, part in parts.items():
                part.seek(0)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    shutil.copyfileobj(part, entry)


@contextlib.contextmanager
def _write_csv(file: IO[bytes], form: Form) -> Iterator[Put]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")

    def put(actions: np.ndarray) -> None:
        rows = actions.reshape(len(actions), -1).tolist()
        if form.names is not None:
            names = form.named(actions).tolist()
            rows = [[*row, name] for row, name in zip(rows, names, strict=True)]
        writer.writerows(rows)

    writer.writerow([*_columns(form), *([] if form.names is None else [NAME])])
    yield put
    text.detach()


@contextlib.contextmanager
def _write_jsonl(file: IO[bytes], form: Form) -> Iterator[Put]:
    def put(actions: np.ndarray) -> None:
        file.writelines((as_line(action, form) + "\n").encode() for action in actions)

    yield put


@contextlib.contextmanager
def _write_parquet(file: IO[bytes], form: Form) -> Iterator[Put]:
    """Collect all actions in memory, and write them at the end."""
    polars = require("polars", "data")
    parts: list[np.ndarray] = []
    yield parts.append
    rows = np.concatenate([np.zeros((0, *form.shape), form.dtype), *parts])
    columns = rows.reshape(len(rows), form.size)
    frame: Any = {name: columns[:, at] for at, name in enumerate(_columns(form))}
    if form.names is not None:
        frame[NAME] = form.named(rows)
    polars.DataFrame(frame).write_parquet(file)


def _columns(form: Form) -> list[str]:
    """Return the columns' names: `action`, numbered if an action is several numbers."""
    return ["action"] if not form.shape else [f"action_{at}" for at in range(form.size)]


WRITERS: dict[str, Callable[[IO[bytes], Form], contextlib.AbstractContextManager[Put]]] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
"""Writers by suffix."""
