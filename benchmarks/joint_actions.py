"""Exact search among joint actions of 20 parts with 67 values each (3e36), against listing less.

The rival searches a table of 2^20 of these actions, as many as can be listed, by the tree of boxes.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Row, compare
from embrl.core.products import Product
from embrl.decoding.constraint import Constraint, nearest_feasible
from embrl.decoding.joint import k_nearest_joint, nearest_joint
from embrl.decoding.products import ProductTable, k_nearest, nearest
from embrl.decoding.tree import build, search
from embrl.envs.replenishment import JointReplenishmentConfig

PARTS, VALUES, K = 20, 67, 32
TOGETHER = 4_096
FEW = 200


def run() -> Iterator[Row]:
    """Yield joint actions per second."""
    random = np.random.default_rng(0)
    product = Product((VALUES,) * PARTS)
    for d in (1, 2):
        points = random.uniform(-1, 1, (PARTS * VALUES, d)).astype(np.float32)
        table = ProductTable(jnp.asarray(points), product, None)
        queries = random.uniform(-1, 1, (TOGETHER, PARTS * d)).astype(np.float32)
        listed = random.uniform(-1, 1, (2**20, PARTS * d)).astype(np.float32)
        index, few = jax.jit(build)(jnp.asarray(listed)), queries[:32]
        find, by_tree = jax.jit(nearest), jax.jit(search)
        yield compare(
            f"nearest of 67^20 joint actions, {d} dimension{'s' * (d > 1)} a part",
            lambda find=find, table=table, queries=queries: jax.block_until_ready(
                find(table, queries)
            ),
            TOGETHER,
            "of 2^20 listed ones",
            lambda by_tree=by_tree, index=index, few=few: jax.block_until_ready(
                by_tree(index, few)
            ),
            len(few),
            repetitions=3,
        )
        if d > 1:
            continue
        several = jax.jit(lambda table, e: k_nearest(table, e, K))
        parts = random.random((512, PARTS, VALUES)).astype(np.float32)
        for name, ours, count in (
            (
                "compiled",
                lambda several=several, table=table, queries=queries: jax.block_until_ready(
                    several(table, queries[:512])
                ),
                512,
            ),
            ("NumPy", lambda parts=parts: k_nearest_joint(parts, K), 512),
        ):
            yield compare(
                f"{K} nearest of 67^20, {name}",
                ours,
                count * K,
                "a heap that asks a function",
                lambda parts=parts: [nearest_joint(one, K, lambda _: True) for one in parts[:FEW]],
                FEW * K,
                repetitions=3,
            )
    yield _under_a_capacity(random)


def _under_a_capacity(random: np.random.Generator) -> Row:
    """Compare the nearest feasible joint orders of 20 items with the nearest of all."""
    env = JointReplenishmentConfig(items=PARTS, capacity=16 * PARTS).build()
    line = np.tile(np.linspace(-1, 1, VALUES, dtype=np.float32), PARTS)[:, None]
    table = ProductTable(jnp.asarray(line), Product((VALUES,) * PARTS), None)
    queries = random.uniform(-1, 1, (256, PARTS)).astype(np.float32)
    seen = jnp.full((256, PARTS), 5.0)
    feasible = jax.jit(lambda e: nearest_feasible(table, e, Constraint(env, seen), K))
    every = jax.jit(lambda e: k_nearest(table, e, K))
    return compare(
        f"nearest feasible of 67^20 among {K} and {K} at a price",
        lambda: jax.block_until_ready(feasible(queries)),
        len(queries),
        f"the {K} nearest, whether they are feasible or not",
        lambda: jax.block_until_ready(every(queries)),
        len(queries),
        repetitions=3,
    )
