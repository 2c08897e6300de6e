"""Values of purchase logs as polars reads them, turned into identifiers, times and prices.

What cannot be read becomes null; `embrl.envs.recommender.purchase_log` names the row.
"""

import re
from typing import TYPE_CHECKING, Any

from embrl.core.errors import EmbrlError, SettingError, require

if TYPE_CHECKING:
    import polars as pl

MISSING = ("", "nan", "null", "none", "na", "n/a", "<na>", "nat", "\\n")
"""Texts, in lower case, that stand for a missing identifier."""

UNITS = ("s", "ms", "us", "ns")
"""Time formats that are counts from a start. Only the order of times is used, so all read alike."""

IN_FILE = "none"
"""Time format of a log without times, whose rows are in order."""

ISO = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
"""Formats that may be mixed in one log."""

_CLOCKS = (" %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p", "")
_DATES = (
    *("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%Y/%m/%d", "%d.%m.%Y", "%d.%m.%y"),
    *("%d-%m-%Y", "%m-%d-%Y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%B %d, %Y", "%Y%m%d"),
)
FORMATS = tuple(date + clock for date in _DATES for clock in _CLOCKS)
"""Formats of which one must fit all times of a log."""

SAMPLE = 10
"""Times that show whether a format may fit all of them."""

_ZONE = r"\s*(?:UTC|GMT|Z)$"
_OFFSET = r"(\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*([+-])(\d\d):?(\d\d)$"


def identifiers(name: str, column: "pl.Series") -> "pl.Series":
    """Return a column as text, null where it is missing.

    Surrounding spaces are removed, and numbers that are whole lose a `.0`, as pandas writes it
    behind integers in a column with gaps.

    Args:
        name: Name of the log and the column, for messages.
        column: The identifiers.

    Raises:
        EmbrlError: If it is neither text nor numbers.
    """
    pl = require("polars", "data")
    dtype: Any = column.dtype
    if dtype.is_float():
        column = column.set(~column.is_finite().fill_null(value=True), None)
        whole = column.cast(pl.Int64, strict=False)
        if (whole.cast(pl.Float64) == column.cast(pl.Float64)).all():
            column = whole
    elif dtype.is_nested() or dtype in (pl.Object, pl.Boolean):
        raise EmbrlError(f"{name} must be text or numbers, got {dtype}")
    text = column.cast(pl.String, strict=False).str.strip_chars()
    text = text.set(text.str.to_lowercase().is_in(MISSING).fill_null(value=False), None)
    whole = r"^\d+\.0+$"
    if text.head(100).str.contains(whole).all() and text.str.contains(whole).all():
        text = text.str.replace(r"\.0+$", "")
    return text


def prices(column: "pl.Series") -> "pl.Series":
    """Return a column as float64, null where it is no finite number.

    Signs of currencies are left out, and a comma is taken for a decimal point where all values are
    written like that.
    """
    pl = require("polars", "data")
    found = column.cast(pl.Float64, strict=False)
    if column.dtype == pl.String and found.null_count() > column.null_count():
        text = column.str.strip_chars().str.replace(r"^([-+]?)\s*[$€£¥]\s*", "$1")
        text = text.str.replace(r"\s*(?:[$€£¥]|EUR|USD|GBP)$", "")
        if text.str.contains(",").any() and text.str.contains(r"^[-+]?\d+(?:,\d{1,2})?$").all():
            text = text.str.replace(",", ".", literal=True)
        # 1,234.50 is a number, too.
        text = text.str.replace_all(r"(\d),(\d{3})\b", "$1$2")
        found = text.cast(pl.Float64, strict=False)
    return found.set(~found.is_finite().fill_null(value=True), None)


def times(name: str, column: "pl.Series", written: str = "") -> "pl.DataFrame":
    """Return times as two columns of numbers to sort by, null where they cannot be read.

    Args:
        name: Name of the log and the column, for messages.
        column: The times.
        written: One of `UNITS`, a format of strptime, or empty: it is found out.

    Returns:
        `ts`, and `fraction` of it that does not fit: nanoseconds.

    Raises:
        EmbrlError: If the column has no times, or it is not clear what is day and what is month.
    """
    pl = require("polars", "data")
    dtype: Any = column.dtype
    exact = bool(written) and written not in UNITS
    if dtype == pl.String or (exact and dtype.is_integer()):
        text = column.cast(pl.String).str.strip_chars()
        if exact:
            return _parsed(text, written)
        number = r"^[-+]?\d+(?:\.\d*)?$"
        if text.str.contains(number).all() or written:
            return _numbers(text.set(~text.str.contains(number).fill_null(value=False), None))
        return _iso_or_one_format(name, text)
    if dtype == pl.Time or not (dtype.is_numeric() or dtype.is_temporal()):
        raise EmbrlError(f"{name} must be times with a date, as text or numbers, got {dtype}")
    if dtype.is_float():
        column = column.set(~column.is_finite().fill_null(value=True), None)
    elif dtype.is_decimal():
        column = column.cast(pl.Float64)
    else:
        column = column.to_physical()
    return _two(column)


