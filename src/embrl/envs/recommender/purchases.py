"""Purchases of a log, filtered, as arrays in order of purchase."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embrl.core.errors import EmbrlError, require
from embrl.envs.recommender.log_format import LogFormat, LogReport
from embrl.envs.recommender.purchase_log import load

if TYPE_CHECKING:
    import polars as pl


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
    report: LogReport | None = None
    """What was read of the log."""


def read_purchases(
    path: str | Path,
    written: LogFormat | None = None,
    *,
    min_purchases: int | None = None,
    top_items: int | None = None,
    min_user_purchases: int = 3,
) -> Purchases:
    """Read a purchase log: CSV, JSON (both also gzipped) or Parquet.

    Purchases at a price of 0 or less are gifts and corrections, not sales, and are left out. Items
    are filtered first, then users. Items are never dropped afterwards, so that there are
    `top_items` of them. Without `min_purchases` and `top_items` all items are kept.

    Args:
        path: The log.
        written: How it is written; None: that is found out.
        min_purchases: Fewest purchases of an item that is kept.
        top_items: Number of items to keep, the most bought ones.
        min_user_purchases: Fewest purchases, of the items kept, of a user who is kept.

    Raises:
        EmbrlError: If the file cannot be read, a row is bad (the message names it), or no purchase
            is left.
    """
    path = Path(path)
    log, report = load(path, LogFormat() if written is None else written)
    sold = log.filter(log["price"] > 0)
    if not len(sold):
        raise EmbrlError(f"{path} must have a purchase at a price above 0, got none")
    unpriced = len(log) - len(sold)
    left_out = {**report.left_out, "at a price of 0 or less": unpriced}
    report = dataclasses.replace(report, purchases=len(sold), left_out=left_out)
    catalogue = _catalogue(path, sold, min_purchases, top_items)
    found = _in_order(path, sold, catalogue, min_user_purchases)
    return dataclasses.replace(found, unpriced=unpriced, report=report)


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
) -> Purchases:
    pl = require("polars", "data")
    kept = sold.drop("price").join(catalogue.select("item", "code"), on="item")
    per_user = pl.len().over("user")
    most = kept.select(per_user.max()).item()
    kept = kept.filter(per_user >= min_user_purchases).sort("user", "ts", "fraction", "line", "row")
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
        unpriced=0,
    )
