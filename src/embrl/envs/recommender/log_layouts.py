"""Layouts of purchase logs: which column means what, recognised by names or by values."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from embrl.core.errors import EmbrlError

ROLES = ("user", "item", "time", "price", "event", "quantity", "order", "invoice")
"""What a column may mean. `order` is the order of purchases at the same time; `quantity` and
`invoice` show returns."""

PURCHASE_EVENTS = (
    *("purchase", "purchased", "transaction", "buy", "bought", "order", "ordered", "sale", "sold"),
    *("checkout", "payment", "paid", "conversion"),
)
"""Values of a column of events that are purchases, in lower case, where nothing else is said."""

NAMES: dict[str, tuple[str, ...]] = {
    "user": (
        "user userid users visitorid visitor customerid customer clientid client buyerid buyer "
        "memberid member reviewerid householdkey householdid shopperid accountid personid uid "
        "custid customerno customernumber cardid loyaltyid profileid username useridhash",
        "sessionid usersession session",
    ),
    "item": (
        "item itemid items productid product movieid asin articleid article stockcode sku skuid "
        "isbn businessid trackid songid artistid bookid gameid iid productcode itemcode itemno "
        "itemnumber articleno articlenumber goodsid materialid recipeid productsku",
        "parentasin productname itemname title artistname trackname artist track",
    ),
    "time": (
        "ts time timestamp datetime date eventtime eventdate eventtimestamp tdat invoicedate "
        "orderdate purchasedate transactiondate transactiondt transactiontime unixreviewtime "
        "unixtime createdat orderedat purchasedat orderpurchasetimestamp purchasetime ordertime "
        "saledate salesdate orderedon purchasedon boughtat orderdatetime transdate when",
        "reviewtime day timeframe ordernumber",
    ),
    "price": (
        "price unitprice itemprice salesprice saleprice sellingprice productprice priceusd "
        "unitpricegbp priceperunit",
        "rating ratings overall stars bookrating score",
    ),
    "event": ("event eventtype eventname action actiontype behavior behaviour behaviortype", ""),
    "quantity": ("quantity qty quantitysold", ""),
    "order": ("line lineno linenumber lineid addtocartorder", ""),
    "invoice": ("invoice invoiceno invoicenumber invoiceid", ""),
}
"""Names that columns with a role have, as `normalised` returns them; the second ones count only
where there is none of the first."""


class Layout(NamedTuple):
    """Layout of a known log."""

    name: str
    columns: Mapping[str, str]
    """Columns by role; in a file without a header, their numbers from 1."""
    events: tuple[str, ...] = ()
    """Values of the column of events that are purchases."""
    constant_price: float | None = None
    """Price of each item, where there are no prices."""
    values: tuple[str, ...] = ()
    """Of a file without a header: a pattern for each value of the first row."""
    also: tuple[str, ...] = ()
    """Further columns by which it is recognised."""
    join: tuple[str, ...] = ()
    """Files beside it, of which one is joined; the first that exists."""
    files: tuple[str, ...] = ()
    """Names of the file, where a folder is given."""


_WHOLE, _EPOCH, _ISO = r"\d+", r"\d{9,10}", r"\d{4}-\d\d-\d\d[T ].*"


def _columns(words: str) -> dict[str, str]:
    return dict(word.split("=") for word in words.split())  # type: ignore[arg-type]


LAYOUTS = (
    Layout("user, ts, item, price", _columns("user=user time=ts item=item price=price")),
    Layout(
        "events of Kechinov (2019)",
        _columns("user=user_id time=event_time item=product_id price=price event=event_type"),
        events=("purchase",),
    ),
    Layout(
        "MovieLens",
        _columns("user=userId item=movieId time=timestamp price=rating"),
        files=("ratings.csv",),
    ),
    Layout(
        "MovieLens",
        _columns("user=1 item=2 price=3 time=4"),
        values=(_WHOLE, _WHOLE, r"[0-5](\.\d)?", _EPOCH),
        files=("u.data", "ratings.dat"),
    ),
    Layout(
        "RetailRocket",
        _columns("user=visitorid item=itemid time=timestamp event=event"),
        events=("transaction",),
        constant_price=1.0,
        also=("transactionid",),
        files=("events.csv",),
    ),
    Layout(
        "Amazon reviews",
        _columns("user=reviewerID item=asin time=unixReviewTime price=overall"),
    ),
    Layout(
        "Amazon reviews (2023)",
        _columns("user=user_id item=parent_asin time=timestamp price=rating"),
    ),
    Layout(
        "H&M",
        _columns("user=customer_id item=article_id time=t_dat price=price"),
        files=("transactions_train.csv",),
    ),
    Layout(
        "Yoochoose purchases",
        _columns("user=1 time=2 item=3 price=4 quantity=5"),
        values=(_WHOLE, _ISO, _WHOLE, r"\d+(\.\d+)?", _WHOLE),
        files=("yoochoose-buys.dat",),
    ),
    Layout(
        "Instacart",
        _columns("user=user_id item=product_id time=order_number order=add_to_cart_order"),
        constant_price=1.0,
        also=("order_id",),
        join=("orders.csv", "orders.csv.gz", "orders.parquet"),
        files=("order_products__prior.csv", "order_products__train.csv"),
    ),
    Layout(
        "UCI Online Retail",
        _columns(
            "user=CustomerID item=StockCode time=InvoiceDate price=UnitPrice quantity=Quantity "
            "invoice=InvoiceNo"
        ),
    ),
    Layout(
        "UCI Online Retail II",
        _columns(
            "user=CustomerID item=StockCode time=InvoiceDate price=Price quantity=Quantity "
            "invoice=Invoice"
        ),
    ),
    Layout(
        "Last.fm, with times",
        _columns("user=1 time=2 item=4"),
        constant_price=1.0,
        values=("user_" + _WHOLE, _ISO, ".*", ".*", ".*", ".*"),
        files=("userid-timestamp-artid-artname-traid-traname.tsv",),
    ),
    Layout(
        "Taobao user behaviour",
        _columns("user=1 item=2 event=4 time=5"),
        events=("buy",),
        constant_price=1.0,
        values=(_WHOLE, _WHOLE, _WHOLE, "pv|buy|cart|fav", _EPOCH),
        files=("UserBehavior.csv",),
    ),
)
"""Known layouts. A log is of the first one whose columns it has."""


@dataclasses.dataclass(frozen=True)
class Columns:
    """The meaning of a log's columns."""

    layout: str
    """Name of the layout, for the user."""
    names: Mapping[str, str]
    """Names of the columns in the log, by role."""
    events: tuple[str, ...] = ()
    """Values of the column of events that are purchases; empty: `PURCHASE_EVENTS`."""
    constant_price: float | None = None
    """Price of each item, where there is no column of prices."""


