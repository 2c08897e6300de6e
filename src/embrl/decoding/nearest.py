"""f for discrete actions: the exact nearest action in embedding space."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

CHUNK = 8192
"""Actions looked at in one go: bounds memory at queries x CHUNK distances."""


def nearest(
    table: Float[Array, "n d"],
    e: Float[Array, "*batch d"],
    mask: Bool[Array, "*#batch n"] | None = None,
) -> Int[Array, "*batch"]:
    """The action a that minimises ||g(a) - e||, as int32; the lowest index among equals.

    Differences are squared as they are: the expanded form |g|^2 - 2 g.e + |e|^2 cancels, and in
    float32 picks a wrong action about once in a hundred times.

    Arguments:
        table: g(a) of every action.
        e: any number of points.
        mask: True where an action may be chosen; at least one must be. A masked action is never
            returned while another is allowed.
    """
    n = table.shape[0]
    if n <= CHUNK:
        return _nearest(table, e, mask)[1]

    def look(best: tuple[Array, Array], start: Array) -> tuple[tuple[Array, Array], None]:
        # The last chunk reaches back over the one before; seeing an action twice is harmless.
        start = jnp.minimum(start, n - CHUNK)
        part = jax.lax.dynamic_slice_in_dim(table, start, CHUNK)
        allowed = (
            None if mask is None else jax.lax.dynamic_slice_in_dim(mask, start, CHUNK, axis=-1)
        )
        distance, index = _nearest(part, e, allowed)
        closer = distance < best[0]
        return (
            jnp.where(closer, distance, best[0]),
            jnp.where(closer, start + index, best[1]),
        ), None

    batch = e.shape[:-1]
    nothing = jnp.full(batch, jnp.inf, e.dtype), jnp.zeros(batch, jnp.int32)
    starts = jnp.arange(0, n, CHUNK, dtype=jnp.int32)
    (_, index), _ = jax.lax.scan(look, nothing, starts)
    return index


def _nearest(table: Array, e: Array, mask: Array | None) -> tuple[Array, Array]:
    # One coordinate at a time: XLA fuses this into a single pass without a [.., n, d] array.
    distance = jnp.zeros((*e.shape[:-1], table.shape[0]), e.dtype)
    for axis in range(table.shape[1]):
        distance += (e[..., axis, None] - table[:, axis]) ** 2
    if mask is not None:
        # Even where a distance overflows, an allowed action is nearer than a masked one.
        distance = jnp.where(mask, jnp.minimum(distance, jnp.finfo(e.dtype).max), jnp.inf)
    # Two plain minima instead of an argmin, which XLA does not vectorise on the CPU.
    least = distance.min(-1)
    indices = jnp.arange(table.shape[0], dtype=jnp.int32)
    last = table.shape[0] - 1  # where e is NaN nothing is nearest; stay within the table
    first = jnp.where(distance == least[..., None], indices, last).min(-1)
    return least, first
