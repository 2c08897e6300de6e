"""Files of purchase logs: separators, headers and encodings, found out and read by polars."""

import contextlib
import csv
import dataclasses
import functools
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embrl.core.errors import EmbrlError, SettingError, require
from embrl.envs.recommender.log_layouts import listed

if TYPE_CHECKING:
    import polars as pl

SEPARATORS = ("\t", "::", ";", "|", ",")
"""Separators that are found out; of two that are as likely, the first one counts."""

SEPARATOR_NAMES = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}

ROW = "__row__"
"""Column of the number of each row, from 0."""

HEAD = 1 << 16
"""Bytes at the beginning of a file that show how it is written."""

SAMPLE = 50
"""Lines at the beginning of a file that show how it is written."""

_NEVER = "\x01"
"""Separator that splits nothing: lines whose separator is too long for polars stay whole."""

_MORE = "__more__"
"""What such a line has beyond its columns."""

_VALUE = re.compile(r"[-+]?\d[\d.,:eE/\-+ TZ]*")
"""Numbers and times, which are no names of columns."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table in a file, before it is read."""

    path: Path
    kind: str
    """`Parquet`, `CSV`, `JSON` (an array) or `JSON lines`."""
    names: tuple[str, ...]
    """Columns; without a header, their numbers from 1."""
    first: tuple[str, ...] | None = None
    """Values of the first row of a CSV without a header; else None."""
    separator: str = ""
    """Of a CSV."""
    quoted: bool = True
    """True if values of a CSV may stand in quotes."""

    @property
    def header(self) -> bool:
        """True if the first line has the names of the columns."""
        return self.first is None

    def place(self, row: int) -> str:
        """Return where a row stands, as editors count: from 1, with the header of a CSV.

        (A line break inside quotes counts as none.)
        """
        if self.kind == "CSV":
            return f"line {row + 1 + self.header}"
        return f"row {row + 1}"

    def scan(self, columns: Mapping[str, str], lossy: bool = False) -> "pl.LazyFrame":
        """Return `ROW` and these columns, all of them text unless the file is Parquet.

        Args:
            columns: Names in the file by new names.
            lossy: True to put a mark in the place of what is not UTF-8.
        """
        pl = require("polars", "data")
        wanted = {new: pl.col(old) for new, old in columns.items()}
        match self.kind:
            case "Parquet":
                scan = pl.scan_parquet(self.path, row_index_name=ROW, glob=False)
            case "JSON":
                schema = dict.fromkeys(columns.values(), pl.String)
                scan = pl.read_json(self.path, schema=schema).lazy().with_row_index(ROW)
            case "JSON lines":
                schema = dict.fromkeys(columns.values(), pl.String)
                scan = pl.scan_ndjson(self.path, schema=schema, row_index_name=ROW)
            case _:
                scan = self._scan_csv(lossy)
        return scan.select(ROW, **wanted)

    def _scan_csv(self, lossy: bool) -> "pl.LazyFrame":
        pl = require("polars", "data")
        if len(self.separator) == 1:
            return _csv(
                self.path,
                self.separator,
                names=None if self.header else self.names,
                quoted=self.quoted,
                lossy=lossy,
            )
        scan = _csv(self.path, _NEVER, names=["line"], quoted=False, lossy=lossy)
        if self.header:
            scan = scan.slice(1).with_columns(pl.col(ROW) - 1)
        line = pl.col("line").str.strip_prefix("\ufeff")
        parts = line.str.splitn(self.separator, len(self.names) + 1).struct.rename_fields(
            [*self.names, _MORE]
        )
        return scan.select(ROW, parts.alias("parts")).unnest("parts")


