"""Purchase logs as they are published and as shops have them, in made-up copies of a few rows."""

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from embrl.core.errors import EmbrlError
from embrl.envs.recommender import RecommenderConfig
from embrl.envs.recommender.log_format import LogFormat
from embrl.envs.recommender.purchases import Purchases, read_purchases

BOUGHT = {"u1": ["5", "7"], "u2": ["7", "5", "7"]}
"""What the two users of most logs below have bought, in order: user u1 is 1 and u2 is 2."""

LOGS: dict[str, tuple[str, str, str]] = {
    "u.data": (
        "MovieLens",
        "price 3",
        "1\t5\t3\t881250949\n2\t7\t1\t881250945\n1\t7\t4\t881250950\n2\t5\t2\t881250946\n"
        "2\t7\t5\t881250947\n",
    ),
    "ratings.dat": (
        "MovieLens",
        "time 4",
        "2::7::5::978300760\n2::5::3::978300761\n1::5::3.5::978300760\n1::7::3::978300762\n"
        "2::7::1::978300763\n",
    ),
    "ratings.csv": (
        "MovieLens",
        "price rating",
        "userId,movieId,rating,timestamp\n1,5,4.0,964982703\n1,7,4.0,964982704\n2,7,0.5,964982703\n"
        "2,5,4.0,964982704\n2,7,4.0,964982705\n",
    ),
    "events.csv": (
        "RetailRocket",
        "event event",
        "timestamp,visitorid,event,itemid,transactionid\n1433221332117,1,view,9,\n"
        "1433221332118,1,transaction,5,3\n1433221332119,2,transaction,7,4\n"
        "1433221332117,2,addtocart,7,\n1433221332120,1,transaction,7,5\n"
        "1433221332121,2,transaction,5,6\n1433221332122,2,transaction,7,7\n",
    ),
    "transactions_train.csv": (
        "H&M",
        "time t_dat",
        't_dat,customer_id,article_id,price,sales_channel_id\n2018-09-20,"1",5,0.05,2\n'
        "2018-09-20,2,7,0.03,2\n2018-09-20,2,5,0.03,2\n2018-09-21,1,7,0.03,2\n"
        "2018-09-22,2,7,0.03,2\n",
    ),
    "yoochoose-buys.dat": (
        "Yoochoose",
        "quantity 5",
        "1,2014-04-07T18:44:58.314Z,5,12462,1\n2,2014-04-07T18:44:58.314Z,7,20,1\n"
        "1,2014-04-07T18:44:59.314Z,7,12462,1\n2,2014-04-07T18:44:58.315Z,5,12462,1\n"
        "2,2014-04-07T18:45:58.315Z,7,12462,1\n",
    ),
    "online.csv": (
        "UCI Online Retail",
        "invoice InvoiceNo",
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "536365,5,caf\xe9,6,12/1/2010 8:26,2.55,1.0,UK\n"
        "536366,7,x,6,12/13/2010 9:26,2.55,1.0,UK\n"
        "C536367,7,x,-1,12/14/2010 9:26,2.55,1.0,UK\n536368,7,x,2,12/1/2010 8:26,2.55,2.0,UK\n"
        "536369,5,x,2,12/2/2010 8:26,2.55,2.0,UK\n536369,7,x,2,12/3/2010 8:26,2.55,2.0,UK\n"
        "536370,7,x,2,12/3/2010 8:26,2.55,,UK\n",
    ),
    "lastfm.tsv": (
        "Last.fm",
        "item 4",
        'user_000001\t2009-05-04T23:08:57Z\tm\t7\tn\tSo "What\n'
        "user_000001\t2009-05-04T13:08:57Z\t\t5\t\tx\nuser_000002\t2009-05-04T23:08:57Z\t\t7\t\tx\n"
        "user_000002\t2009-05-04T23:09:57Z\t\t5\t\tx\nuser_000002\t2009-05-05T23:08:57Z\t\t7\t\tx\n",
    ),
    "UserBehavior.csv": (
        "Taobao",
        "event 4",
        "1,5,234,buy,1511544070\n1,6,234,pv,1511544071\n1,7,234,buy,1511544072\n"
        "2,7,2,buy,1511544070\n2,5,2,buy,1511544071\n2,7,2,buy,1511544072\n",
    ),
    "recbole.inter": (
        "columns by their names",
        "user user_id:token",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t5\t3\t881250949\n"
        "1\t7\t3\t881250950\n2\t7\t3\t881250949\n2\t5\t3\t881250950.5\n2\t7\t3\t881250950.6\n",
    ),
    "shop.csv": (
        "columns by their names",
        "price Unit Price",
        "\ufeffOrder Date;Customer;SKU;Unit Price;Qty\r\n01.02.2020 10:00;1;5;1,50;1\r\n"
        '13.02.2020 10:00;1; 7 ;"2,50";1\r\n01.02.2020 10:00;2;7;2,5;1\r\n'
        "02.02.2020 10:00;2;5;2;1\r\n\r\n03.02.2020 10:00;2;7;3;1\r\n",
    ),
}
"""Name of the layout, one of the columns that are said to be taken, and the file, by its name."""


