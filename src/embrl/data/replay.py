"""The latest transitions, in a ring."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from embrl.core.types import Key, Transition


class Replay(NamedTuple):
    """A ring of R rows of B lanes, written in blocks of a fixed number of rows.

    How many blocks were written so far is the caller's to know: it is the same for all seeds, and
    a counter in here would turn every write under a vmap into a scatter.
    """

    steps: Transition
    """`[R, B, ...]`"""
    offset: Float[Array, "R B d"] | None
    """e - g(a) when the step was taken: the internal action, told from where a's embedding lay
    (docs/decisions/0010). None where actions are not embedded."""


def ring_rows(samples: int, lanes: int, block: int) -> int:
    """Rows that hold at least `samples` transitions in whole blocks."""
    return math.ceil(samples / (lanes * block)) * block


def new_replay(like: Transition, rows: int, d: int | None) -> Replay:
    """An empty ring for transitions that look like those of `like`, `[T, B, ...]`."""
    lanes = like.reward.shape[1]
    steps = jax.tree.map(lambda column: jnp.zeros((rows, *column.shape[1:]), column.dtype), like)
    return Replay(steps, None if d is None else jnp.zeros((rows, lanes, d)))


def write(
    replay: Replay, block: Transition, offset: Array | None, written: Int[Array, ""] | int
) -> Replay:
    """Puts a block over the oldest one.

    Arguments:
        block: `[T, B, ...]`; T must divide R.
        offset: `[T, B, d]`; None: 0, as of actions that were chosen as themselves.
        written: blocks of this size written before.
    """
    rows = block.reward.shape[0]
    start = (jnp.int32(written) * rows) % replay.steps.reward.shape[0]

    def put(ring: Array, new: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(ring, new.astype(ring.dtype), start, axis=0)

    steps = jax.tree.map(put, replay.steps, block)
    if replay.offset is None:
        return Replay(steps, None)
    if offset is None:
        offset = jnp.zeros((rows, *replay.offset.shape[1:]), replay.offset.dtype)
    return Replay(steps, put(replay.offset, offset))


def filled(replay: Replay, block: int, written: Int[Array, ""] | int) -> Int[Array, ""]:
    """Rows that hold transitions after `written` blocks."""
    return jnp.minimum(jnp.int32(written) * block, replay.steps.reward.shape[0])


def draw(
    replay: Replay, key: Key, count: int, rows: Array | int
) -> tuple[Transition, Float[Array, "count d"] | None]:
    """`count` steps and their offsets, drawn with replacement from the first `rows` rows."""
    lanes = replay.steps.reward.shape[1]
    chosen = jax.random.randint(key, (count,), 0, rows * lanes, jnp.int32)
    return jax.tree.map(
        lambda column: column[chosen // lanes, chosen % lanes], (replay.steps, replay.offset)
    )
