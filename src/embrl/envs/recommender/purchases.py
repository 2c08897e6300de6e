"""Purchase logs, read from CSV or Parquet into arrays in order of purchase."""

import contextlib
import csv
import dataclasses
import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embrl.core.errors import EmbrlError, require

if TYPE_CHECKING:
    import polars as pl


class Schema(NamedTuple):
    """Names, in a log, of the columns that are read."""

    user: str
    ts: str
    item: str
    price: str
    event: str | None = None
    """Column of which only the rows `purchase` are read; None: all rows are purchases."""

    def columns(self) -> list[str]:
        """Return the columns that the log must have."""
        return [name for name in self if name is not None]


SCHEMAS = (
    Schema("user", "ts", "item", "price"),
    Schema("user_id", "event_time", "product_id", "price", "event_type"),
)
"""Schemas that are accepted: a plain one, and that of the paper's data (Kechinov 2019)."""

LINE = "line"
"""Optional column: order of purchases with equal timestamps; without it, that in the file."""

TIME_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")


@dataclasses.dataclass(frozen=True, eq=False)
class Purchases:
    """Purchases left after filtering, in order of (user, time, line).

    Items are numbered from the most bought one down; of two bought equally often, the first in the
    log comes first.
    """

    users: np.ndarray
    """User of each purchase, from 0, ascending; int32 `[N]`."""
    items: np.ndarray
    """Item of each purchase; int32 `[N]`."""
    names: tuple[str, ...]
    """Name of each of the K items in the log."""
    prices: np.ndarray
    """Median price of each item; float64 `[K]`."""
    unpriced: int
    """Number of purchases left out because their price was 0 or less."""


def read_purchases(
    path: str | Path,
    *,
    min_purchases: int | None = None,
    top_items: int | None = None,
    min_user_purchases: int = 3,
) -> Purchases:
    """Read a purchase log, CSV (also gzipped) or Parquet, in one of `SCHEMAS`.

    Purchases at a price of 0 or less are gifts and corrections, not sales, and are left out. Items
    are filtered first, then users. Items are never dropped afterwards, so that there are
    `top_items` of them. Without `min_purchases` and `top_items` all items are kept.

    Args:
        path: The log.
        min_purchases: Fewest purchases of an item that is kept.
        top_items: Number of items to keep, the most bought ones.
        min_user_purchases: Fewest purchases, of the items kept, of a user who is kept.

    Raises:
        EmbrlError: If the file cannot be read, a row is bad (the message names it), or no purchase
            is left.
    """
    path = Path(path)
    log = _load(path)
    sold = log.filter(log["price"] > 0)
    if not len(sold):
        raise EmbrlError(f"{path} must have a purchase at a price above 0, got none")
    catalogue = _catalogue(path, sold, min_purchases, top_items)
    return _in_order(path, sold, catalogue, min_user_purchases, unpriced=len(log) - len(sold))


def _catalogue(
    path: Path, sold: "pl.DataFrame", min_purchases: int | None, top_items: int | None
) -> "pl.DataFrame":
    """Return the items that are kept, most bought first, with their number `code` and `price`."""
    pl = require("polars", "data")
    items = (
        sold.group_by("item")
        .agg(pl.len().alias("count"), pl.col("row").min(), pl.col("price").median())
        .sort("count", "row", descending=[True, False])
    )
    if top_items is not None:
        if top_items > len(items):
            raise EmbrlError(
                f"env.top-items must be at most the {len(items)} items of {path}, got {top_items}"
            )
        items = items[:top_items]
    if min_purchases is not None:
        most = items["count"][0]
        items = items.filter(pl.col("count") >= min_purchases)
        if not len(items):
            raise EmbrlError(
                f"env.min-purchases must be at most {most}, the most purchases of an item in "
                f"{path}, got {min_purchases}"
            )
    return items.select("item", "price").with_row_index("code")


def _in_order(
    path: Path,
    sold: "pl.DataFrame",
    catalogue: "pl.DataFrame",
    min_user_purchases: int,
    unpriced: int,
) -> Purchases:
    pl = require("polars", "data")
    kept = sold.drop("price").join(catalogue.select("item", "code"), on="item")
    per_user = pl.len().over("user")
    most = kept.select(per_user.max()).item()
    kept = kept.filter(per_user >= min_user_purchases).sort("user", "ts", LINE, "row")
    if not len(kept):
        raise EmbrlError(
            f"env.min-user-purchases must be at most {most}, the most purchases by a user of the "
            f"{len(catalogue)} items kept of {path}, got {min_user_purchases}"
        )
    return Purchases(
        users=kept["user"].rle_id().to_numpy().astype(np.int32),
        items=kept["code"].to_numpy().astype(np.int32),
        names=tuple(catalogue["item"]),
        prices=catalogue["price"].to_numpy(),
        unpriced=unpriced,
    )