def sequences(purchases: Purchases) -> list[list[str]]:
    names = [purchases.names[item] for item in purchases.items]
    users = purchases.users.tolist()
    return [
        [n for n, u in zip(names, users, strict=True) if u == each] for each in sorted(set(users))
    ]


def read(path: Path, written: LogFormat | None = None) -> Purchases:
    return read_purchases(path, written, min_user_purchases=1)


def notes(purchases: Purchases) -> str:
    assert purchases.report is not None
    return "\n".join(purchases.report.notes())


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("latin-1" if "\xe9" in text else "utf-8"))
    return path


@pytest.mark.parametrize("name", LOGS)
def test_a_published_log_is_recognised_and_said(tmp_path, name):
    layout, taken, text = LOGS[name]
    found = read(write(tmp_path / name, text))
    assert sequences(found) == list(BOUGHT.values())
    said = notes(found)
    assert f"{name}: {layout}" in said
    assert taken in said
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    assert sequences(read(tmp_path / f"{name}.gz")) == list(BOUGHT.values())


def test_what_is_left_out_is_counted(tmp_path):
    said = notes(read(write(tmp_path / "online.csv", LOGS["online.csv"][2])))
    assert "left out: 1 rows without a user, 1 returns" in said
    said = notes(read(write(tmp_path / "events.csv", LOGS["events.csv"][2])))
    assert "left out: 2 rows of other events" in said
    assert "the price of every item is 1" in said
    assert "all policies have the same return" in said


def test_reviews_in_json(tmp_path):
    rows = [(1, 5, 9), (2, 7, 1), (2, 5, 2), (1, 7, 10), (2, 7, 3)]
    old = [
        {
            "reviewerID": f"A{u}",
            "asin": str(i),
            "overall": 5.0,
            "helpful": [0, 1],
            "unixReviewTime": t,
        }
        for u, i, t in rows
    ]
    new = [
        {"user_id": f"A{u}", "asin": "x", "parent_asin": str(i), "rating": 4, "timestamp": t}
        for u, i, t in rows
    ]
    for name, reviews in (("old", old), ("new", new)):
        lines = "".join(json.dumps(review) + "\n" for review in reviews)
        found = read(write(tmp_path / f"{name}.json", lines))
        assert sequences(found) == list(BOUGHT.values())
        assert f"{name}.json: Amazon reviews" in notes(found)
        assert found.prices.tolist() == ([5.0, 5.0] if name == "old" else [4.0, 4.0])
    assert sequences(read(write(tmp_path / "array.json", json.dumps(old)))) == list(BOUGHT.values())
    write(tmp_path / "bad.json", json.dumps(old[0]) + "\n{'reviewerID': 1}\n" + json.dumps(old[0]))
    with pytest.raises(EmbrlError, match=r"bad.json, line 2 must be JSON"):
        read(tmp_path / "bad.json")


PRODUCTS = (
    "order_id,product_id,add_to_cart_order,reordered\n11,7,2,1\n12,5,1,1\n21,7,1,0\n22,7,2,1\n"
    "11,5,1,1\n22,5,1,1\n99,5,1,1\n"
)
ORDERS = (
    "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order\n"
    "12,1,prior,2,3,9,21.0\n11,1,prior,1,2,8,\n21,2,prior,1,2,8,\n22,2,prior,2,2,8,\n"
)


