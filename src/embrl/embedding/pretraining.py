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
from embrl.data.segments import Segments, first
from embrl.embedding.config import FitConfig
from embrl.embedding.encoders import ActionDecoder
from embrl.embedding.model import JointEmbedding


class FitState(NamedTuple):
    """A model in training."""

    model: JointEmbedding
    optimiser: optax.OptState


Weights = Mapping[str, float]
"""Of objectives, by name."""


def start(model: JointEmbedding) -> FitState:
    """Before the first gradient step."""
    return FitState(model, optax.scale_by_adam().init(eqx.filter(model, eqx.is_inexact_array)))


def loss(model: JointEmbedding, batch: Segments, weights: Weights) -> Float[Array, ""]:
    """The weighted sum of the model's objectives.

    Raises:
        EmbrlError: an objective yields more than one number.
    """
    steps = first(batch)
    terms = []
    for name, weight in weights.items():
        part: Any = model.parts[name]
        value = part(model, batch.steps, batch.mask) if part.segments else part(model, steps)
        if jnp.shape(value):
            raise EmbrlError(
                f"objective {name} must return one number, the mean over the batch, not an array "
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
) -> tuple[FitState, Float[Array, " steps"]]:
    """A gradient step for every key, each on a batch of its own.

    Arguments:
        draw: a batch for a key.
        keys: `[steps]`, one for each step; a run cut into pieces gives each piece its share.
        learning_rates: one for each step.
        frozen: parts of the model that stay as they are: `phi`, `g`, `parts`.

    **Returns** the new state and the loss of every step.
    """
    adam = optax.scale_by_adam()

    def frozen_loss(model: JointEmbedding, batch: Segments) -> Float[Array, ""]:
        return loss(_at(frozen, jax.lax.stop_gradient, model).tied(), batch, weights)

    def step(state: FitState, now: tuple[Key, Array]) -> tuple[FitState, Array]:
        key, learning_rate = now
        value, gradient = eqx.filter_value_and_grad(frozen_loss)(state.model, draw(key))
        direction, optimiser = adam.update(gradient, state.optimiser)
        update = jax.tree.map(lambda d: -learning_rate * d, direction)
        # Without a gradient, Adam still moves them by what it remembers of earlier ones.
        update = _at(frozen, jnp.zeros_like, update)
        return FitState(eqx.apply_updates(state.model, update).tied(), optimiser), value

    return jax.lax.scan(step, state, (keys, learning_rates))


def start_decoder(model: JointEmbedding) -> optax.OptState:
    """Adam's state for `fit_decoder`; empty where f has nothing to learn."""
    return optax.scale_by_adam().init(eqx.filter(model.f, eqx.is_array))


def fit_decoder(
    model: JointEmbedding,
    optimiser: optax.OptState,
    draw: Callable[[Key], Segments],
    keys: Key,
    learning_rates: Float[Array, " steps"],
) -> tuple[JointEmbedding, optax.OptState]:
    """Trains f to undo g, which stays as it is (Pritz et al. 2021, eq. 6): a gradient step for
    every key. Where actions are discrete, or their own embedding, there is nothing to train.
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


def _at(
    names: tuple[str, ...], change: Callable[[Array], Array], model: JointEmbedding
) -> JointEmbedding:
    """Changes the arrays in the parts of the model with these names."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: change(leaf) if path[0].name in names and eqx.is_array(leaf) else leaf,
        model,
    )


def horizon(model_config_horizon: int, model: JointEmbedding) -> int:
    """Steps that a batch's segments need."""
    several = any(part.segments for part in model.parts.values())
    return model_config_horizon if several else 1


def learning_rate(config: FitConfig, step: Int[Array, "*steps"]) -> Float[Array, "*steps"]:
    """Half a cosine from `config.learning_rate` down to zero, and zero from there on."""
    return falling(config.learning_rate, config.steps, step)


def falling(rate: float, steps: int, step: Int[Array, "*steps"]) -> Float[Array, "*steps"]:
    """Half a cosine from `rate` down to zero after so many steps, and zero from there on."""
    progress = jnp.minimum(step / steps, 1.0)
    return rate * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
