"""Objectives of dynamics: next state (`Forward`), action (`Inverse`), embedding (`Latent`)."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from embrl.core.nn import MLP, categorical_log_prob, linear_cross_entropy
from embrl.core.products import InputSize, Mixed
from embrl.core.types import Key, Transition
from embrl.embedding.config import EmbeddingConfig, EmbeddingShape
from embrl.embedding.objectives.base import EncoderPair, Objective
from embrl.embedding.product_actions import ProductActions
from embrl.embedding.transition import (
    Move,
    Points,
    TransitionModel,
    new_transition,
    observation_loss,
)


class Forward(Objective):
    """Prediction of the next state, the objective of JSAE (Pritz et al. 2021, eq. 5).

    The loss is the negative log likelihood of s' in nats, or its mean squared error where states
    are continuous.
    """

    batch_only: ClassVar[bool] = True

    T: TransitionModel

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        """Initialise the transition model.

        Raises:
            EmbrlError: states are not embedded.
        """
        self.T = new_transition(shape, config, key=key)

    def __call__(self, model: EncoderPair, batch: Transition) -> Float[Array, ""]:
        target = model.raw(batch.next_observation)
        return self.T.mean_loss(*self._inputs(model, batch), target)

    def losses(self, model: EncoderPair, batch: Transition) -> Float[Array, "*batch"]:
        """Return the loss of each transition."""
        predicted = self.T(*self._inputs(model, batch))
        return observation_loss(predicted, model.raw(batch.next_observation))

    def _inputs(self, model: EncoderPair, batch: Transition) -> tuple[Array, Array, Points, Array]:
        x, e = model.phi(batch.observation), model.g(batch.action)
        return x, e, model.phi.points, batch.action


class Inverse(Objective):
    """Prediction of the action from both states, the objective of RA (Chandak et al. 2019).

    The loss is - log P(a | s, s') in nats, where P is a softmax over -||h(s, s') - g(a)||^2. In the
    paper, h is one linear layer and a tanh.
    """

    h: MLP

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        """Initialise h.

        Raises:
            EmbrlError: actions are not discrete.
        """
        if shape.product is None:
            shape.choices("inverse")
        self.h = MLP(shape.pair, config.inverse_hidden, shape.d, key=key)

    def __call__(self, model: EncoderPair, batch: Transition) -> Float[Array, ""]:
        x, next_x = model.phi(batch.observation), model.phi(batch.next_observation)
        predicted = jnp.tanh(self.h(_pair(model.phi.features, x, next_x)))
        if isinstance(model.g, ProductActions):
            return self._of_parts(model.g, predicted, batch.action)
        table = model.g.table
        assert table is not None
        # ||predicted||^2 is the same for all actions and cancels in the softmax.
        inputs = jnp.concatenate([2.0 * predicted, jnp.ones((*predicted.shape[:-1], 1))], -1)
        weights = jnp.concatenate([table, -(table**2).sum(-1, keepdims=True)], -1).T
        return linear_cross_entropy(inputs, weights, batch.action)

    @staticmethod
    def _of_parts(g: ProductActions, predicted: Array, action: Array) -> Float[Array, ""]:
        """Return the sum of the parts' losses, and the squared error of numbers."""
        table = g.decoded
        indices, numbers = g.product.split(action)
        loss = -categorical_log_prob(-table.distances(predicted, None), indices).sum(-1).mean()
        if g.numbers is None:
            return loss
        return loss + ((predicted[..., table.split :] - g.numbers(numbers)) ** 2).mean()


def _pair(features: InputSize, x: Array, next_x: Array) -> Array:
    """Return the features of two states side by side, factors before numbers."""
    k = len(features.sizes) if isinstance(features, Mixed) else 0
    parts = [x[..., :k], next_x[..., :k], x[..., k:], next_x[..., k:]]
    return jnp.concatenate(parts if k else parts[2:], axis=-1)


class Latent(Objective):
    """Prediction of embeddings, step by step from the first state of a segment.

        z_0 = phi(s_0),    z_{t+1} = z_t + D(z_t, g(a_t)),    target: stop-gradient(phi(s_{t+1}))

    The loss is the squared error, as in MR.Q (Fujimoto et al. 2025, sec. 4.2) and, with a single
    step, SALE (Fujimoto et al. 2023, eq. 2). It is divided by the variance of the targets, so that
    shrinking the embedding does not reduce it. It still needs other objectives beside it, as
    embeddings without information satisfy it. D is `Move`, as in JSAE: a plain network misses
    actions whose effect depends on the state.
    """

    segments: ClassVar[bool] = True
    batch_only: ClassVar[bool] = True

    D: Move

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        """Initialise D.

        Raises:
            EmbrlError: states are not embedded.
        """
        m = shape.m("latent")
        self.D = Move(m, shape.d, config.head_hidden, m, key=key)

    def __call__(
        self, model: EncoderPair, batch: Transition, mask: Bool[Array, "H N"] | None = None
    ) -> Float[Array, ""]:
        e = model.g(batch.action)
        target = jax.lax.stop_gradient(model.phi(batch.next_observation))
        z = model.phi(batch.observation[0])
        errors = []
        for t in range(e.shape[0]):
            z = z + self.D(z, e[t])
            errors.append(((z - target[t]) ** 2).mean(-1))
        centre = target.mean((0, 1))
        variance = ((target - centre) ** 2).mean() + 1e-6
        weight = jnp.ones(batch.reward.shape) if mask is None else mask.astype(jnp.float32)
        return (jnp.stack(errors) * weight).sum() / weight.sum() / variance
