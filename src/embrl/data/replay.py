"""Replay buffer, a ring of the latest transitions; and segments drawn from transitions."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from embrl.core.types import Key, Transition


class Replay(NamedTuple):
    """Ring buffer of R rows, with a step of each of B environments in a row.

    It is written in blocks of a fixed number of rows. The caller keeps the number of blocks written
    so far: it is the same for all seeds, and a counter in here would turn every write under a vmap
    into a scatter.
    """

    steps: Transition
    """Transitions, `[R, B, ...]`."""
    offset: Float[Array, "R B d"] | None
    """u - g(a) at the time of the step: the internal action u relative to the embedding of the
    action (docs/decisions/0010). None where actions are not embedded."""
    mask: UInt8[Array, "R B bytes"] | None = None
    """Actions that could be chosen, packed (`embrl.core.masks.pack`); None where none is masked, or
    nothing that is learned depends on it."""
    next_mask: UInt8[Array, "R B bytes"] | None = None
    """The same in the next observation; None, too, where points of E are chosen."""


def ring_rows(capacity: int, num_envs: int, block: int) -> int:
    """Return the number of rows for at least `capacity` transitions, in whole blocks.

    Args:
        capacity: transitions.
        num_envs: parallel environments, B.
        block: rows of a block.
    """
    return math.ceil(capacity / (num_envs * block)) * block


def new_replay(
    like: Transition, rows: int, d: int | None, mask_bytes: tuple[int, int] = (0, 0)
) -> Replay:
    """Return an empty buffer.

    Args:
        like: transitions `[T, B, ...]` with the shapes and dtypes to store; T does not matter.
        rows: rows of the buffer, R.
        d: dimensions of the action embedding; None: no offsets are stored.
        mask_bytes: length of a packed mask, and of one of the next observation; 0: none is stored.
    """
    num_envs = like.reward.shape[1]
    steps = jax.tree.map(lambda column: jnp.zeros((rows, *column.shape[1:]), column.dtype), like)
    masks = (jnp.zeros((rows, num_envs, n), jnp.uint8) if n else None for n in mask_bytes)
    return Replay(steps, None if d is None else jnp.zeros((rows, num_envs, d)), *masks)


def write(
    replay: Replay,
    block: Transition,
    offset: Array | None,
    written: Int[Array, ""] | int,
    masks: tuple[Array, Array] | None = None,
) -> Replay:
    """Return the buffer with a block in place of the oldest one.

    Args:
        replay: the buffer.
        block: transitions `[T, B, ...]`; T must divide R.
        offset: `[T, B, d]`; None: 0, as for actions that were not chosen by way of E.
        written: number of blocks of this size written before.
        masks: packed masks now and in the next observations, `[T, B, bytes]`, as far as the buffer
            has a place for them; None: every action could be chosen.
    """
    rows = block.reward.shape[0]
    start = (jnp.int32(written) * rows) % replay.steps.reward.shape[0]

    def put(ring: Array, new: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(ring, new.astype(ring.dtype), start, axis=0)

    def put_or(ring: Array | None, new: Array | None, otherwise: int) -> Array | None:
        if ring is None:
            return None
        return put(ring, jnp.full((rows, *ring.shape[1:]), otherwise) if new is None else new)

    now, following = masks or (None, None)
    return Replay(
        jax.tree.map(put, replay.steps, block),
        put_or(replay.offset, offset, 0),
        put_or(replay.mask, now, 255),
        put_or(replay.next_mask, following, 255),
    )


def filled(replay: Replay, block: int, written: Int[Array, ""] | int) -> Int[Array, ""]:
    """Return the number of rows that hold transitions after `written` blocks of `block` rows."""
    return jnp.minimum(jnp.int32(written) * block, replay.steps.reward.shape[0])


def draw(replay: Replay, key: Key, count: int, rows: Array | int) -> Replay:
    """Draw transitions uniformly, with replacement.

    Args:
        replay: the buffer.
        key: random key.
        count: number of transitions.
        rows: number of rows that hold transitions (`filled`); may be traced.

    Returns:
        The transitions, `[count, ...]`, with all that the buffer holds of them.
    """
    num_envs = replay.steps.reward.shape[1]
    chosen = jax.random.randint(key, (count,), 0, rows * num_envs, jnp.int32)
    return jax.tree.map(lambda column: column[chosen // num_envs, chosen % num_envs], replay)


class Segments(NamedTuple):
    """`N` segments of `H` consecutive steps."""

    steps: Transition
    """Transitions, `[H, N, ...]`."""
    mask: Bool[Array, "H N"]
    """True for steps that belong to the episode of their segment's first step."""


def draw_segments(
    transitions: Transition,
    key: Key,
    count: int,
    horizon: int = 1,
    *,
    block: int | None = None,
    rows: Array | int | None = None,
) -> Segments:
    """Draw segments that begin at random steps, with replacement.

    If there are fewer rows than steps in a segment, segments begin at the first row, and the steps
    that are missing are masked.

    Args:
        transitions: `[T, B, ...]`, T rows in time and B environments.
        key: random key.
        count: number of segments, N.
        horizon: steps of a segment, H.
        block: number of rows that are consecutive in time, as in a ring buffer; None: all are.
        rows: number of rows that hold transitions; None: all. May be traced.
    """
    total, num_envs = transitions.reward.shape
    block = total if block is None else block
    rows = total if rows is None else rows
    starts = jnp.maximum(rows - horizon + 1, 1)
    chosen = jax.random.randint(key, (count,), 0, starts * num_envs, jnp.int32)
    row, env = chosen // num_envs, chosen % num_envs
    steps = row + jnp.arange(horizon, dtype=jnp.int32)[:, None]
    drawn = jax.tree.map(lambda column: column[steps, env], transitions)
    ends = drawn.terminated | drawn.truncated | (steps % block == block - 1) | (steps >= rows - 1)
    inside = jnp.cumsum(ends, axis=0) - ends == 0
    return Segments(drawn, inside)


def first(segments: Segments) -> Transition:
    """Return the first step of each segment, `[N, ...]`."""
    return jax.tree.map(lambda column: column[0], segments.steps)


def join(one: Segments, other: Segments) -> Segments:
    """Return the segments of both, `[H, N1 + N2, ...]`."""
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), one, other)
