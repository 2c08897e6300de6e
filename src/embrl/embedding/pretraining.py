"""Training of phi, g and the objectives' networks on transitions."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from embrl.core.errors import EmbrlError
from embrl.core.types import Key
from embrl.data.replay import Segments, first
from embrl.embedding.config import PretrainConfig
from embrl.embedding.encoders import ActionDecoder
from embrl.embedding.model import JointEmbedding


class FitState(NamedTuple):
    """An embedding in training."""

    model: JointEmbedding
    optimiser: optax.OptState


Weights = Mapping[str, float]
"""Weights of objectives, by name."""


def start(model: JointEmbedding) -> FitState:
    """Return the state before the first gradient step."""
    return FitState(model, optax.scale_by_adam().init(eqx.filter(model, eqx.is_inexact_array)))


def loss(model: JointEmbedding, batch: Segments, weights: Weights) -> Float[Array, ""]:
    """Return the weighted sum of the model's objectives.

    Raises:
        EmbrlError: an objective returns more than one number.
    """
    steps = first(batch)
    terms = []
    for name, weight in weights.items():
        part: Any = model.parts[name]
        value = part(model, batch.steps, batch.mask) if part.segments else part(model, steps)
        if jnp.shape(value):
            raise EmbrlError(
                f"objective {name} must return one number, the mean over the batch, got an array "
                f"of shape {list(jnp.shape(value))}"
            )
        terms.append(weight * value)
    return jnp.stack(terms).sum() if terms else jnp.float32(0.0)


def fit(
    state: FitState,
    draw: Callable[[Key], Segments],
    keys: Key,
    learning_rates: Float[Array, " steps"],
    *,
    weights: Weights,
    frozen: tuple[str, ...] = (),
    random_shift: int = 0,
) -> tuple[FitState, Float[Array, " steps"]]:
    """Take a gradient step for every key, each on a batch of its own.

    Args:
        state: the embedding and its optimiser.
        draw: returns a batch for a key.
        keys: `[steps]`, one for each step; a run cut into pieces gives each piece its part.
        learning_rates: one for each step.
        weights: of the objectives.
        frozen: parts of the model that stay as they are: `phi`, `g`, `f`, `parts`.
        random_shift: pixels by which images are shifted at most (`shifted`).

    Returns:
        The new state and the loss of every step.
    """
    adam = optax.scale_by_adam()

    def frozen_loss(model: JointEmbedding, batch: Segments) -> Float[Array, ""]:
        return loss(_at(frozen, jax.lax.stop_gradient, model).tied(), batch, weights)

    def step(state: FitState, now: tuple[Key, Array]) -> tuple[FitState, Array]:
        key, learning_rate = now
        batch = draw(key)
        if random_shift and state.model.raw.image is not None:
            batch = shifted(batch, jax.random.fold_in(key, 1), random_shift)
        value, gradient = eqx.filter_value_and_grad(frozen_loss)(state.model, batch)
        direction, optimiser = adam.update(gradient, state.optimiser)
        update = jax.tree.map(lambda d: -learning_rate * d, direction)
        # Without a gradient, Adam still moves them by what it remembers of earlier ones.
        update = _at(frozen, jnp.zeros_like, update)
        return FitState(eqx.apply_updates(state.model, update).tied(), optimiser), value

    return jax.lax.scan(step, state, (keys, learning_rates))


def shifted(batch: Segments, key: Key, most: int) -> Segments:
    """Return segments whose images are shifted at random, each segment by itself.

    What comes in at the border repeats it (Kostrikov et al. 2020).

    Args:
        batch: segments of images, `[H, N, h, w, c]`.
        key: random key.
        most: pixels in each direction.
    """
    count = batch.steps.reward.shape[1]
    by = jax.random.randint(key, (count, 2), 0, 2 * most + 1)

    def cut(image: Array, by: Array) -> Array:
        wide = jnp.pad(image, ((most, most), (most, most), (0, 0)), mode="edge")
        return jax.lax.dynamic_slice(wide, (by[0], by[1], 0), image.shape)

    each = jax.vmap(jax.vmap(cut), (0, None))
    steps = batch.steps._replace(
        observation=each(batch.steps.observation, by),
        next_observation=each(batch.steps.next_observation, by),
    )
    return batch._replace(steps=steps)


def start_decoder(model: JointEmbedding) -> optax.OptState:
    """Return the optimiser state of `fit_decoder`; empty where f has no network."""
    return optax.scale_by_adam().init(eqx.filter(model.f, eqx.is_array))


def fit_decoder(
    model: JointEmbedding,
    optimiser: optax.OptState,
    draw: Callable[[Key], Segments],
    keys: Key,
    learning_rates: Float[Array, " steps"],
) -> tuple[JointEmbedding, optax.OptState]:
    """Train f to invert a fixed g (Pritz et al. 2021, eq. 6), with a gradient step for every key.

    Where actions are discrete, or their own embedding, there is nothing to train.
    """
    if model.f is None or not model.f_learns:
        return model, optimiser
    adam = optax.scale_by_adam()

    def step(
        state: tuple[ActionDecoder, optax.OptState], now: tuple[Key, Array]
    ) -> tuple[tuple[ActionDecoder, optax.OptState], None]:
        (f, optimiser), (key, learning_rate) = state, now
        action = first(draw(key)).action
        gradient = eqx.filter_grad(ActionDecoder.loss)(f, model.g(action), action)
        direction, optimiser = adam.update(gradient, optimiser)
        update = jax.tree.map(lambda d: -learning_rate * d, direction)
        return (eqx.apply_updates(f, update), optimiser), None

    (f, optimiser), _ = jax.lax.scan(step, (model.f, optimiser), (keys, learning_rates))
    return eqx.tree_at(lambda m: m.f, model, f), optimiser


def learning_rate(config: PretrainConfig, step: Int[Array, "*steps"]) -> Float[Array, "*steps"]:
    """Return the learning rate of a gradient step of pre-training."""
    return cosine_decay(config.learning_rate, config.gradient_steps, step)


def cosine_decay(rate: float, steps: int, step: Int[Array, "*steps"]) -> Float[Array, "*steps"]:
    """Return half a cosine from `rate` down to zero after `steps`, and zero from there on."""
    progress = jnp.minimum(step / steps, 1.0)
    return rate * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))


def _at(
    names: tuple[str, ...], change: Callable[[Array], Array], model: JointEmbedding
) -> JointEmbedding:
    """Change the arrays in the parts of the model with these names."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: change(leaf) if path[0].name in names and eqx.is_array(leaf) else leaf,
        model,
    )
