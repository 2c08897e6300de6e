"""Embeddings that go on learning while the policy does (Pritz et al. 2021, Algorithm 1)."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from embrl.config.run import UpdateConfig
from embrl.core.types import Key, Transition
from embrl.data.replay import Replay
from embrl.data.segments import Segments, draw_segments, join
from embrl.decoding import nearest
from embrl.embedding import pretraining as fitting
from embrl.embedding.encoders import Norm, StateEncoder
from embrl.embedding.memory import Memory
from embrl.embedding.model import JointEmbedding
from embrl.embedding.pretraining import FitState, Weights

NORM_PACE = 0.1
"""How far the policy's view of X is moved towards where states now lie, at each update."""

NORM_SAMPLE = 2048
"""States that say where they lie."""


class Moving(NamedTuple):
    """What an update changes."""

    embedding: JointEmbedding
    norm: Norm | None
    optimiser: optax.OptState
    f_optimiser: optax.OptState
    """Of an f that is a network; empty otherwise."""
    memory: Memory | None


def offsets(
    embedding: JointEmbedding,
    action: Array,
    e: Float[Array, "*batch d"],
    allowed: Bool[Array, " n"] | None = None,
) -> Array:
    """E - g(a): what the replay buffer keeps of an internal action (docs/decisions/0010).

    Where f chose another action than the nearest (it was judged, or drawn), e says nothing of a,
    and a's own place is kept: 0. Where f is a network, every e stands for just its action.

    Arguments:
        allowed: actions that f may return; None: all.
    """
    offset = e - embedding.g(action)
    table = embedding.g.table
    if table is None:
        return offset
    return jnp.where((nearest(table, e, allowed) == action)[..., None], offset, 0.0)


def re_embedded(
    embedding: JointEmbedding,
    action: Array,
    offset: Float[Array, "*batch d"],
    allowed: Bool[Array, " n"] | None = None,
    *,
    moves: bool,
) -> Float[Array, "*batch d"]:
    """The internal action behind a replayed one, in terms of the embedding as it is now.

    With an embedding that never moved it is e as it was. Otherwise it has moved along with g(a);
    and where f no longer maps that to a, because neighbours came between, it is g(a).
    """
    place, table = embedding.g(action), embedding.g.table
    e = place + offset
    if not moves or table is None:
        return e
    return jnp.where((nearest(table, e, allowed) == action)[..., None], e, place)


def due(config: UpdateConfig, index: Int[Array, ""], epochs: int) -> Array:
    """Whether the embedding is updated after epoch `index` of `epochs`."""
    return ((index + 1) % config.every == 0) & (index < config.until * epochs)


def rate(config: UpdateConfig, index: Int[Array, ""], epochs: int) -> Float[Array, ""]:
    """The learning rate of an update after epoch `index`."""
    left = 1.0 - index / jnp.maximum(config.until * epochs, 1.0)
    return config.learning_rate * (left if config.schedule == "linear" else jnp.float32(1.0))


def move(
    moving: Moving,
    fresh: Transition,
    replay: Replay,
    key: Key,
    learning_rate: Float[Array, ""],
    *,
    config: UpdateConfig,
    weights: Weights,
    horizon: int,
    rows: Int[Array, ""],
    remember: Callable[[JointEmbedding, Transition, Array], Memory] | None,
) -> Moving:
    """One update: some gradient steps on the latest epoch and the buffer.

    Arguments:
        fresh: the epoch, `[T, B, ...]`.
        rows: of the buffer that hold transitions.
        remember: what becomes of them, if anything.
    """
    from_fresh = round(config.fresh * config.batch)
    block = fresh.reward.shape[0]
    old = functools.partial(draw_segments, replay.steps, horizon=horizon, block=block, rows=rows)

    def draw(key: Key) -> Segments:
        key_fresh, key_old = jax.random.split(key)
        if from_fresh == config.batch:
            return draw_segments(fresh, key_fresh, config.batch, horizon)
        if from_fresh == 0:
            return old(key_old, config.batch)
        return join(
            draw_segments(fresh, key_fresh, from_fresh, horizon),
            old(key_old, config.batch - from_fresh),
        )

    key_fit, key_norm = jax.random.split(key)
    rates = jnp.full(config.steps, learning_rate)
    (embedding, optimiser), _ = fitting.fit(
        FitState(moving.embedding, moving.optimiser),
        draw,
        jax.random.split(key_fit, config.steps),
        rates,
        weights=weights,
    )
    keys = jax.random.split(jax.random.fold_in(key, 1), config.steps)
    embedding, f_optimiser = fitting.fit_decoder(embedding, moving.f_optimiser, draw, keys, rates)
    norm = moving.norm
    if norm is not None and isinstance(embedding.phi, StateEncoder):
        seen = draw_segments(replay.steps, key_norm, NORM_SAMPLE, rows=rows).steps.observation[0]
        norm = jax.tree.map(
            lambda old, new: old + NORM_PACE * (new - old), norm, Norm.of(embedding.phi(seen))
        )
    memory = None if remember is None else remember(embedding, replay.steps, rows)
    return Moving(embedding, norm, optimiser, f_optimiser, memory)
