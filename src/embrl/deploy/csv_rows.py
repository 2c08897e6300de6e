"""Rows of numbers in CSV files as they come: any usual separator, with a header or without."""

import csv
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from embrl.core.errors import EmbrlError

Header = Literal["auto", "yes", "no"]
"""Whether the first line is a header; auto: if none of it is a number and all of it are names."""

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", " ": "space"}
"""Separators that are found out, by how well they split lines into as many numbers as are needed;
of two that are as good the first one counts."""

SAMPLE = 50
"""Lines at the beginning that show how a file is written."""

_MISSING = ("na", "n/a", "nan", "nat", "null", "none", "inf", "infinity", "true", "false")
"""Words, in lower case, that stand for a value and name no column."""

_NAME = re.compile(r"[^\W\d].*", re.DOTALL)


def rows_of(lines: Iterable[str], size: int, header: Header = "auto") -> Iterator[list[float]]:
    """Yield the rows of a CSV file, which has at least one.

    Blank lines are passed over. That a row has `size` numbers is left to the caller to check.

    Args:
        lines: Of the file, with their ends.
        size: Numbers in a row, by which the separator is found out.
        header: Whether the first line is a header.

    Raises:
        EmbrlError: If a cell is no number (the message names row, line and cell), it is not clear
            whether the first line is a header, or there is no row.
    """
    lines = iter(lines)
    sample = list(itertools.islice(lines, SAMPLE))
    separator = _separator([line for line in sample if line.strip()], size)
    number = 0
    first = True
    for line, cells in _cells(itertools.chain(sample, lines), separator):
        if first:
            first = False
            if header == "yes" or (header == "auto" and _is_header(cells, sample, separator)):
                if len(cells) != size:
                    raise EmbrlError(
                        f"line {line}, the header, must name {size} columns, got {len(cells)}, "
                        f"separated by {SEPARATORS[separator]}: {_short(' | '.join(cells))}"
                    )
                continue
        yield _numbers(cells, number, line)
        number += 1
    if not number:
        raise EmbrlError(f"it must have at least one row of {size} numbers, got none")


def _separator(lines: Sequence[str], size: int) -> str:
    def score(separator: str) -> tuple[int, int]:
        counts = [len(cells) for _, cells in _cells(lines, separator)]
        return sum(count == size for count in counts), max(counts, default=0)

    return max(SEPARATORS, key=score)


def _cells(lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line that is not blank, from 1, and its cells without spaces."""
    if separator == " ":
        rows = enumerate(map(str.split, lines), start=1)
    else:
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        rows = ((reader.line_num, cells) for cells in reader)
    for line, cells in rows:
        found = [cell.strip() for cell in cells]
        if len(found) > 1 or any(found):
            yield line, found


def _is_header(cells: Sequence[str], sample: Sequence[str], separator: str) -> bool:
    """Return whether the first line is a header.

    Raises:
        EmbrlError: If it may be one that numbers the columns, as pandas writes them.
    """
    counted = [str(at) for at in range(len(cells))]
    others = [cells for _, cells in _cells(sample, separator)][1:]
    if (
        len(cells) > 1
        and list(cells) == counted
        and others
        and all("." in cell for row in others for cell in row)
    ):
        raise EmbrlError(
            f"its first line, {' '.join(counted)}, must be a header or a row; say which with "
            "--header yes or --header no"
        )
    return all(_NAME.fullmatch(cell) and cell.lower() not in _MISSING for cell in cells)


def _numbers(cells: Sequence[str], number: int, line: int) -> list[float]:
    try:
        found = [float(cell) for cell in cells]
        if not any("_" in cell for cell in cells):
            return found
    except ValueError:
        pass
    at = next(at for at, cell in enumerate(cells) if not _is_number(cell))
    given = _short(cells[at]) if cells[at] else "nothing"
    advice = "; write decimals with a point" if re.fullmatch(r"[-+]?\d+,\d+", cells[at]) else ""
    raise EmbrlError(
        f"row {number} (line {line}), column {at} must be a number, got {given}{advice}"
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # which only Python takes for a number


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
