"""Segments: single steps or several consecutive ones, drawn at random from transitions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from embrl.core.types import Key, Transition


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