def _csv(
    path: Path,
    separator: str,
    *,
    names: Sequence[str] | None,
    quoted: bool = True,
    lossy: bool = False,
) -> "pl.LazyFrame":
    """Return the rows of a CSV as text: one bad price must not turn its column into another type.

    Args:
        path: The file.
        separator: One character.
        names: Names of the columns, of a file without a header; None: it has one.
        quoted: True if values may stand in quotes.
        lossy: True to put a mark in the place of what is not UTF-8.
    """
    pl = require("polars", "data")
    return pl.scan_csv(
        path,
        separator=separator,
        quote_char='"' if quoted else None,
        has_header=names is None,
        infer_schema=False,
        schema=None if names is None else dict.fromkeys(names, pl.String),
        encoding="utf8-lossy" if lossy else "utf8",
        row_index_name=ROW,
        glob=False,
    )


def open_table(path: Path, separator: str = "", header: str = "auto") -> Table:
    """Find out how a table is written.

    Args:
        path: The file: CSV or JSON (also gzipped), or Parquet.
        separator: Separator of a CSV, itself or its name; empty: it is found out.
        header: yes or no, if a CSV has a header or not; auto: it is found out.

    Raises:
        EmbrlError: If it is no such file, or has another separator.
        OSError: If it cannot be read.
    """
    head = _head(path)
    if head.startswith(b"PAR1") or path.suffix == ".parquet":
        if not head.startswith(b"PAR1"):
            raise EmbrlError(f"{path} must be an undamaged CSV or Parquet file")
        return Table(path, "Parquet", tuple(_parquet_columns(path)))
    lines = _lines(path, head)
    if lines and lines[0].lstrip()[:1] in ("{", "["):
        return _json_table(path, lines)
    return _csv_table(path, lines, separator, header)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        magic = file.read(2)
    with gzip.open(path, "rb") if magic == b"\x1f\x8b" else path.open("rb") as file:
        try:
            return file.read(HEAD)
        except (EOFError, zlib.error) as error:
            raise EmbrlError(f"{path} cannot be read: it is damaged") from error


def _parquet_columns(path: Path) -> list[str]:
    pl = require("polars", "data")
    return list(pl.scan_parquet(path, glob=False).collect_schema())


def _lines(path: Path, head: bytes) -> list[str]:
    """Return the first lines of a text file that are not blank.

    Raises:
        EmbrlError: If it is no text, or empty.
    """
    for magic, what in (
        (b"PK", "a zip archive or an Excel file; unpack it, or save the table as CSV"),
        (b"\xff\xfe", "UTF-16; save it as UTF-8, or as Parquet"),
        (b"\xfe\xff", "UTF-16; save it as UTF-8, or as Parquet"),
    ):
        if head.startswith(magic):
            raise EmbrlError(f"{path} must be a CSV, JSON or Parquet file, got {what}")
    if b"\0" in head:
        raise EmbrlError(f"{path} must be an undamaged CSV or Parquet file")
    if b"\r" in head and b"\n" not in head:
        raise EmbrlError(f"{path} must have lines that end in \\n, got \\r; save it anew")
    text = head.decode("utf-8-sig", errors="replace")
    # The last line may be cut; of a file of one line it is all there is.
    lines = text.splitlines() if len(head) < HEAD else text.splitlines()[:-1] or [text]
    found = [line for line in lines if line.strip()][:SAMPLE]
    if not found:
        raise EmbrlError(f"{path} is empty; give a purchase log")
    return found


def _json_table(path: Path, lines: Sequence[str]) -> Table:
    pl = require("polars", "data")
    if lines[0].lstrip().startswith("["):
        return Table(path, "JSON", tuple(pl.read_json(path).columns))
    names: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        try:
            found = json.loads(line)
        except ValueError as error:
            if number == len(lines):  # cut off
                break
            raise EmbrlError(f"{path}, line {number} must be JSON: {error}") from error
        if not isinstance(found, dict):
            raise EmbrlError(f"{path}, line {number} must be a JSON object, got {line[:40]}")
        names |= dict.fromkeys(found)
    return Table(path, "JSON lines", tuple(names))


