"""Purchase logs in any layout, read into rows of users, items, times and prices."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embrl.core.errors import EmbrlError, SettingError, require
from embrl.envs.recommender import log_files, log_values
from embrl.envs.recommender.log_files import ROW, Table
from embrl.envs.recommender.log_format import LogFormat, LogReport
from embrl.envs.recommender.log_layouts import (
    LAYOUTS,
    PURCHASE_EVENTS,
    ROLES,
    Columns,
    Layout,
    columns_of,
    known_layout,
    listed,
    normalised,
)
from embrl.envs.recommender.log_rows import checked_rows

if TYPE_CHECKING:
    import polars as pl

ALL = "all"
"""Setting of `LogFormat.events` for all rows."""

REPEATED = ("user", "ts", "fraction", "line", "item", "price")
"""Columns in which a row that repeats another one is equal."""

LOSS = "\ufffd"
"""Mark in the place of text that is not UTF-8."""


def load(path: Path, written: LogFormat) -> tuple["pl.DataFrame", LogReport]:
    """Read the purchases of a log, checked.

    Args:
        path: The file, or a folder with one log of a known layout.
        written: How it is written.

    Returns:
        Columns row (from 0, as in the file), user and item (text), ts and fraction (numbers to sort
        by), line and price; and what was read.

    Raises:
        EmbrlError: If the file cannot be read, or a row is bad (the message names it).
    """
    pl = require("polars", "data")
    table = None
    try:
        if path.is_dir():
            path = log_files.in_folder(path, [name for each in LAYOUTS for name in each.files])
        table = log_files.open_table(path, written.separator, written.header)
        return _load(table, written)
    except FileNotFoundError as error:
        raise EmbrlError(f"env.data must be an existing file, got {path}") from error
    except OSError as error:
        reason = error.strerror or error
        raise EmbrlError(f"env.data must be a readable file, got {path}: {reason}") from error
    except pl.exceptions.PolarsError as error:
        what = log_files.explain(path, str(error), table)
        raise EmbrlError(f"{path} {what}") from error
    except pl.exceptions.PanicException as error:  # from damage that polars did not foresee
        raise EmbrlError(f"{path} cannot be read: it is damaged") from error


def _load(table: Table, written: LogFormat) -> tuple["pl.DataFrame", LogReport]:
    if len(table.names) == 1:
        raise EmbrlError(
            f"{table.path} is one column, {table.names[0][:60]!r}, so its separator is none of "
            f"{', '.join(map(log_files.shown, log_files.SEPARATORS))}; give it as env.separator"
        )
    layout = known_layout(table.names, table.first)
    other = _other(table, layout, written)
    names = list(table.names)
    if other is not None:
        names += [name for name in other.names if name not in names]
    columns = _complete(table, columns_of(str(table.path), names, layout, written.columns), written)
    events, skipped = _events(table, columns, written)
    raw = _rows(table, other, columns.names, events)
    left_out = {"rows of other events": skipped}
    if not len(raw):
        what = "rows"
        if events:
            what = f"row whose {columns.names['event']} is {' or '.join(map(str, events))}"
        raise EmbrlError(f"{table.path} has no {what}; give a log with purchases")
    if other is not None:
        left_out[f"rows without a partner in {other.path.name}"] = int(raw["lone"].sum())
        raw = raw.filter(~raw["lone"])
    frame = checked_rows(table, raw, columns, written, left_out)
    duplicates = len(frame) - frame.select(REPEATED).n_unique() if len(frame) else 0
    if written.duplicates == "drop" and duplicates:
        left_out["that repeat an earlier row"], duplicates = duplicates, 0
        frame = frame.unique(REPEATED, keep="first", maintain_order=True)
    files = [table.path] if other is None else [table.path, other.path]
    report = LogReport(
        {str(each): log_files.sha256(each) for each in files},
        columns.layout,
        {role: columns.names[role] for role in ROLES if role in columns.names},
        columns.constant_price,
        len(frame),
        left_out,
        duplicates,
    )
    return frame, report


def _other(table: Table, layout: Layout | None, written: LogFormat) -> Table | None:
    """Return the table that is joined, if there is one."""
    if written.join:
        path = Path(written.join)
        if not path.is_file() and (table.path.parent / path).is_file():
            path = table.path.parent / path
        if not path.is_file():
            raise SettingError("env.join", "an existing file", path)
    elif layout is not None and layout.join:
        lacking = {normalised(name) for name in layout.columns.values()}
        if lacking <= {normalised(name) for name in table.names}:
            return None  # joined before
        beside = [table.path.parent / name for name in layout.join]
        path = next((each for each in beside if each.is_file()), None)
        if path is None:
            raise EmbrlError(
                f"{table.path} has the items of {layout.name}'s orders, without users; put "
                f"{layout.join[0]} beside it, or name that file with env.join"
            )
    else:
        return None
    other = log_files.open_table(path)
    if not set(table.names) & set(other.names):
        raise SettingError(
            "env.join",
            f"a table with a column of {table.path}, which has {listed(table.names)}",
            f"{path} with {listed(other.names)}",
        )
    return other


def _complete(table: Table, columns: Columns, written: LogFormat) -> Columns:
    """Return the columns with the constant price, if they say all that is needed.

    Raises:
        EmbrlError: If they do not; the message names the flags.
    """
    found = dict(columns.names)
    constant = columns.constant_price
    if written.constant_price is not None:
        constant = written.constant_price
        found.pop("price", None)
    elif "price" in found:
        constant = None
    if written.time_format == log_values.IN_FILE:
        found.pop("time", None)
    needed = {
        "user": True,
        "item": True,
        "time": written.time_format != log_values.IN_FILE,
        "price": constant is None,
    }
    missing = [role for role, wanted in needed.items() if wanted and role not in found]
    if missing:
        there = listed(table.names)
        if table.first is not None:
            values = [f"{at} ({value})" for at, value in enumerate(table.first, 1)]
            there = f"columns without names, {listed(values)}"
        flags = " ".join(f"{role}=NAME" for role in missing)
        how = f"name them with env.columns {flags}"
        if "price" in missing:
            how += ", or give env.constant-price 1 in place of a price"
        if "time" in missing:
            how += ", or env.time-format none if rows are in order"
        raise EmbrlError(
            f"{table.path} must have columns for {', '.join(missing)}, got {there}; {how}"
        )
    return Columns(columns.layout, found, columns.events, constant)


def _events(
    table: Table, columns: Columns, written: LogFormat
) -> tuple[tuple[Any, ...] | None, int]:
    """Return the values of events that are purchases, and how many rows have others.

    None: all rows are purchases.

    Raises:
        EmbrlError: If no row is a purchase.
    """
    pl = require("polars", "data")
    name = columns.names.get("event")
    if written.events == (ALL,) or (name is None and not written.events):
        return None, 0
    if name is None:
        raise EmbrlError(
            f"env.events must be left out for {table.path}, which has no column of events, got "
            f"{' '.join(written.events)}; name it with env.columns event=NAME"
        )
    counts = (
        table.scan({"event": name}, lossy=True)
        .group_by("event")
        .agg(pl.len().alias("count"))
        .sort("count", "event", descending=True)
        .collect(engine="streaming")
        .drop_nulls("event")
    )
    wanted = {event.lower() for event in written.events or columns.events or PURCHASE_EVENTS}
    is_wanted = counts["event"].cast(pl.String).str.strip_chars().str.to_lowercase().is_in(wanted)
    events = tuple(counts["event"].filter(is_wanted))
    if not events and len(counts):
        there = listed([str(event) for event in counts["event"]], 8)
        raise SettingError(
            "env.events",
            f"values of {name} in {table.path} that are purchases, which are among {there}",
            " or ".join(written.events or columns.events) or "none",
            f"{ALL} takes all rows",
        )
    return events, int(counts["count"].filter(~is_wanted).sum())


def _rows(
    table: Table, other: Table | None, names: Mapping[str, str], events: Sequence[Any] | None
) -> "pl.DataFrame":
    """Return the rows of purchases as they are in the file: `row` and a column for each role."""
    pl = require("polars", "data")

    def collected(lossy: bool) -> "pl.DataFrame":
        mine = {role: name for role, name in names.items() if name in table.names}
        shared = [] if other is None else [name for name in table.names if name in other.names]
        keys = [f"key {at}" for at in range(len(shared))]
        mine |= dict(zip(keys, shared, strict=True))
        scan = table.scan(mine, lossy)
        if events is not None:
            scan = scan.filter(pl.col("event").is_in(list(events)))
        if other is not None:
            theirs = {role: name for role, name in names.items() if name not in table.names}
            theirs |= dict(zip(keys, shared, strict=True))
            text = pl.col(keys).cast(pl.String)
            right = other.scan(theirs, lossy).with_columns(text).rename({ROW: "partner"})
            scan = scan.with_columns(text).join(
                right, on=keys, how="left", validate="m:1", maintain_order="left"
            )
            scan = scan.with_columns(pl.col("partner").is_null().alias("lone"))
        # Streaming drops the other rows and columns as it reads: a log of views and purchases
        # may be far larger than memory.
        found = scan.collect(engine="streaming").rename({ROW: "row"})
        # A blank line of a CSV reads as a row without any value.
        return found.filter(~pl.all_horizontal(pl.col(role for role in names).is_null()))

    try:
        return collected(lossy=False)
    except pl.exceptions.PolarsError as error:
        if "utf" not in str(error):
            raise
        found = collected(lossy=True)
        text = [column for column in found if column.dtype == pl.String]
        if any(column.str.contains(LOSS, literal=True).any() for column in text):
            raise
        return found  # what is no UTF-8 is in columns that are not read
