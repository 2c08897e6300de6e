"""Many points, some at a time."""

import math
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

AT_ONCE = 2**21
"""Distances in memory at once, for each seed. More are slower on the CPU: they leave the cache, and
every call begins with thousands of page faults."""

Found = TypeVar("Found", bound=PyTree[Array])


def in_groups(
    search: Callable[[Array, Array | None], Found],
    n: int,
    e: Float[Array, "*batch d"],
    mask: Bool[Array, "*#batch n"] | None,
) -> Found:
    """`search(e, mask)`, a function of each point alone, for groups of points one after another."""
    batch = e.shape[:-1]
    size = max(1, AT_ONCE // n)
    if math.prod(batch) <= size:
        return search(e, mask)
    points = e.reshape(-1, e.shape[-1])
    if mask is None or mask.ndim == 1:
        found = jax.lax.map(lambda point: search(point, mask), points, batch_size=size)
    else:
        masks = jnp.broadcast_to(mask, (*batch, n)).reshape(-1, n)
        found = jax.lax.map(lambda pair: search(*pair), (points, masks), batch_size=size)
    return jax.tree.map(lambda part: part.reshape(*batch, *part.shape[1:]), found)