def test_instacart_is_joined_with_its_orders(tmp_path):
    log = write(tmp_path / "order_products__prior.csv", PRODUCTS)
    with pytest.raises(EmbrlError, match=r"orders.csv beside it, or name that file with env.join"):
        read(log)
    orders = write(tmp_path / "orders.csv", ORDERS)
    found = read(tmp_path)  # the folder
    assert sequences(found) == [["5", "7", "5"], ["7", "5", "7"]]
    assert "1 rows without a partner in orders.csv" in notes(found)
    assert found.report is not None
    assert list(found.report.files) == [str(log), str(orders)]
    pl.read_csv(orders).write_parquet(tmp_path / "o.parquet")
    orders.unlink()
    assert sequences(read(log, LogFormat(join="o.parquet"))) == sequences(found)
    write(tmp_path / "twice.csv", ORDERS + "12,2,prior,2,3,9,1\n")
    with pytest.raises(EmbrlError, match=r"several partners for a row in env.join"):
        read(log, LogFormat(join="twice.csv"))
    write(tmp_path / "other.csv", "a,b\n1,2\n")
    with pytest.raises(EmbrlError, match=r"env.join must be a table with a column of"):
        read(log, LogFormat(join="other.csv"))


OWN = (
    "who^when^what^paid^kind\nann^20200131^tea^1.5^Sold\nann^20200201^jam^2.5^Sold\n"
    "bob^20200131^tea^1.5^Quote\n"
)
FLAGS: dict[str, Any] = {
    "columns": {"user": "who", "time": "when", "item": "what", "price": "4", "event": "Kind"},
    "separator": "^",
    "events": ("sold",),
    "time_format": "%Y%m%d",
}


def test_any_log_is_read_by_flags_or_a_mapping_file(tmp_path):
    log = write(tmp_path / "log.txt", OWN)
    with pytest.raises(EmbrlError, match=r"one column, 'who\^when.*; give it as env.separator"):
        read(log)
    found = read(log, LogFormat(**FLAGS))
    assert sequences(found) == [["tea", "jam"]]
    toml = tmp_path / "log.toml"
    toml.write_text(
        'separator = "^"\nevents = ["sold"]\ntime-format = "%Y%m%d"\n'
        '[columns]\nuser = "who"\ntime = "when"\nitem = "what"\nprice = 4\nevent = "kind"\n'
    )
    by_file = RecommenderConfig(mapping=str(toml), columns={"item": "1"}).log_format()  # type: ignore[arg-type]
    assert by_file == LogFormat(
        **{**FLAGS, "columns": {**FLAGS["columns"], "item": "1", "event": "kind"}}
    )
    (tmp_path / "log.json").write_text(json.dumps({**FLAGS, "colums": 1}))
    with pytest.raises(EmbrlError, match=r"unknown setting in .*log.json 'colums': .*columns"):
        LogFormat().over(tmp_path / "log.json")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"columns": {"user": "whom"}},
            r"env.columns user must be a column of .*, got whom; it has",
        ),
        ({"columns": {"buyer": "who"}}, r"env.columns 'buyer': "),
        ({"separator": ","}, r"is one column, "),
        (
            {"events": ("bought",)},
            r"env.events must be values of kind .* among Sold, Quote, got bought",
        ),
        ({"columns": {}, "events": ()}, r"must have columns for user, item, price, got who"),
        ({"time_format": "day"}, r"env.time-format must be s, ms, .* got 'day'"),
        ({"time_format": "%d.%m.%Y"}, r"line 2: when must be a time .* got '20200131'"),
        ({"returns": "refund"}, r"env.returns must be drop or cancel or keep, got 'refund'"),
        ({"constant_price": -1.0}, r"env.constant-price must be a finite number above 0, got -1"),
        ({"join": "nowhere.csv"}, r"env.join must be an existing file, got nowhere.csv"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path, changes, said):
    log = write(tmp_path / "log.csv", OWN)
    with pytest.raises(EmbrlError, match=said) as caught:
        read(log, LogFormat(**{**FLAGS, **changes}))
    assert "\n" not in str(caught.value)


def test_a_wrong_separator_is_said_to_be_one(tmp_path):
    log = write(tmp_path / "shop.csv", LOGS["shop.csv"][2])
    with pytest.raises(EmbrlError, match=r"env.separator must be semicolon to split .*, got comma"):
        read(log, LogFormat(separator="comma"))
    assert sequences(read(log, LogFormat(separator=";"))) == list(BOUGHT.values())


