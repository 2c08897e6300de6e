"""Tables of metadata from files, and the kinds of their columns."""

from pathlib import Path
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError, SettingError, UnknownNameError, require

SUFFIXES = (".csv", ".jsonl", ".parquet")


def kind_of(name: str, values: np.ndarray) -> str:
    """Return the kind of a column.

    Raises:
        EmbrlError: it is of no kind, or values are missing.
    """
    if values.dtype.kind == "O" and all(isinstance(each, str) for each in values):
        return "text"
    kinds = {"b": "flag", "i": "integer", "u": "integer", "f": "number", "U": "text", "T": "text"}
    if values.dtype.kind not in kinds or values.ndim != 1:
        raise SettingError(
            f"column {name}", "numbers, texts, or true and false, with none missing",
            f"{values.dtype}{list(values.shape)}",
        )  # fmt: skip
    return kinds[values.dtype.kind]


def read_table(path: str | Path) -> dict[str, np.ndarray]:
    """Return the columns of a file of type .csv, .jsonl or .parquet.

    In a CSV, whose separator is found by itself, a column is of whole numbers, numbers or flags
    if all of its values are.

    Raises:
        EmbrlError: there is no such file, or it is damaged, or values are missing.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UnknownNameError("kind of file", path.suffix or path.name, SUFFIXES)
    if not path.is_file():
        raise EmbrlError(f"metadata must be a file, got {path}, which does not exist")
    arrow = require("pyarrow", "store")
    try:
        table = _read(path)
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise EmbrlError(f"{path} is damaged: {error}") from error
    found: dict[str, np.ndarray] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise EmbrlError(f"{path}: column {name} must have a value in row {row}, got none")
        if name in found:
            raise EmbrlError(f"{path}: column {name} must be there once, got it twice")
        numbers = arrow.types.is_primitive(column.type) and not arrow.types.is_temporal(column.type)
        values = column.to_pylist()
        found[name] = np.asarray(values if numbers else list(map(str, values)))
    return found


def _read(path: Path) -> Any:
    if path.suffix.lower() == ".parquet":
        return require("pyarrow.parquet", "store").read_table(path)
    if path.suffix.lower() == ".jsonl":
        return require("pyarrow.json", "store").read_json(path)
    csv = require("pyarrow.csv", "store")
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    separator = max(",;\t", key=first.count)
    # A number may stand for a name, so what is missing is nothing at all, not the text NA.
    convert = csv.ConvertOptions(null_values=[""], strings_can_be_null=True)
    return csv.read_csv(path, None, csv.ParseOptions(delimiter=separator), convert)