def _load(path: Path) -> "pl.DataFrame":
    """Load the purchases of a log, checked.

    Returns:
        Columns row (from 0, as in the file), user, ts (integer), line, item and price.
    """
    pl = require("polars", "data")
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
        parquet = head.startswith(b"PAR1")
        binary = b"\0" in head and not _gzipped(head)
        if not parquet and (binary or path.suffix == ".parquet"):
            raise EmbrlError(f"{path} must be an undamaged CSV or Parquet file")
        if parquet:
            scan = pl.scan_parquet(path, row_index_name="row", glob=False)
        else:
            # Everything as text: one bad price must not turn its column into another type.
            scan = pl.scan_csv(path, row_index_name="row", infer_schema=False, glob=False)
        types = scan.collect_schema()
        schema = _schema(path, list(types)[1:])
        if schema.event is not None:
            scan = scan.filter(pl.col(schema.event) == "purchase")
        named = {"user": schema.user, "ts": schema.ts, "item": schema.item, "price": schema.price}
        if LINE in types:
            named[LINE] = LINE
        # Streaming drops the other rows and columns as it reads: a log of views and purchases
        # may be far larger than memory.
        raw = scan.select("row", **{to: pl.col(of) for to, of in named.items()}).collect(
            engine="streaming"
        )
        # A blank line of a CSV reads as a row without any value.
        raw = raw.filter(~pl.all_horizontal(pl.col(*named).is_null()))
        if not len(raw):
            what = "rows" if schema.event is None else f"row whose {schema.event} is purchase"
            raise EmbrlError(f"{path} has no {what}; give a log with purchases")
        return _checked(path, raw, named, "row" if parquet else "line")
    except FileNotFoundError as error:
        raise EmbrlError(f"env.data must be an existing file, got {path}") from error
    except OSError as error:
        reason = error.strerror or error
        raise EmbrlError(f"env.data must be a readable file, got {path}: {reason}") from error
    except pl.exceptions.PolarsError as error:
        raise EmbrlError(f"{path} {_explain(path, str(error))}") from error
    except pl.exceptions.PanicException as error:  # from damage that polars did not foresee
        raise EmbrlError(f"{path} cannot be read: it is damaged") from error


def _gzipped(head: bytes) -> bool:
    return head.startswith(b"\x1f\x8b")


def _schema(path: Path, columns: list[str]) -> Schema:
    """Return the schema that `columns` follow."""

    def missing(schema: Schema) -> list[str]:
        return [name for name in schema.columns() if name not in columns]

    nearest = min(SCHEMAS, key=lambda schema: len(missing(schema)))
    if lacking := missing(nearest):
        accepted = " or ".join(", ".join(schema.columns()) for schema in SCHEMAS)
        plural = "s" if len(lacking) > 1 else ""
        raise EmbrlError(
            f"{path} must have the columns {accepted}; it lacks the column{plural} "
            f"{', '.join(lacking)}"
        )
    return nearest


def _checked(path: Path, raw: "pl.DataFrame", named: dict[str, str], place: str) -> "pl.DataFrame":
    """Return `raw` with its columns as numbers.

    Raises:
        EmbrlError: If a value is missing or bad; the message names the first such row.
    """
    pl = require("polars", "data")
    price = _text(raw, "price").cast(pl.Float64, strict=False)
    parsed = raw.select(
        "row",
        pl.col("user").fill_nan(None) if raw["user"].dtype.is_float() else pl.col("user"),
        _time(path, raw, named["ts"]).alias("ts"),
        (_text(raw, LINE).cast(pl.Int64, strict=False) if LINE in named else pl.lit(0)).alias(LINE),
        pl.col("item").cast(pl.String),
        pl.when(price.is_finite()).then(price).alias("price"),
    )
    needed = {
        "user": "a user",
        "ts": "a time such as 2019-10-01 00:00:00 UTC",
        LINE: "an integer",
        "item": "an item",
        "price": "a finite number",
    }
    bad = [
        (int(nulls[0]), name) for name in needed if len(nulls := parsed[name].is_null().arg_true())
    ]
    if bad:
        index, name = min(bad, key=lambda found: found[0])
        # Editors count from 1, and the first line of a CSV is its header. (A line break inside
        # quotes counts as none.)
        number = parsed["row"][index] + (2 if place == "line" else 1)
        value = raw[name][index]
        given = "nothing" if value is None else repr(str(value))
        raise EmbrlError(
            f"{path}, {place} {number}: {named[name]} must be {needed[name]}, got {given}"
        )
    return parsed


def _text(frame: "pl.DataFrame", name: str) -> "pl.Expr":
    """Return a column, without surrounding spaces where it is text."""
    pl = require("polars", "data")
    column = pl.col(name)
    return column.str.strip_chars() if frame[name].dtype == pl.String else column


def _time(path: Path, raw: "pl.DataFrame", name: str) -> "pl.Expr":
    """Return timestamps as integers, of which only the order is used."""
    pl = require("polars", "data")
    dtype: Any = raw["ts"].dtype
    if dtype == pl.String:
        text = (
            _text(raw, "ts")
            .str.replace(r"\s*(UTC|Z|\+00:?00)$", "")
            .str.replace("T", " ", literal=True)
        )
        times = [text.str.to_datetime(f, strict=False, time_unit="us") for f in TIME_FORMATS]
        return pl.coalesce(times).to_physical()
    if not dtype.is_temporal():
        raise EmbrlError(f"{path}: column {name} must be timestamps or text, got {dtype}")
    return pl.col("ts").to_physical()


def _explain(path: Path, message: str) -> str:
    """Explain in one line what is wrong with a file that polars refused with `message`."""
    if "utf-8" in message:
        return "is not UTF-8; save it as UTF-8, or as Parquet"
    if "empty CSV" in message:
        return "is empty; give a purchase log"
    if "more fields" in message:
        return f"has more fields than its header on line {_long_line(path)}; quote text with commas"
    return f"cannot be read: {message.partition(chr(10))[0]}"


def _long_line(path: Path) -> int | str:
    """Return the first line of a CSV with more fields than its header, or ? if not found."""
    with path.open("rb") as file:
        opened = gzip.open if _gzipped(file.read(2)) else open
    with opened(path, "rt", newline="", encoding="utf-8") as file, contextlib.suppress(csv.Error):
        rows = csv.reader(file)
        fields = len(next(rows))
        for row in rows:
            if len(row) > fields:
                return rows.line_num
    return "?"
