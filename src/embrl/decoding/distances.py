"""Squared distances between points of E and all actions."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def squared_distances(
    table: Float[Array, "n d"],
    e: Float[Array, "*batch d"],
    mask: Bool[Array, "*#batch n"] | None = None,
) -> Float[Array, "*batch n"]:
    """||g(a) - e||^2 of every action a; inf where it is masked, and only there.

    Differences are squared as they are: the expanded form |g|^2 - 2 g.e + |e|^2 cancels, and in
    float32 picks a wrong nearest action about once in a hundred times. Where a distance overflows
    or is NaN, the action is as far away as an allowed one can be.
    """
    # One coordinate at a time: XLA fuses this into a single pass without a [.., n, d] array.
    distance = jnp.zeros((*e.shape[:-1], table.shape[0]), e.dtype)
    for axis in range(table.shape[1]):
        distance += (e[..., axis, None] - table[:, axis]) ** 2
    far = jnp.asarray(jnp.finfo(e.dtype).max / 2, e.dtype)
    distance = jnp.where(distance <= far, distance, far)
    return distance if mask is None else jnp.where(mask, distance, jnp.inf)


def filled_up(table: Array, mask: Array | None, width: int) -> tuple[Array, Array | None]:
    """The table and mask of a multiple of `width` actions; those added are masked.

    Padding distances instead would leave their whole computation scalar on the CPU.
    """
    n = table.shape[0]
    lacking = -n % width
    if not lacking:
        return table, mask
    table = jnp.pad(table, ((0, lacking), (0, 0)))
    if mask is None:
        return table, jnp.arange(n + lacking, dtype=jnp.int32) < n
    padding = [(0, 0)] * (mask.ndim - 1) + [(0, lacking)]
    # Apart, for the same reason.
    return table, jax.lax.optimization_barrier(jnp.pad(mask, padding))