def test_days_and_months_that_cannot_be_told_apart_are_asked_for(tmp_path):
    log = write(tmp_path / "log.csv", "user,ts,item,price\n1,1/2/2020,a,1\n1,2/1/2020,b,1\n")
    with pytest.raises(
        EmbrlError, match=r"env.time-format must be given .* '%m/%d/%Y' or '%d/%m/%Y'"
    ):
        read(log)
    assert sequences(read(log, LogFormat(time_format="%m/%d/%Y"))) == [["a", "b"]]
    assert sequences(read(log, LogFormat(time_format="%d/%m/%Y"))) == [["b", "a"]]
    assert sequences(read(log, LogFormat(time_format="none"))) == [["a", "b"]]


@pytest.mark.parametrize(
    "times",
    [
        ["2020-01-01 00:00:00.000000002", "2020-01-01 00:00:00.000000001"],
        ["2020-01-01T00:00:00+00:00", "2020-01-01T00:59:59+01:00"],
        ["1577836800000000002", "1577836800000000001"],
        ["1577836800.000000002", "1577836800.000000001"],
    ],
)
def test_the_last_digit_of_a_time_decides(tmp_path, times):
    rows = "".join(f"1,{ts},{item},1\n" for ts, item in zip(times, "ba", strict=True))
    assert sequences(read(write(tmp_path / "log.csv", "user,ts,item,price\n" + rows))) == [
        ["a", "b"]
    ]


def test_missing_identifiers_are_no_product_and_spaces_no_other_one(tmp_path):
    rows = "1, 1 ,a,1\n1,2, a ,1\n1,3,NaN,1\n,4,a,1\n1,5,null,1\n1,6,,1\n"
    found = read(write(tmp_path / "log.csv", "user,ts,item,price\n" + rows))
    assert found.names == ("a",)
    assert "1 rows without a user, 3 rows without an item" in notes(found)


def test_exact_duplicates_are_said_and_may_be_left_out(tmp_path):
    rows = "1,1,a,1\n1,1,a,1\n1,1,a,2\n1,1,a,1\n"
    log = write(tmp_path / "log.csv", "user,ts,item,price\n" + rows)
    found = read(log)
    assert len(found.items) == 4
    assert "2 of the purchases repeat an earlier one exactly" in notes(found)
    found = read(log, LogFormat(duplicates="drop"))
    assert len(found.items) == 2
    assert "2 that repeat an earlier row" in notes(found)


@pytest.mark.parametrize(
    ("returns", "left"),
    [("drop", ["a", "b", "a"]), ("cancel", ["a", "b"]), ("keep", ["a", "b", "a", "a", "c"])],
)
def test_returns(tmp_path, returns, left):
    rows = "1,1,a,1,2\n1,2,b,1,1\n1,3,a,1,1\n1,4,a,,-1\n1,5,c,1,-1\n"
    if returns == "keep":
        rows = rows.replace(",,", ",1,")
    log = write(tmp_path / "log.csv", "user,ts,item,price,quantity\n" + rows)
    assert sequences(read(log, LogFormat(returns=returns))) == [left]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.xlsx", b"PK\x03\x04", "zip archive or an Excel file"),
        ("a.csv", "user,ts".encode("utf-16"), "UTF-16; save it as UTF-8"),
        ("a.csv", b"user,ts,item,price\r1,1,a,1\r", r"lines that end in \\n"),
        ("a.csv", b"user,ts,item,price\n1,1,caf\xe9,1\n", "is not UTF-8"),
        ("a.csv", b"\x1f\x8b\x08\x00broken", "damaged"),
        (
            "a.csv",
            b"client,customer,ts,item,price\n1,1,1,a,1\n",
            "user, client and customer; name one",
        ),
        ("a.csv", b"user,item,item,ts,price\n1,a,b,1,1\n", "named item; .* env.columns item=2"),
        (
            "a.json",
            b'{"user": 1, "ts": 1, "item": "a", "price": 1}\n'
            b'{"user": 1, "ts": 2, "item": ["a", "b"], "price": 1}\n',
            r'row 2: item must be text or a number, got \["a"',
        ),
    ],
)
def test_files_that_are_no_logs_are_one_line(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(EmbrlError, match=said) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)
