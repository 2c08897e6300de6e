"""Time, memory and recall of a store with many rows: the table of docs/store.md.

    python -m benchmarks.store_figures FOLDER_OR_URI [--rows 1000000] [--index flat]

Vectors of 16 numbers with a price, a stock flag and a name are loaded, and searched with and
without filters. Recall is counted against distances in float64.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from embrl.store.store import Store

DIM, K, QUERIES = 16, 10, 50
COLUMNS = {"price": "number", "in_stock": "flag", "name": "text"}
FILTERS = ("", "price < 50 and in_stock", "price < 1 and in_stock")


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Return the seconds that a call takes, and its result."""
    began = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - began, result


def clustered(rows: int) -> np.ndarray:
    """Return vectors around 1,000 centres, as embeddings of actions lie."""
    rng = np.random.default_rng(0)
    centres = rng.uniform(-1, 1, (1_000, DIM))
    found = centres[rng.integers(0, 1_000, rows)] + 0.1 * rng.normal(size=(rows, DIM))
    return found.astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--index", default="auto")
    given = parser.parse_args()
    vectors, rng = clustered(given.rows), np.random.default_rng(1)
    price, stocked = rng.uniform(0, 100, given.rows), rng.random(given.rows) < 0.5
    names = [f"item {at}" for at in range(given.rows)]
    metadata = {"price": price, "in_stock": stocked, "name": names}
    store = Store(given.uri)
    items = store.create(
        "items", kind="actions", version="ab" * 8, dim=DIM, columns=COLUMNS, index=given.index
    )
    seconds, _ = timed(items.upsert, np.arange(given.rows), vectors, metadata)
    busy = time.process_time()
    print(f"| {given.rows:,} rows loaded | {seconds:.0f} s, of which {busy:.0f} s on a processor |")
    queries = vectors[rng.integers(0, given.rows, QUERIES)] + 0.05
    seconds, _ = timed(items.search, queries[:1], K)
    print(f"| first search | {seconds:.2f} s |")
    for text in FILTERS:
        keeps = np.ones(given.rows, bool)
        if text:
            keeps = stocked & (price < float(text.split()[2]))
        times, right = [], 0
        for query in queries:
            seconds, (hits,) = timed(items.search, [query], K, text)
            times.append(1000 * seconds)
            far = ((vectors[keeps].astype(np.float64) - query) ** 2).sum(1)
            nearest = np.flatnonzero(keeps)[np.argsort(far)[:K]]
            right += len(set(nearest.tolist()) & {hit.id for hit in hits})
        slowest = sorted(times)[int(0.95 * len(times))]
        what = f"search of {K}, {text or 'no filter'} ({keeps.mean():.1%} of the rows)"
        print(
            f"| {what} | median {statistics.median(times):.0f} ms, 95 % within {slowest:.0f} ms, "
            f"recall {right / (K * QUERIES):.3f} |"
        )
    busy = time.process_time()
    seconds, _ = timed(store.close)
    busy = time.process_time() - busy
    print(f"| closed | {seconds:.0f} s, of which {busy:.0f} s on a processor |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"| peak of memory | {peak:.2f} GB |")
    seconds, (store, items) = timed(opened, given.uri)
    print(f"| opened again, to the first search | {seconds:.1f} s |")
    store.close()


def opened(uri: str) -> tuple[Store, Any]:
    store = Store(uri)
    items = store.collection("items")
    items.search(np.zeros((1, DIM)), K)
    return store, items


if __name__ == "__main__":
    main()
