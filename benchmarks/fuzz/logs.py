"""Purchase logs, recorded transitions and observations, as they come and damaged."""

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from gymnasium import spaces

from benchmarks.fuzz.damage import bytes_of
from benchmarks.fuzz.tally import Tally
from embrl.data.sources import read
from embrl.data.sources.recorded import Given
from embrl.deploy.array_forms import Forms
from embrl.deploy.files import observations
from embrl.envs.recommender.purchases import read_purchases

HEADERS = (
    ("user", "item", "ts", "price"),
    ("userId", "movieId", "timestamp", "rating"),
    ("visitorid", "itemid", "timestamp", "event"),
    ("customer_id", "article_id", "t_dat", "price"),
    ("CustomerID", "StockCode", "InvoiceDate", "UnitPrice", "Quantity", "InvoiceNo"),
    ("reviewerID", "asin", "unixReviewTime", "overall"),
    ("a", "b", "c", "d"),
    (),
)
CELLS = (
    *(
        "",
        " ",
        "nan",
        "NaN",
        "NULL",
        "None",
        "-1",
        "0",
        "1e400",
        "1,5",
        '"',
        "'",
        "é",
        "\u200b7",
        "0x1F",
    ),
    *(
        "2020-13-01",
        "01/02/2020",
        "2020-01-01T00:00:00Z",
        "1577836800",
        "1577836800000",
        "C1234",
        "∞",
    ),
)