def _csv_table(path: Path, lines: Sequence[str], separator: str, header: str) -> Table:
    likely = max(SEPARATORS, key=lambda each: _score(lines, each))
    wanted = SEPARATOR_NAMES.get(separator, separator.replace("\\t", "\t"))
    if wanted and len(_cells(lines[0], wanted)) == 1 and len(_cells(lines[0], likely)) > 1:
        raise SettingError(
            "env.separator", f"{shown(likely)} to split {lines[0][:60]!r}", shown(wanted)
        )
    chosen = wanted or likely
    first = _cells(lines[0], chosen)
    named = header == "yes"
    if header == "auto":
        named = not any(_VALUE.fullmatch(cell.strip()) for cell in first)
    quoted = chosen != "\t" or lines[0].startswith('"')
    if not named:
        numbers = tuple(str(at) for at in range(1, len(first) + 1))
        return Table(path, "CSV", numbers, tuple(first), chosen, quoted)
    if len(chosen) == 1:
        found = _csv(path, chosen, names=None, quoted=quoted, lossy=True).collect_schema()
        first = [name for name in found if name != ROW]
    return Table(path, "CSV", tuple(first), None, chosen, quoted)


def _cells(line: str, separator: str) -> list[str]:
    if len(separator) > 1:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return line.split(separator)


def _score(lines: Sequence[str], separator: str) -> tuple[bool, int, float]:
    """Return how likely a separator is: if it splits lines, into how many, and how many alike."""
    counts = [len(_cells(line, separator)) for line in lines]
    alike = sum(count == counts[0] for count in counts) / len(counts)
    return counts[0] > 1 and alike >= 0.5, counts[0], alike


def shown(separator: str) -> str:
    """Return the name of a separator for messages."""
    names = {value: name for name, value in SEPARATOR_NAMES.items()}
    return names.get(separator, repr(separator))


def in_folder(path: Path, files: Sequence[str]) -> Path:
    """Return the one file of a folder that is a known log.

    Raises:
        EmbrlError: If there is none, or several.
    """
    found = [path / name for name in files if (path / name).is_file()]
    if len(found) != 1:
        got = listed([file.name for file in found]) or "none of those that are known"
        raise EmbrlError(
            f"env.data must be a file, or a folder with one known log, got {path} with {got}; "
            "name the file"
        )
    return found[0]


def sha256(path: Path) -> str:
    """Return the checksum of a file; it is not computed twice for the same file."""
    state = path.stat()
    return _sha256(str(path.resolve()), state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256(path: str, size: int, changed: int) -> str:
    del size, changed
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def explain(path: Path, message: str, table: Table | None) -> str:
    """Explain in one line what is wrong with a file that polars refused with `message`."""
    if "utf-8" in message or "utf8" in message:
        return "is not UTF-8; save it as UTF-8, or as Parquet"
    if "empty CSV" in message:
        return "is empty; give a purchase log"
    if "more fields" in message and table is not None:
        line = _long_line(path, table)
        what = "header" if table.header else "first line"
        return f"has more fields than its {what} on line {line}; quote text with separators"
    if "parsing line" in message or "NDJSON" in message:
        return "has a line that is no JSON object; write one object a line"
    if "m:1" in message:
        return "has several partners for a row in env.join; give a table with one row for each"
    return f"cannot be read: {message.partition(chr(10))[0]}"


def _long_line(path: Path, table: Table) -> int | str:
    """Return the first line of a CSV with more fields than its first one, or ? if not found."""
    if len(table.separator) > 1:
        return "?"
    with path.open("rb") as file:
        opened: Any = gzip.open if file.read(2) == b"\x1f\x8b" else open
    quoting = csv.QUOTE_MINIMAL if table.quoted else csv.QUOTE_NONE
    with (
        opened(path, "rt", newline="", encoding="utf-8", errors="replace") as file,
        contextlib.suppress(csv.Error),
    ):
        rows = csv.reader(file, delimiter=table.separator, quoting=quoting)
        for row in rows:
            if len(row) > len(table.names):
                return rows.line_num
    return "?"