def normalised(name: str) -> str:
    """Return a column's name without case, spaces and marks, and without the type of RecBole."""
    return re.sub(r"[^0-9a-z]", "", re.sub(r":(token|float|token_seq)$", "", name.lower()))


def known_layout(columns: Sequence[str], first: Sequence[str] | None) -> Layout | None:
    """Return the known layout of a log.

    Args:
        columns: Names of the columns.
        first: Values of the first row, if the file has no header.
    """
    there = {normalised(name) for name in columns}
    for layout in LAYOUTS:
        if layout.values:
            patterns = layout.values
            if first is not None and len(first) == len(patterns):
                pairs = zip(patterns, first, strict=True)
                if all(re.fullmatch(pattern, value.strip()) for pattern, value in pairs):
                    return layout
        elif first is None:
            needed = {normalised(name) for name in (*layout.columns.values(), *layout.also)}
            if needed <= there or (layout.join and _by_join(layout) <= there):
                return layout
    return None


def _by_join(layout: Layout) -> set[str]:
    """Return the columns by which the layout is recognised before it is joined."""
    names = (layout.columns["item"], layout.columns["order"], *layout.also)
    return {normalised(name) for name in names}


def columns_of(
    log: str, names: Sequence[str], layout: Layout | None, given: Mapping[str, str]
) -> Columns:
    """Return what the columns of a log mean.

    Args:
        log: Name of the log, for messages.
        names: Its columns.
        layout: Its known layout, if it has one.
        given: Columns that a user named, by role.

    Raises:
        EmbrlError: If a column that is named does not exist.
    """
    chosen = {role: _named(log, names, role, name) for role, name in given.items()}
    if layout is not None:
        found = {role: _named(log, names, role, name) for role, name in layout.columns.items()}
        _check_single(log, names, {role: found[role] for role in found if role not in chosen})
        for role in ("event", "quantity", "order", "invoice"):
            if role not in found and len(alike := _alike(names, role)) == 1:
                found[role] = alike[0]
        events = layout.events if "event" not in chosen else ()
        return Columns(
            layout.name if not chosen else f"{layout.name}, with other columns",
            {**found, **chosen},
            events,
            None if "price" in chosen else layout.constant_price,
        )
    for role in ROLES:
        if role not in chosen:
            alike = [name for name in _alike(names, role) if name not in chosen.values()]
            if len(alike) > 1:
                raise EmbrlError(
                    f"{log} has several columns that may be the {role}, {' and '.join(alike)}; "
                    f"name one with env.columns {role}={_quoted(alike[0])}"
                )
            if alike:
                _check_single(log, names, {role: alike[0]})
                chosen[role] = alike[0]
    how = "columns by their names" + (", and as given" if given else "")
    return Columns(how, chosen)


def _named(log: str, names: Sequence[str], role: str, name: str) -> str:
    """Return a column by its name, or by its number from 1."""
    if name in names:
        return name
    alike = [other for other in names if normalised(other) == normalised(name)]
    if len(alike) == 1 and normalised(name):
        return alike[0]
    if name.isdecimal() and 1 <= int(name) <= len(names):
        return names[int(name) - 1]
    raise EmbrlError(
        f"env.columns {role} must be a column of {log}, got {name}; it has {listed(names)}"
    )


def _check_single(log: str, names: Sequence[str], found: Mapping[str, str]) -> None:
    """Raise an EmbrlError if another column has the same name; polars renames all but the first."""
    for role, name in found.items():
        if f"{name}_duplicated_0" in names:
            raise EmbrlError(
                f"{log} has several columns named {name}; name one by its number, with "
                f"env.columns {role}={names.index(name) + 1}"
            )


def _alike(names: Sequence[str], role: str) -> list[str]:
    """Return the columns whose names fit a role."""
    for words in NAMES[role]:
        known = words.split()
        if found := [name for name in names if normalised(name) in known]:
            return found
    return []


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return names as a list for messages."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _quoted(name: str) -> str:
    return f"'{name}'" if " " in name else name