def purchase_log(draw: random.Random, folder: Path) -> Path:
    """Write a purchase log."""
    header = draw.choice(HEADERS)
    times = draw.choice(["seconds", "milliseconds", "iso", "day", "rank"])
    rows = []
    for at in range(draw.choice([0, 1, 3, 20, 60])):
        second = 1_577_836_800 + 977 * at
        time = {
            "seconds": str(second),
            "milliseconds": str(1000 * second),
            "iso": str(np.datetime64(second, "s")).replace("T", draw.choice([" ", "T"])),
            "day": str(np.datetime64(second, "s").astype("datetime64[D]")),
            "rank": str(at),
        }[times]
        price = draw.choice(["9.99", "5", "0", "transaction", "view"])
        row = [str(draw.randrange(4)), f"i{draw.randrange(5)}", time, price, "1", "536365"]
        row = row[: max(len(header), 4)]
        if draw.random() < 0.05:
            row[draw.randrange(len(row))] = draw.choice(CELLS)
        rows.append(row)
        if draw.random() < 0.1:
            rows.append(row)
    kind = draw.choice(["csv", "csv", "tsv", "dat", "jsonl", "json", "parquet", "txt"])
    path = folder / f"log.{kind}"
    names = list(header or ("user", "item", "ts", "price"))
    if kind == "parquet":
        columns = {name: [row[at] for row in rows] for at, name in enumerate(names)}
        pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String)).write_parquet(path)
        return path
    if kind in ("jsonl", "json"):
        lines = [json.dumps(dict(zip(names, row, strict=False))) for row in rows]
        text = "\n".join(lines) if draw.random() < 0.7 else f"[{','.join(lines)}]"
    else:
        separator = draw.choice([",", ",", ";", "\t", "|", "::", " "])
        lines = ([separator.join(header)] if header else []) + [separator.join(row) for row in rows]
        text = draw.choice(["\n", "\n", "\r\n"]).join(lines) + draw.choice(["\n", ""])
    path.write_bytes(
        text.encode(draw.choice(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1"]), "replace")
    )
    return path


def some_array(draw: random.Random, count: int) -> np.ndarray:
    """Return a column of some kind."""
    kind = draw.choice([np.float32, np.float64, np.int64, np.int32, np.uint8, bool, "U3", object])
    shape = draw.choice(
        [(count,), (count,), (count, 1), (count, 3), (count, 2, 2), (), (count + 1,)]
    )
    values = np.random.default_rng(draw.randrange(10**6)).integers(0, 4, shape)
    if kind is object:
        return values.astype(object)
    found = values.astype(kind)
    if found.dtype.kind == "f" and found.size and draw.random() < 0.2:
        with np.errstate(over="ignore"):
            found.reshape(-1)[0] = draw.choice([np.nan, np.inf, 1e300, -1e9])
    return found


def transitions(draw: random.Random, folder: Path) -> Path:
    """Write recorded transitions."""
    count = draw.choice([0, 1, 2, 30])
    names = ["observation", "action", "reward", "next_observation", "terminated", "truncated"]
    good: dict[str, Any] = {
        "observation": np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32),
        "action": np.arange(count) % 4,
        "reward": np.ones(count, np.float32),
        "next_observation": np.zeros((count, 3), np.float32),
        "terminated": np.arange(count) % 5 == 4,
        "truncated": np.zeros(count, bool),
    }
    for name in draw.sample(names, draw.choice([0, 1, 1, 2])):
        if draw.random() < 0.3:
            del good[name]
            good[draw.choice(["observations", "done", "x", "actions"])] = some_array(draw, count)
        else:
            good[name] = some_array(draw, count)
    path = folder / f"transitions.{draw.choice(['npz', 'npz', 'parquet'])}"
    if path.suffix == ".npz":
        np.savez(path, **good)
    else:
        columns = {}
        for name, values in good.items():
            flat = np.asarray(values)
            columns[name] = flat.tolist() if flat.ndim else [flat.item()] * count
        try:
            pl.DataFrame(columns, strict=False).write_parquet(path)
        except (pl.exceptions.PolarsError, TypeError):  # no table has such columns
            path.write_bytes(b"PAR1")
    return path


SPACES = (spaces.Discrete(5), spaces.MultiDiscrete([3, 4]), spaces.Box(-1, 1, (3,)))


def observation_file(draw: random.Random, folder: Path) -> tuple[Path, Any]:
    """Write a file of observations; return it and their form."""
    space = draw.choice(SPACES)
    form = Forms.of(space, spaces.Discrete(2)).observation
    rows = np.stack([np.asarray(space.sample()) for _ in range(draw.choice([1, 4]))])
    kind = draw.choice(["csv", "csv", "npy", "npz", "jsonl", "parquet"])
    path = folder / f"observations.{kind}"
    if kind == "npy":
        np.save(path, rows)
    elif kind == "npz":
        np.savez(path, observations=rows)
    elif kind == "parquet":
        flat = rows.reshape(len(rows), -1)
        pl.DataFrame({f"x{at}": flat[:, at] for at in range(flat.shape[1])}).write_parquet(path)
    else:
        text = io.StringIO()
        for row in rows.reshape(len(rows), -1).tolist():
            cells = [str(cell) for cell in row]
            if draw.random() < 0.2:
                cells[draw.randrange(len(cells))] = draw.choice(CELLS)
            separator = draw.choice([",", ";", "\t"])
            text.write(json.dumps(row) if kind == "jsonl" else separator.join(cells))
            text.write("\n")
        path.write_text(text.getvalue())
    return path, form


def run(tally: Tally, count: int, seed: int, work: Path) -> None:
    """Try logs."""
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        form: Any = None
        kind = draw.choice(["purchases", "purchases", "transitions", "observations"])
        if kind == "purchases":
            path = purchase_log(draw, work)
        elif kind == "transitions":
            path = transitions(draw, work)
        else:
            path, form = observation_file(draw, work)
        damaged = draw.random() < 0.4
        if damaged:
            path.write_bytes(bytes_of(path.read_bytes(), draw))
        given = draw.choice([Given(None, None), Given(SPACES[2], spaces.Discrete(4))])

        def look(
            kind: str = kind, path: Path = path, form: Any = form, given: Given = given
        ) -> None:
            if kind == "purchases":
                read_purchases(path)
            elif kind == "transitions":
                read(path, given)
            else:
                list(observations(path, form))

        tally.try_one((number, kind, path.name, "damaged" if damaged else "as it comes"), look)
        path.unlink()
