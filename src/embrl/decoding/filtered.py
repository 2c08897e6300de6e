"""The nearest of all actions at the speed of a matrix product, and still exact.

||g - e||^2 = ||g||^2 - 2 g.e + ||e||^2, and g.e of all actions and points is a matrix product, a
fourth of the time of their differences. It cancels, so that in float32 its least value is not
always that of the nearest action. But its rounding is bounded. So it only tells, for each block of
actions, how near one of them can be at best; blocks are looked at in that order, by differences,
until no other one can have a nearer action.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

BLOCK = 32
"""Actions of a block. With 64 to 256 it is as fast or slower."""

LANES = 128
"""Points that are searched for together, at most."""

MOST_TURNS = 32
"""Blocks that are looked at for a point, at most: beyond them, comparing all is faster."""


class _BlockSearch(NamedTuple):
    """Searches for several points in the middle of their way."""

    lows: Float[Array, "lanes blocks"]
    """Half of how near, squared, an action of each block can be; inf of blocks looked at."""
    square: Float[Array, " lanes"]
    """The least squared distance so far."""
    action: Int[Array, " lanes"]
    """The first action that has it."""
    turns: Int[Array, ""]


def pays(n: int, d: int) -> bool:
    """Return whether it is faster than the differences of n actions in d dimensions (on a CPU)."""
    return n >= 2_048 and d > 3


def nearest(
    table: Float[Array, "n d"],
    e: Float[Array, "*batch d"],
    mask: Bool[Array, "*#batch n"] | None,
    compare_all: Callable[[Array, Array | None], Array],
    at_once: int,
) -> Int[Array, "*batch"]:
    """Return the nearest action of each point, int32; the lowest index among equals.

    Args:
        table: embeddings of a multiple of `BLOCK` actions; inf where there is none.
        e: points.
        mask: actions that may be chosen; None: all.
        compare_all: finds the nearest actions of points `[lanes, d]` under masks by differences. It
            is asked where very many actions are about equally near, or numbers are not finite.
        at_once: number of distances in memory at once.
    """
    (n, d), batch = table.shape, e.shape[:-1]
    points = e.reshape(-1, d)
    count = points.shape[0]
    if mask is not None and mask.ndim > 1:
        mask = jnp.broadcast_to(mask, (*batch, n)).reshape(count, n)
    halves = (table**2).sum(-1) / 2

    def group(rows: Int[Array, " lanes"]) -> Int[Array, " lanes"]:
        mine = mask if mask is None or mask.ndim == 1 else mask[rows]
        found, unsure = _walk(table, halves, points[rows], mine)
        # A loop of one turn or none: under a vmap, a condition would always compute both.
        found, _ = jax.lax.while_loop(
            lambda state: state[1],
            lambda state: (compare_all(points[rows], mine), jnp.zeros_like(state[1])),
            (found, unsure.any()),
        )
        return found

    # The last group is filled up with copies of the last point.
    lanes = min(count, LANES, max(1, at_once // n))
    rows = jnp.minimum(jnp.arange(-(-count // lanes) * lanes), count - 1).reshape(-1, lanes)
    found = group(rows[0])[None] if len(rows) == 1 else jax.lax.map(group, rows)
    return found.reshape(-1)[:count].reshape(batch)


def _walk(
    table: Float[Array, "n d"],
    halves: Float[Array, " n"],
    e: Float[Array, "lanes d"],
    allowed: Bool[Array, "#lanes n"] | Bool[Array, " n"] | None,
) -> tuple[Int[Array, " lanes"], Bool[Array, " lanes"]]:
    """Return the nearest actions, and for which points they are not sure to be."""
    (n, d), lanes = table.shape, e.shape[0]
    free = jnp.isfinite(halves)
    reach = jnp.sqrt(2 * jnp.where(free, halves, 0.0).max()) + jnp.linalg.norm(e, axis=-1)
    # That of the product, of both squares and of the differences, as halves of squares.
    rounding = (d + 2) * jnp.finfo(e.dtype).eps * reach**2
    if allowed is not None:
        free &= allowed
    product = jnp.matmul(e, table.T, precision=jax.lax.Precision.HIGHEST)
    lows = jnp.where(free, halves - product, jnp.inf).reshape(lanes, -1, BLOCK).min(-1)
    lows += ((e**2).sum(-1) / 2 - rounding)[:, None]
    blocks = table.reshape(-1, BLOCK, d)
    names = jnp.arange(blocks.shape[0], dtype=jnp.int32)

    def is_open(state: _BlockSearch) -> Bool[Array, " lanes"]:
        return state.lows.min(-1) <= state.square / 2

    def turn(state: _BlockSearch) -> _BlockSearch:
        least = state.lows.min(-1, keepdims=True)
        block = jnp.where(state.lows == least, names, names[-1]).min(-1, keepdims=True)
        square = ((blocks[block[:, 0]] - e[:, None]) ** 2).sum(-1)
        actions = block * BLOCK + jnp.arange(BLOCK, dtype=jnp.int32)
        known = jnp.broadcast_to(free, (lanes, n))
        square = jnp.where(jnp.take_along_axis(known, actions, -1), square, jnp.inf)
        here = square.min(-1)
        action = jnp.where(square == here[:, None], actions, n).min(-1)
        nearer = (here < state.square) | ((here == state.square) & (action < state.action))
        return _BlockSearch(
            jnp.where(names == block, jnp.inf, state.lows),
            jnp.where(nearer, here, state.square),
            jnp.where(nearer, action, state.action),
            state.turns + 1,
        )

    nothing = jnp.full(lanes, jnp.inf, e.dtype), jnp.full(lanes, n, jnp.int32)
    end = jax.lax.while_loop(
        lambda state: is_open(state).any() & (state.turns < MOST_TURNS),
        turn,
        _BlockSearch(lows, *nothing, jnp.int32(0)),
    )
    return end.action, is_open(end) | ~jnp.isfinite(end.square)
