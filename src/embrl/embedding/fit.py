"""Training of phi, g and T on transitions."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives import OBJECTIVES
from embrl.types import Key, Transition


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """How the embedding is trained."""

    samples: int = 30_000
    """Environment steps taken at random for pre-training; they count as samples."""
    steps: int = 500
    """Gradient steps on them."""
    batch: int = 512
    """Transitions in a gradient step."""
    learning_rate: float = 0.01
    """Adam's, falling to zero along half a cosine."""
    held_out: float = 0.1
    """Share of the samples that is kept for measuring quality."""


class FitState(NamedTuple):
    """A model in training."""

    model: JointEmbedding
    optimiser: optax.OptState


def start(model: JointEmbedding) -> FitState:
    """Before the first gradient step."""
    return FitState(model, optax.scale_by_adam().init(eqx.filter(model, eqx.is_array)))


def loss(
    model: JointEmbedding, batch: Transition, objectives: tuple[tuple[str, float], ...]
) -> Float[Array, ""]:
    """The weighted sum of the named objectives."""
    return jnp.stack([weight * OBJECTIVES[name](model, batch) for name, weight in objectives]).sum()


def fit(
    state: FitState,
    transitions: Transition,
    keys: Key,
    learning_rates: Float[Array, " steps"],
    *,
    batch: int,
    objectives: tuple[tuple[str, float], ...],
) -> tuple[FitState, Float[Array, " steps"]]:
    """A gradient step for every key, each on transitions drawn with replacement.

    Arguments:
        transitions: `[N, ...]`.
        keys: `[steps]`, one for each step; a run cut into pieces gives each piece its share.
        learning_rates: one for each step.

    **Returns** the new state and the loss of every step.
    """
    count = transitions.action.shape[0]
    adam = optax.scale_by_adam()

    def step(state: FitState, now: tuple[Key, Array]) -> tuple[FitState, Array]:
        key, learning_rate = now
        chosen = jax.random.randint(key, (batch,), 0, count)
        drawn = jax.tree.map(lambda column: column[chosen], transitions)
        value, gradient = eqx.filter_value_and_grad(loss)(state.model, drawn, objectives)
        direction, optimiser = adam.update(gradient, state.optimiser)
        update = jax.tree.map(lambda d: -learning_rate * d, direction)
        return FitState(eqx.apply_updates(state.model, update), optimiser), value

    return jax.lax.scan(step, state, (keys, learning_rates))


def learning_rate(config: FitConfig, step: Int[Array, "*steps"]) -> Float[Array, "*steps"]:
    """Half a cosine from `config.learning_rate` down to zero, and zero from there on."""
    progress = jnp.minimum(step / config.steps, 1.0)
    return config.learning_rate * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
