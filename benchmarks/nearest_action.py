"""f: exact nearest actions, ours against SciPy's k-d tree (also exact)."""

from collections.abc import Iterator

import jax
import numpy as np
from scipy.spatial import KDTree

from benchmarks.timing import Row, compare
from embrl.decoding import nearest

QUERIES = 10_000


def run() -> Iterator[Row]:
    random = np.random.default_rng(0)
    for n, d in [(512, 2), (2_048, 2), (835, 8), (100_000, 8)]:
        table = random.uniform(-1, 1, (n, d)).astype(np.float32)
        queries = random.uniform(-1, 1, (QUERIES, d)).astype(np.float32)
        find = jax.jit(nearest)
        tree = KDTree(table)
        yield compare(
            f"nearest of {n:,} actions in {d}-d",
            lambda find=find, table=table, queries=queries: find(
                table, queries
            ).block_until_ready(),
            QUERIES,
            "SciPy KDTree",
            lambda tree=tree, queries=queries: tree.query(queries, workers=-1),
            QUERIES,
        )
