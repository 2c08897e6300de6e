"""The reader of purchase logs, against made-up logs and against the known figures of a real one."""

import csv
import gzip
import re
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.core.errors import EmbrlError
from embrl.envs.recommender.purchases import Purchases, read_purchases

REAL_LOG = Path(__file__).parents[3] / "shared" / "data" / "online_retail.parquet"

PLAIN = ("user", "ts", "item", "price")
"""The plain schema. A made-up log is a list of rows of these."""

LOG = [
    (7, "2020-01-01 10:00:00", "tea", 2.0),
    (9, "2020-01-01 09:00:00", "jam", 5.5),
    (7, "2020-01-01 09:00:00", "jam", 4.5),
    (9, "2020-01-02 09:00:00", "tea", 3.0),
    (7, "2020-01-01 10:00:00", "pot", 9.0),
    (9, "2020-01-02 09:00:00", "jam", 6.5),
]
"""jam 3 times, tea twice, pot once."""


def write_csv(path: Path, rows: list[tuple], header: tuple[str, ...] = PLAIN) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def names_in_order(purchases: Purchases) -> list[tuple[int, str]]:
    users, items = purchases.users.tolist(), purchases.items.tolist()
    return [(user, purchases.names[item]) for user, item in zip(users, items, strict=True)]


def same(a: Purchases, b: Purchases) -> bool:
    return (
        names_in_order(a) == names_in_order(b)
        and a.names == b.names
        and a.prices.tolist() == b.prices.tolist()
        and a.unpriced == b.unpriced
    )


def test_purchases_stand_in_order_of_user_time_and_file(tmp_path: Path) -> None:
    purchases = read_purchases(write_csv(tmp_path / "log.csv", LOG))
    assert names_in_order(purchases) == [
        *[(0, "jam"), (0, "tea"), (0, "pot")],
        *[(1, "jam"), (1, "tea"), (1, "jam")],
    ]
    assert purchases.users.dtype == purchases.items.dtype == np.int32


def test_items_count_from_the_most_bought_with_their_median_prices(tmp_path: Path) -> None:
    purchases = read_purchases(write_csv(tmp_path / "log.csv", LOG))
    assert purchases.names == ("jam", "tea", "pot")
    assert purchases.prices.tolist() == [5.5, 2.5, 9.0]


def test_a_line_column_orders_purchases_of_one_time(tmp_path: Path) -> None:
    rows = [(*row, len(LOG) - index) for index, row in enumerate(LOG)]
    purchases = read_purchases(write_csv(tmp_path / "log.csv", rows, (*PLAIN, "line")))
    assert names_in_order(purchases)[:3] == [(0, "jam"), (0, "pot"), (0, "tea")]


def plain_frame() -> pl.DataFrame:
    """`LOG`, typed."""
    columns: dict[str, Any] = dict(zip(PLAIN, zip(*LOG, strict=True), strict=True))
    return pl.DataFrame(columns).with_columns(pl.col("ts").str.to_datetime())


def events_frame() -> pl.DataFrame:
    """`LOG` in the schema of Kechinov (2019), with views in between."""
    return pl.DataFrame(
        [
            {
                "event_time": f"{ts} UTC",
                "event_type": event,
                "product_id": item,
                "category_id": 2053013555631882655,
                "category_code": None,
                "brand": "a, b",
                "price": price,
                "user_id": user,
                "user_session": "26dd6e6e-4dac-4778-8d2c-92e149dab885",
            }
            for user, ts, item, price in LOG
            for event in ("view", "purchase", "cart")
        ]
    )


@pytest.mark.parametrize("frame", [plain_frame, events_frame])
@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_schemas_and_formats_read_alike(tmp_path: Path, frame: Any, suffix: str) -> None:
    expected = read_purchases(write_csv(tmp_path / "plain.csv", LOG))
    path = tmp_path / f"log.{suffix}"
    match suffix:
        case "parquet":
            frame().write_parquet(path)
        case "csv.gz":
            path.write_bytes(gzip.compress(frame().write_csv().encode()))
        case _:
            frame().write_csv(path)
    assert same(read_purchases(path), expected)


