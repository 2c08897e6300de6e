"""Online updates of the embedding during policy training (Pritz et al. 2021, Algorithm 1)."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from embrl.algorithms.base import ActionTable
from embrl.config.run import OnlineConfig
from embrl.core.types import Key, Transition
from embrl.data.replay import Replay, Segments, draw_segments, join
from embrl.decoding import ProductTable, nearest
from embrl.embedding import pretraining
from embrl.embedding.chosen_rows import narrowed, widened
from embrl.embedding.encoders import Norm, StateEncoder
from embrl.embedding.memory import Memory
from embrl.embedding.model import JointEmbedding
from embrl.embedding.pretraining import FitState, Weights

NORM_RATE = 0.1
"""Step of the policy's normalisation of X, at each update, towards that of current embeddings."""

NORM_SAMPLE = 2048
"""States that the normalisation is estimated from."""


class OnlineState(NamedTuple):
    """Everything that an online update changes."""

    embedding: JointEmbedding
    norm: Norm | None
    optimiser: optax.OptState
    f_optimiser: optax.OptState
    """Optimiser of an f that is a network; empty otherwise."""
    memory: Memory | None


def offsets(
    embedding: JointEmbedding,
    table: ActionTable,
    action: Array,
    e: Float[Array, "*batch d"],
    allowed: Bool[Array, "*#batch n"] | None = None,
) -> Array:
    """Return e - g(a), which the replay buffer keeps of an internal action (docs/decisions/0010).

    If f chose another action than the nearest (by score, or at random), e says nothing of a, and
    the offset is 0. If f is a network, every e stands for its own action.

    Args:
        embedding: the current embedding.
        table: what f decodes with.
        action: original actions, `[*batch, ...]`.
        e: the internal actions behind them.
        allowed: actions that f could return, `[n]` or with the leading axes; None: all.
    """
    offset = e - place_of(embedding, table, action)
    if table is None or callable(table):
        return offset
    return jnp.where(_agree(table, e, action, allowed), offset, 0.0)


def re_embedded(
    embedding: JointEmbedding,
    table: ActionTable,
    action: Array,
    offset: Float[Array, "*batch d"],
    allowed: Bool[Array, "*#batch n"] | None = None,
    *,
    updated: bool,
) -> Float[Array, "*batch d"]:
    """Return the internal action behind a replayed one, in terms of the current embedding.

    With an embedding that is never updated it is e as it was. Otherwise it has moved along with
    g(a); where f no longer maps that to a, because neighbours came between, it is g(a).

    Args:
        embedding: the current embedding.
        table: what f decodes with.
        action: original actions.
        offset: as `offsets` returned it.
        allowed: actions that f could return, `[n]` or with the leading axes; None: all.
        updated: whether the embedding is updated online.
    """
    place = place_of(embedding, table, action)
    e = place + offset
    if not updated or table is None or callable(table):
        return e
    return jnp.where(_agree(table, e, action, allowed), e, place)


def place_of(embedding: JointEmbedding, table: ActionTable, action: Array) -> Array:
    """Return g of actions, in the coordinates in which a policy chooses points of E.

    Of a product these are stretched (`ProductActions.reached`).
    """
    return table.embedded(action) if isinstance(table, ProductTable) else embedding.g(action)


def _agree(table: Any, e: Array, action: Array, allowed: Array | None) -> Array:
    """Return where f maps e to the action, `[..., 1]`; of a product, by coordinate of E."""
    if isinstance(table, ProductTable):
        return table.agree(e, action, allowed)
    return (nearest(table, e, allowed) == action)[..., None]


def is_due(config: OnlineConfig, index: Int[Array, ""], num_updates: int) -> Array:
    """Return whether the embedding is updated after policy update `index`."""
    return ((index + 1) % config.every == 0) & (index < config.until * num_updates)


def learning_rate(config: OnlineConfig, index: Int[Array, ""], num_updates: int) -> Array:
    """Return the learning rate of an update after policy update `index`."""
    remaining = 1.0 - index / jnp.maximum(config.until * num_updates, 1.0)
    factor = remaining if config.schedule == "linear" else jnp.float32(1.0)
    return config.learning_rate * factor


def update(
    state: OnlineState,
    fresh: Transition,
    replay: Replay,
    key: Key,
    rate: Float[Array, ""],
    *,
    config: OnlineConfig,
    weights: Weights,
    horizon: int,
    rows: Int[Array, ""],
    remember: Callable[[JointEmbedding, Transition, Array], Memory | None],
    chosen: Int[Array, " k"] | None = None,
    random_shift: int = 0,
) -> OnlineState:
    """Take some gradient steps on the latest rollout and the replay buffer.

    Args:
        state: what the update changes.
        fresh: the latest rollout, `[T, B, ...]`.
        replay: the replay buffer.
        key: random key.
        rate: learning rate.
        config: settings of online updates.
        weights: of the objectives.
        horizon: steps of the segments that objectives are trained on.
        rows: rows of the buffer that hold transitions.
        remember: returns the memory of the buffer's transitions, if there is one.
        chosen: actions whose rows of g are trained, and the optimiser is for; None: all.
        random_shift: pixels by which images are shifted at most.
    """
    from_fresh = round(config.fresh_fraction * config.batch_size)
    block = fresh.reward.shape[0]
    old = functools.partial(draw_segments, replay.steps, horizon=horizon, block=block, rows=rows)

    def draw(key: Key) -> Segments:
        key_fresh, key_old = jax.random.split(key)
        if from_fresh == config.batch_size:
            return draw_segments(fresh, key_fresh, config.batch_size, horizon)
        if from_fresh == 0:
            return old(key_old, config.batch_size)
        return join(
            draw_segments(fresh, key_fresh, from_fresh, horizon),
            old(key_old, config.batch_size - from_fresh),
        )

    key_fit, key_norm = jax.random.split(key)
    rates = jnp.full(config.gradient_steps, rate)
    embedding = state.embedding
    (embedding, optimiser), _ = pretraining.fit(
        FitState(embedding if chosen is None else narrowed(embedding, chosen), state.optimiser),
        draw,
        jax.random.split(key_fit, config.gradient_steps),
        rates,
        weights=weights,
        random_shift=random_shift,
    )
    if chosen is not None:
        embedding = widened(state.embedding, embedding, chosen)
    keys = jax.random.split(jax.random.fold_in(key, 1), config.gradient_steps)
    embedding, f_optimiser = pretraining.fit_decoder(
        embedding, state.f_optimiser, draw, keys, rates
    )
    norm = state.norm
    if norm is not None and isinstance(embedding.phi, StateEncoder):
        sample = draw_segments(replay.steps, key_norm, NORM_SAMPLE, rows=rows).steps
        current = Norm.of(embedding.phi(sample.observation[0]))
        norm = jax.tree.map(lambda old, new: old + NORM_RATE * (new - old), norm, current)
    memory = remember(embedding, replay.steps, rows)
    return OnlineState(embedding, norm, optimiser, f_optimiser, memory)
