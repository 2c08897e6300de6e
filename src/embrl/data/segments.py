"""Random steps, or several steps in a row, from transitions of many lanes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from embrl.core.types import Key, Transition


class Segments(NamedTuple):
    """`H` steps in a row, from `N` places."""

    steps: Transition
    """`[H, N, ...]`"""
    mask: Bool[Array, "H N"]
    """Whether a step still belongs to the episode that its segment began in."""


def draw_segments(
    transitions: Transition,
    key: Key,
    count: int,
    horizon: int = 1,
    *,
    block: int | None = None,
    rows: Array | int | None = None,
) -> Segments:
    """`count` segments that begin at random steps, drawn with replacement.

    Where there are fewer rows than steps in a segment, they begin at the first one, and steps that
    there are not are masked.

    Arguments:
        transitions: `[T, B, ...]`: T rows in time, B lanes.
        horizon: steps of a segment, H.
        block: rows that follow on from each other come in blocks of this many; default: all do.
        rows: only the first `rows` are there yet; default: all. May be traced.
    """
    total, lanes = transitions.reward.shape
    block = total if block is None else block
    rows = total if rows is None else rows
    starts = jnp.maximum(rows - horizon + 1, 1)
    chosen = jax.random.randint(key, (count,), 0, starts * lanes, jnp.int32)
    row, lane = chosen // lanes, chosen % lanes
    steps = row + jnp.arange(horizon, dtype=jnp.int32)[:, None]
    drawn = jax.tree.map(lambda column: column[steps, lane], transitions)
    ends = drawn.terminated | drawn.truncated | (steps % block == block - 1) | (steps >= rows - 1)
    inside = jnp.cumsum(ends, axis=0) - ends == 0
    return Segments(drawn, inside)


def first(segments: Segments) -> Transition:
    """The first steps, `[N, ...]`."""
    return jax.tree.map(lambda column: column[0], segments.steps)


def join(one: Segments, other: Segments) -> Segments:
    """The segments of both, `[H, N1 + N2, ...]`."""
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), one, other)
