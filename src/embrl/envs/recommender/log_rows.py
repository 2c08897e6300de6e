"""Rows of purchase logs, checked: identifiers, numbers, and what is no purchase."""

import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from embrl.core.errors import EmbrlError, require
from embrl.envs.recommender import log_values
from embrl.envs.recommender.log_files import Table
from embrl.envs.recommender.log_format import LogFormat
from embrl.envs.recommender.log_layouts import Columns

if TYPE_CHECKING:
    import polars as pl

NEEDED = {
    "time": "a time such as 2019-10-01 00:00:00 UTC",
    "order": "an integer",
    "price": "a finite number",
}
"""What values must be, in messages."""


def checked_rows(
    table: Table,
    raw: "pl.DataFrame",
    columns: Columns,
    written: LogFormat,
    left_out: dict[str, int],
) -> "pl.DataFrame":
    """Return the purchases as identifiers and numbers; count in `left_out` what is no purchase.

    Raises:
        EmbrlError: If a value is missing or bad; the message names the first such row.
    """
    pl = require("polars", "data")
    names = columns.names
    for role in ("user", "item"):
        raw = raw.with_columns(
            log_values.identifiers(f"{table.path}: {names[role]}", raw[role]).alias(role)
        )
        if table.kind.startswith("JSON"):
            _refuse_nested(table, raw, role, names[role])
        left_out[f"rows without {'an' if role == 'item' else 'a'} {role}"] = raw[role].null_count()
        raw = raw.drop_nulls(role)
    returned = _returned(raw)
    if written.returns == "keep":
        returned = pl.repeat(False, len(raw), eager=True)
    left_out["returns"] = int(returned.sum())
    if written.returns == "drop":
        raw, returned = raw.filter(~returned), returned.filter(~returned)
    nothing = pl.repeat(0, len(raw), dtype=pl.Int64, eager=True)
    when = pl.DataFrame({"ts": nothing, "fraction": nothing})
    if "time" in names:
        when = log_values.times(f"{table.path}: {names['time']}", raw["time"], written.time_format)
    numbers = {
        role: log_values.prices(raw[role]) for role in ("price", "order") if role in raw.columns
    }
    parsed = {"time": when["ts"], **numbers}
    for role, values in parsed.items():
        if role != "time":  # returns need no price
            parsed[role] = values.set(returned & values.is_null(), 0.0)
    _refuse_bad(table, raw, names, parsed)
    constant = columns.constant_price
    frame = pl.DataFrame(
        {
            "row": raw["row"],
            "user": raw["user"],
            "ts": when["ts"],
            "fraction": when["fraction"],
            "line": parsed.get("order", nothing),
            "item": raw["item"],
            "price": parsed.get("price", pl.repeat(constant or 0.0, len(raw), eager=True)),
        }
    )
    if returned.any():
        cancelled = _cancelled(frame.with_columns(returned.alias("returned")))
        left_out["purchases that were returned"] = len(cancelled)
        frame = frame.filter(~returned & ~frame["row"].is_in(cancelled))
    return frame


def _refuse_nested(table: Table, raw: "pl.DataFrame", role: str, name: str) -> None:
    """Raise an EmbrlError about the first identifier that is a list or an object in JSON."""
    likely = raw.filter(raw[role].str.contains(r"^[\[{]").fill_null(value=False)).head(1)
    for row, value in likely.select("row", role).iter_rows():
        with contextlib.suppress(ValueError):  # text that looks like it
            if isinstance(json.loads(value), list | dict):
                raise EmbrlError(
                    f"{table.path}, {table.place(row)}: {name} must be text or a number, got "
                    f"{value[:60]}; write a row for each {role}, with its identifier alone"
                )


def _returned(raw: "pl.DataFrame") -> "pl.Series":
    """Return which rows are returns: of a negative quantity, or of an invoice such as C536379."""
    pl = require("polars", "data")
    found = pl.repeat(False, len(raw), eager=True)
    if "quantity" in raw.columns:
        found |= (log_values.prices(raw["quantity"]) < 0).fill_null(value=False)
    if "invoice" in raw.columns:
        invoice = raw["invoice"].cast(pl.String).str.strip_chars()
        found |= invoice.str.contains(r"^[cC]\d+").fill_null(value=False)
    return found


def _cancelled(frame: "pl.DataFrame") -> list[int]:
    """Return the rows of purchases that were returned: for each return, the latest one before."""
    pl = require("polars", "data")
    pairs = frame.filter(pl.col("returned")).select("user", "item").unique()
    some = frame.join(pairs, on=["user", "item"], how="semi")
    kept: dict[tuple[str, str], list[int]] = {}
    found = []
    for row in some.sort("ts", "fraction", "line", "row").iter_rows(named=True):
        before = kept.setdefault((row["user"], row["item"]), [])
        if not row["returned"]:
            before.append(row["row"])
        elif before:
            found.append(before.pop())
    return found


def _refuse_bad(
    table: Table,
    raw: "pl.DataFrame",
    names: Mapping[str, str],
    parsed: Mapping[str, "pl.Series"],
) -> None:
    """Raise an EmbrlError about the first row with a bad value."""
    bad = [
        (int(nulls[0]), role)
        for role, values in parsed.items()
        if len(nulls := values.is_null().arg_true())
    ]
    if bad:
        index, role = min(bad, key=lambda found: found[0])
        value = raw[role][index]
        given = "nothing" if value is None else repr(str(value))
        place = table.place(raw["row"][index])
        raise EmbrlError(
            f"{table.path}, {place}: {names[role]} must be {NEEDED[role]}, got {given}"
        )