@pytest.mark.parametrize(
    "written",
    [
        "2020-03-01 00:00",
        "2020-03-01",
        " 2020-03-01 00:00:00 ",
        "2020-03-01T00:00:00Z",
        "2020-03-01 00:00:00.000",
        "2020-03-01 00:00:00+00:00",
        "2020-03-01 00:00:00 UTC",
    ],
)
def test_ways_to_write_a_time(tmp_path: Path, written: str) -> None:
    times = ["2020-03-01 00:00:01", written, "2020-02-29 23:59:59.999"]
    rows = [(1, ts, item, 1.0) for ts, item in zip(times, "cba", strict=True)]
    purchases = read_purchases(write_csv(tmp_path / "log.csv", rows))
    assert [name for _, name in names_in_order(purchases)] == ["a", "b", "c"]


def test_dates_and_zoned_times_of_parquet(tmp_path: Path) -> None:
    frame = plain_frame()
    expected = read_purchases(write_csv(tmp_path / "plain.csv", LOG))
    for name, ts in [("zoned", pl.col("ts").dt.replace_time_zone("Asia/Tokyo")), ("date", "ts")]:
        frame.with_columns(ts).write_parquet(tmp_path / f"{name}.parquet")
        assert same(read_purchases(tmp_path / f"{name}.parquet"), expected)
    frame.with_columns(pl.col("ts").dt.date()).write_parquet(tmp_path / "days.parquet")
    ordered = names_in_order(read_purchases(tmp_path / "days.parquet"))
    assert ordered[:3] == [(0, "tea"), (0, "jam"), (0, "pot")]  # one day: the file's order


def test_blank_lines_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "log.csv", LOG)
    expected = read_purchases(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n\r\n")
    assert same(read_purchases(path), expected)


def test_gifts_and_corrections_are_left_out(tmp_path: Path) -> None:
    gifts = [(7, "2020-01-01", "tea", 0.0), (9, "2020-01-01", "bad debt", -11062.06)]
    purchases = read_purchases(write_csv(tmp_path / "log.csv", [*LOG, *gifts]))
    expected = read_purchases(write_csv(tmp_path / "plain.csv", LOG))
    assert names_in_order(purchases) == names_in_order(expected)
    assert purchases.prices.tolist() == expected.prices.tolist()
    assert purchases.unpriced == 2


def test_users_are_counted_after_items(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "log.csv", LOG)
    purchases = read_purchases(path, min_purchases=2)  # user 7 has two left without the pot
    assert names_in_order(purchases) == [(0, "jam"), (0, "tea"), (0, "jam")]
    purchases = read_purchases(path, min_purchases=2, min_user_purchases=2)
    assert len(set(purchases.users.tolist())) == 2


def test_items_stay_when_their_users_go(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "log.csv", [*LOG, (8, "2020-01-01", "cup", 3.0)])
    purchases = read_purchases(path, top_items=4)
    assert purchases.names == ("jam", "tea", "pot", "cup")
    assert 3 not in purchases.items


def test_ties_go_to_the_item_that_stands_first(tmp_path: Path) -> None:
    rows = [(1, f"2020-01-0{9 - i}", item, 1.0) for i, item in enumerate("zazabbc")]
    path = write_csv(tmp_path / "log.csv", rows)
    assert read_purchases(path, top_items=2).names == ("z", "a")
    assert read_purchases(path, top_items=3).names == ("z", "a", "b")


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(1, 4),
            st.integers(0, 3).map(lambda hour: f"2020-01-01 0{hour}:00:00"),
            st.sampled_from("abcde"),
            st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.25]),
        ),
        min_size=1,
        max_size=30,
    ),
    top_items=st.integers(1, 5),
    min_user_purchases=st.integers(1, 4),
)
def test_filters_as_plain_python_does(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple],
    top_items: int,
    min_user_purchases: int,
) -> None:
    path = write_csv(tmp_path_factory.mktemp("logs") / "log.csv", rows)
    sold = [row for row in rows if row[3] > 0]
    # Counter.most_common keeps the order of first appearance among equals.
    names = [name for name, _ in Counter(row[2] for row in sold).most_common(top_items)]
    kept = [row for row in sold if row[2] in names]
    by_user = defaultdict(list)
    for user, ts, name, _ in sorted(kept, key=lambda row: (row[0], row[1])):
        by_user[user].append((ts, name))
    long = [bought for bought in by_user.values() if len(bought) >= min_user_purchases]
    expected = [(code, name) for code, bought in enumerate(long) for _, name in bought]

    if len(names) < top_items or not expected:
        with pytest.raises(EmbrlError):
            read_purchases(path, top_items=top_items, min_user_purchases=min_user_purchases)
        return
    purchases = read_purchases(path, top_items=top_items, min_user_purchases=min_user_purchases)
    assert names_in_order(purchases) == expected
    assert list(purchases.names) == names
    assert purchases.prices.tolist() == [median(r[3] for r in sold if r[2] == n) for n in names]
    assert purchases.unpriced == len(rows) - len(sold)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1, "2020-01-01", "tea", "2,50"), "price must be a finite number, got '2,50'"),
        ((1, "2020-01-01", "tea", "nan"), "price must be a finite number, got 'nan'"),
        ((1, "2020-01-01", "tea", "-inf"), "price must be a finite number, got '-inf'"),
        ((1, "2020-01-01", "tea", ""), "price must be a finite number, got nothing"),
        (
            (1, "01/02/2020", "tea", 1),
            "ts must be a time such as 2019-10-01 00:00:00 UTC, got '01/02/2020'",
        ),
        (
            (1, "2020-02-30", "tea", 1),
            "ts must be a time such as 2019-10-01 00:00:00 UTC, got '2020-02-30'",
        ),
        ((1, "", "tea", 1), "ts must be a time such as 2019-10-01 00:00:00 UTC, got nothing"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: tuple, message: str) -> None:
    path = write_csv(tmp_path / "log.csv", [*LOG, row, ("x", "y", "z", "t")])
    # The header is line 1, the made-up log stands on lines 2 to 7.
    with pytest.raises(EmbrlError, match=f"^{re.escape(f'{path}, line 8: {message}')}$"):
        read_purchases(path)


