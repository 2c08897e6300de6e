"""Decoders: exact nearest actions, against SciPy's k-d tree (also exact) and XLA's top_k.

Draws of the softmax decoder are measured against the Gumbel trick.
"""

import importlib
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.spatial import KDTree

from benchmarks.timing import Row, compare, installed
from embrl.decoding import SoftmaxAction, k_nearest, nearest
from embrl.decoding.search import squared_distances
from embrl.decoding.tree import build, search

QUERIES = 10_000
TOGETHER = 1_024
"""Points that a tree is searched for in one call."""
STEPS = 10
"""Steps in one compiled call for k > 1, as in a rollout."""


def run() -> Iterator[Row]:
    """Yield decisions per second."""
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
    yield from by_tree(random)
    for n, k, batch in [
        (512, 2, 300),
        (512, 16, 300),
        (512, 32, 300),
        (4_096, 2, 300),
        (4_096, 16, 300),
        (4_096, 32, 300),
        (512, 16, 1_500),
        (4_096, 16, 1_500),
    ]:
        yield from several(random, n, k, batch)
    for n in (512, 4_096):
        yield draws(random, n, 300)


def by_tree(random: np.random.Generator) -> Iterator[Row]:
    """Yield searches by the tree of boxes, against SciPy's tree on one core."""
    for n, d in [(100_000, 2), (1_000_000, 2), (100_000, 8), (1_000_000, 8)]:
        table = random.uniform(-1, 1, (n, d)).astype(np.float32)
        queries = random.uniform(-1, 1, (TOGETHER, d)).astype(np.float32)
        index, find, tree = jax.jit(build)(jnp.asarray(table)), jax.jit(search), KDTree(table)
        yield compare(
            f"nearest of {n:,} actions in {d}-d by the tree, {TOGETHER:,} at once",
            lambda find=find, index=index, queries=queries: jax.block_until_ready(
                find(index, queries)
            ),
            TOGETHER,
            "SciPy KDTree, one core",
            lambda tree=tree, queries=queries: tree.query(queries),
            TOGETHER,
        )
        if not installed("faiss"):
            continue
        exact = importlib.import_module("faiss").IndexFlatL2(d)
        exact.add(table)
        yield compare(
            f"nearest of {n:,} actions in {d}-d by the tree, {TOGETHER:,} at once",
            lambda find=find, index=index, queries=queries: jax.block_until_ready(
                find(index, queries)
            ),
            TOGETHER,
            "faiss IndexFlatL2",
            lambda exact=exact, queries=queries: exact.search(queries, 1),
            TOGETHER,
            repetitions=3,
        )


def several(random: np.random.Generator, n: int, k: int, batch: int) -> Iterator[Row]:
    """Yield searches for the k nearest of n actions in 2-d, for `batch` points in each step."""
    table = jnp.asarray(random.uniform(-1, 1, (n, 2)).astype(np.float32))
    queries = random.uniform(-1, 1, (STEPS, batch, 2)).astype(np.float32)
    tree = KDTree(table)
    ours = compiled(lambda e: k_nearest(table, e, k))
    sort = compiled(lambda e: jax.lax.top_k(-squared_distances(table, e), k))
    for name, theirs in (
        ("XLA top_k", lambda: jax.block_until_ready(sort(queries))),
        ("SciPy KDTree", lambda: [tree.query(e, k, workers=-1) for e in queries]),
    ):
        yield compare(
            f"{k} nearest of {n:,} actions in 2-d, {batch:,} at once",
            lambda: jax.block_until_ready(ours(queries)),
            STEPS * batch,
            name,
            theirs,
            STEPS * batch,
        )


def draws(random: np.random.Generator, n: int, batch: int) -> Row:
    """Return draws of one of n actions in 2-d for `batch` points in each step, with their noise."""
    table = jnp.asarray(random.uniform(-1, 1, (n, 2)).astype(np.float32))
    queries = random.uniform(-1, 1, (STEPS, batch, 2)).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), STEPS)
    f, temperature = SoftmaxAction(0.05), jnp.float32(0.05)

    def by_gumbel(step: tuple[Array, Array]) -> Array:
        key, e = step
        return jax.random.categorical(key, -squared_distances(table, e) / temperature)

    ours = compiled(lambda step: f(table, step[1], f.noise(step[0], (batch,))))
    theirs = compiled(by_gumbel)
    return compare(
        f"softmax draws from {n:,} actions in 2-d, {batch:,} at once",
        lambda: jax.block_until_ready(ours((keys, queries))),
        STEPS * batch,
        "jax.random.categorical",
        lambda: jax.block_until_ready(theirs((keys, queries))),
        STEPS * batch,
    )


def compiled(search: Callable[..., object]) -> Callable[..., object]:
    """Return one compiled program that takes the steps one after another."""
    return jax.jit(lambda steps: jax.lax.scan(lambda _, e: (None, search(e)), None, steps)[1])