def _two(ts: "pl.Series", fraction: "pl.Series | None" = None) -> "pl.DataFrame":
    pl = require("polars", "data")
    if fraction is None:
        fraction = pl.repeat(0, len(ts), dtype=pl.Int64, eager=True)
    return pl.DataFrame({"ts": ts, "fraction": fraction})


def _numbers(text: "pl.Series") -> "pl.DataFrame":
    """Return numbers with their fraction in units of 1e-9, without rounding either."""
    pl = require("polars", "data")
    whole = text.str.extract(r"^([-+]?\d+)").cast(pl.Int64, strict=False)
    digits = text.str.extract(r"\.(\d{1,9})").fill_null("0").str.pad_end(9, "0")
    return _two(whole, digits.cast(pl.Int64))


def _iso_or_one_format(name: str, text: "pl.Series") -> "pl.DataFrame":
    known = text.drop_nulls()
    if len(known) == 0 or _iso(known.head(SAMPLE))["ts"].count():
        found = _iso(text)
        if found["ts"].null_count() == text.null_count():
            return found
    fitting = [written for written in FORMATS if _fits(known, written)]
    if not fitting:  # then the first row that does not fit what most are written in is named
        some = known.head(1000)
        best = min(FORMATS, key=lambda written: _parsed(some, written)["ts"].null_count())
        most = _parsed(some, best)["ts"].null_count() < _iso(some)["ts"].null_count()
        return _parsed(text, best) if most else _iso(text)
    first = _parsed(text, fitting[0])
    for other in fitting[1:]:
        if not _parsed(text, other).equals(first):
            raise SettingError(
                "env.time-format",
                f"given where days and months cannot be told apart, as in {known[0]!r} of {name}",
                "none",
                f"{fitting[0]!r} or {other!r}",
            )
    return first


def _fits(known: "pl.Series", written: str) -> bool:
    """Return whether all times fit a format; most formats do not fit the first ones."""
    for part in (known.head(SAMPLE), known):
        if _parsed(part, written)["ts"].null_count():
            return False
    return bool(len(known))


def _parsed(text: "pl.Series", written: str) -> "pl.DataFrame":
    pl = require("polars", "data")
    if "%z" in written or "%Z" in written:
        frame = text.str.to_datetime(written, strict=False, time_unit="us", time_zone="UTC")
        return _two(frame.to_physical(), _nanoseconds(text))
    try:
        ts = text.str.to_datetime(written, strict=False, time_unit="us").to_physical()
    except pl.exceptions.PolarsError as error:
        raise SettingError(
            "env.time-format",
            f"{', '.join(UNITS)}, {IN_FILE} or a format such as '%d.%m.%Y %H:%M'",
            repr(written),
        ) from error
    return _two(ts, _nanoseconds(text))


def _iso(text: "pl.Series") -> "pl.DataFrame":
    """Return times such as 2019-10-01 09:30:00, with zones, without seconds or without a clock."""
    pl = require("polars", "data")
    written = [pl.col("text").str.to_datetime(f, strict=False, time_unit="us") for f in ISO]
    ts = pl.DataFrame({"text": text}).select(pl.coalesce(written).to_physical()).to_series()
    if ts.null_count() == text.null_count():
        return _two(ts, _nanoseconds(text))
    plain = text.str.replace(_ZONE, "").str.replace(r"^(\d{4}-\d\d-\d\d)[Tt_]", "$1 ")
    plain = plain.str.replace(r"(:\d\d),(\d+)", "$1.$2")
    parts = plain.str.extract_groups(_OFFSET)
    sign, hours, minutes = (parts.struct.field(str(at)) for at in (2, 3, 4))
    offset = (hours.cast(pl.Int64) * 60 + minutes.cast(pl.Int64)) * 60_000_000
    offset = (offset * (1 - 2 * (sign == "-").cast(pl.Int64))).fill_null(0)
    plain = plain.str.replace(_OFFSET, "$1")
    frame = pl.DataFrame({"text": plain, "offset": offset})
    ts = frame.select(pl.coalesce(written).to_physical() - pl.col("offset")).to_series()
    return _two(ts, _nanoseconds(plain))


def _nanoseconds(text: "pl.Series") -> "pl.Series":
    """Return what a microsecond cannot hold."""
    pl = require("polars", "data")
    longest: Any = text.str.len_bytes().max()
    if longest is None or longest <= len("2019-10-01 09:30:00.000000"):
        return pl.repeat(0, len(text), dtype=pl.Int64, eager=True)
    digits = text.str.extract(r"\.\d{6}(\d{1,3})")
    return digits.fill_null("0").str.pad_end(3, "0").cast(pl.Int64)


def looks_like_format(written: str) -> bool:
    """Return whether a text is a format of strptime."""
    return bool(re.search(r"%[a-zA-Z]", written))