def test_a_bad_line_column_is_named(tmp_path: Path) -> None:
    rows = [(*LOG[0], 1), (*LOG[1], "b")]
    path = write_csv(tmp_path / "log.csv", rows, (*PLAIN, "line"))
    with pytest.raises(EmbrlError, match=r"line 3: line must be an integer, got 'b'$"):
        read_purchases(path)


def test_only_purchases_need_to_be_good(tmp_path: Path) -> None:
    frame = events_frame().with_columns(pl.col("price").cast(pl.String))
    views = pl.col("event_type") == "view"
    path = tmp_path / "log.csv"
    frame.with_columns(price=pl.when(~views).then("price")).write_csv(path)
    assert len(read_purchases(path).items) == len(LOG)
    bad = (pl.col("event_type") == "purchase") & (pl.col("product_id") == "pot")
    frame.with_columns(price=pl.when(bad).then(pl.lit("?")).otherwise("price")).write_csv(path)
    # The pot is the fifth purchase, three rows each, the purchase being the second of its three.
    with pytest.raises(EmbrlError, match=r"log.csv, line 15: price .* got '\?'"):
        read_purchases(path)


def test_a_bad_row_of_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    prices = [1.0, 2.0, 3.0, float("inf"), 5.0, 6.0]
    plain_frame().with_columns(price=pl.Series(prices)).write_parquet(path)
    with pytest.raises(EmbrlError, match=r"log.parquet, row 4: price .* got 'inf'"):
        read_purchases(path)
    users = [1.0, float("nan"), 3.0, 4.0, 5.0, 6.0]  # pandas' integers with gaps
    plain_frame().with_columns(user=pl.Series(users)).write_parquet(path)
    found = read_purchases(path, min_user_purchases=1)
    assert len(found.items) == 5
    assert found.report is not None
    assert found.report.left_out["rows without a user"] == 1
    for column, what in (("ts", pl.time(1)), ("user", pl.struct("user")), ("item", pl.lit(True))):
        plain_frame().with_columns(what.alias(column)).write_parquet(path)
        with pytest.raises(EmbrlError, match=rf"log.parquet: {column} must be .*text or numbers"):
            read_purchases(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; give a purchase log"),
        ("user,ts,item,price\n", "has no rows; give a log with purchases"),
        (
            "user,ts,item\n1,2020-01-01,tea\n",
            "must have columns for price, got user, ts, item; name them with env.columns "
            "price=NAME, or give env.constant-price 1 in place of a price",
        ),
        (
            "event_time,product_id,brand,price\n",
            "must have columns for user, got event_time, product_id, brand, price; name them with "
            "env.columns user=NAME",
        ),
        (
            "user,ts,item,price\n1,2020-01-01,tea,0\n",
            "must have a purchase at a price above 0, got none",
        ),
        (
            'user,ts,item,price\n1,2020-01-01,"a\nb",1\n1,2020-01-01,tea,1,50\n',
            "has more fields than its header on line 4; quote text with separators",
        ),
        (
            b"user,ts,item,price\n1,2020-01-01,caf\xe9,1\n",
            "is not UTF-8; save it as UTF-8, or as Parquet",
        ),
        (bytes(range(256)), "must be an undamaged CSV or Parquet file"),
    ],
)
def test_what_is_no_log(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(EmbrlError, match=f"^{re.escape(f'{path} {message}')}$"):
        read_purchases(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(EmbrlError, match=r"^env.data must be an existing file, got .*nowhere.csv$"):
        read_purchases(tmp_path / "nowhere.csv")
    with pytest.raises(
        EmbrlError, match=r"^env.data must be a file, or a folder with one known log, got "
    ):
        read_purchases(tmp_path)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_a_truncated_parquet_is_one_line(tmp_path: Path, share: float) -> None:
    path = tmp_path / "log.parquet"
    plain_frame().write_parquet(path)
    path.write_bytes(path.read_bytes()[: 1 + int(share * path.stat().st_size)])
    with pytest.raises(
        EmbrlError, match=r"log.parquet (cannot be read: |must be an undamaged)"
    ) as caught:
        read_purchases(path)
    assert "\n" not in str(caught.value)


def test_damaged_parquet_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    plain_frame().write_parquet(path)
    whole = path.read_bytes()
    messages = []
    for at in range(4, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            read_purchases(path)
        except EmbrlError as error:
            messages.append(str(error))
    assert messages
    assert not any("\n" in message for message in messages)


def test_filters_that_leave_nothing(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "log.csv", LOG)
    for options, message in [
        ({"top_items": 4}, f"env.top-items must be at most the 3 items of {path}, got 4"),
        (
            {"min_purchases": 4},
            f"env.min-purchases must be at most 3, the most purchases of an item in {path}, got 4",
        ),
        (
            {"min_user_purchases": 4},
            "env.min-user-purchases must be at most 3, the most purchases by a user of the 3 items "
            f"kept of {path}, got 4",
        ),
    ]:
        with pytest.raises(EmbrlError, match=f"^{re.escape(message)}$"):
            read_purchases(path, **options)  # type: ignore[arg-type]


@pytest.mark.skipif(not REAL_LOG.exists(), reason="the real log is not part of the package")
@pytest.mark.parametrize(
    ("options", "figures"),
    [
        ({"min_user_purchases": 1}, (396_337, 4_334, 3_659, None)),
        ({"min_purchases": 100}, (319_439, 4_148, 1_191, 164_599)),
        ({"top_items": 835}, (275_748, 4_115, 835, 130_839)),
    ],
)
def test_figures_of_the_real_log(options: dict, figures: tuple) -> None:
    purchases = read_purchases(REAL_LOG, **options)
    rows, users, items, bigrams = figures
    assert len(purchases.items) == rows
    assert len(np.unique(purchases.users)) == users
    assert len(purchases.names) == len(purchases.prices) == items
    if bigrams is not None:
        pairs = np.stack([purchases.items[:-1], purchases.items[1:]])
        same_user = purchases.users[:-1] == purchases.users[1:]
        assert np.unique(pairs[:, same_user], axis=1).shape[1] == bigrams
