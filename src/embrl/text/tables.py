"""Tables of texts in CSV files."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from embrl.core.errors import EmbrlError

TEXT = "text"
"""Column of texts, where a file has several columns."""

LARGEST_CELL = 2**24
"""Characters of a cell, at most."""


class TextRow(NamedTuple):
    """A row of a table: its number, from 1 and without the header, and its cells by column."""

    number: int
    cells: dict[str, str]


def read_rows(path: Path, columns: Sequence[str], what: str) -> Iterator[TextRow]:
    """Yield the rows of a CSV file with a header.

    Args:
        path: the file.
        columns: names of columns that it must have.
        what: the setting that names the file, for messages.

    Raises:
        EmbrlError: the file is missing, is no text, lacks a column, or a row is short; the
            message has the row's number.
    """
    text = _content(path, what)
    csv.field_size_limit(LARGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        if missing := [name for name in columns if name not in header]:
            found = ", ".join(header) or "nothing"
            raise EmbrlError(
                f"{what} {path} must have columns {', '.join(columns)}, got {found}; "
                f"name {', '.join(missing)} in the first line"
            )
        places = {name: header.index(name) for name in columns}
        number = 0
        for cells in reader:
            if not cells:
                continue
            number += 1
            if len(cells) <= max(places.values()):
                raise EmbrlError(
                    f"{what} {path} must have {len(header)} cells in each row, got {len(cells)} "
                    f"in row {number} (line {reader.line_num})"
                )
            yield TextRow(number, {name: cells[at] for name, at in places.items()})
    except csv.Error as error:
        line = reader.line_num
        raise EmbrlError(f"{what} {path} must be a CSV file, got {error} in line {line}") from error


def read_texts(path: Path, what: str) -> list[str]:
    """Return the texts in a CSV file: its only column, or the one called `text`.

    A file of one column may have a header, `text`, or none.

    Raises:
        EmbrlError: there is no such column, or a text is empty; the message has its row.
    """
    text = _content(path, what)
    rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    if any(len(row) > 1 for row in rows):
        found = [(row.number, row.cells[TEXT]) for row in read_rows(path, [TEXT], what)]
    else:
        header = bool(rows) and rows[0][0].strip().lower() == TEXT
        found = list(enumerate((row[0] for row in rows[header:]), start=1))
    for number, each in found:
        if not each.strip():
            raise EmbrlError(f"{what} {path} must have a text in each row, got none in {number}")
    if not found:
        raise EmbrlError(f"{what} {path} must have a text in each row, got no rows")
    return [each for _, each in found]


def _content(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise EmbrlError(f"{what}: {path} does not exist") from error
    except UnicodeDecodeError as error:
        raise EmbrlError(f"{what}: {path} must be text in UTF-8, got {error.reason}") from error
    except OSError as error:
        raise EmbrlError(f"{what}: {path} cannot be read: {error.strerror or error}") from error


def header_of(path: Path, what: str) -> list[str]:
    """Return the names in the first line of a CSV file.

    Raises:
        EmbrlError: the file is missing, or is no text.
    """
    lines = csv.reader(io.StringIO(_content(path, what), newline=""))
    return [name.strip() for name in next(lines, [])]
