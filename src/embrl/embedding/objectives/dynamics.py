"""Predict the next state: the objective of JSAE."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from embrl.core.nn import MLP, categorical_log_prob
from embrl.core.types import Key, Transition
from embrl.embedding.config import EmbeddingConfig, EmbeddingShape
from embrl.embedding.objectives.base import EncoderPair, Objective
from embrl.embedding.transition import (
    Move,
    Prediction,
    TransitionModel,
    mean_observation_loss,
    new_transition,
    observation_loss,
)


class Forward(Objective):
    """Negative log likelihood of s' in nats, or its mean squared error where states are
    continuous (Pritz et al. 2021, eq. 5).
    """

    T: TransitionModel

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        """Raises:
        EmbrlError: states are not embedded.
        """
        self.T = new_transition(shape, config, key=key)

    def __call__(self, model: EncoderPair, batch: Transition) -> Float[Array, ""]:
        predicted = self._predict(model, batch)
        return mean_observation_loss(predicted, model.raw(batch.next_observation))

    def losses(self, model: EncoderPair, batch: Transition) -> Float[Array, "*batch"]:
        """The loss of each transition."""
        predicted = self._predict(model, batch)
        return observation_loss(predicted, model.raw(batch.next_observation))

    def accuracy(self, model: EncoderPair, batch: Transition) -> Float[Array, ""] | None:
        """Share of transitions where every factor of s' is the likeliest one; None for boxes."""
        predicted = self._predict(model, batch)
        if not isinstance(predicted, tuple):
            return None
        targets = model.raw(batch.next_observation)
        right = [logits.argmax(-1) == targets[..., i] for i, logits in enumerate(predicted)]
        return jnp.stack(right).all(0).mean()

    def _predict(self, model: EncoderPair, batch: Transition) -> Prediction:
        x, e = model.phi(batch.observation), model.g(batch.action)
        return self.T(x, e, model.phi.points, batch.action)


class Inverse(Objective):
    """- log P(a | s, s') in nats, P a softmax over -||h(s, s') - g(a)||^2 (Chandak et al. 2019;
    their h is one linear layer and a tanh).
    """

    h: MLP

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        """Raises:
        EmbrlError: actions are not discrete.
        """
        shape.choices("inverse")
        self.h = MLP(shape.pair, config.inverse_hidden, shape.d, key=key)

    def __call__(self, model: EncoderPair, batch: Transition) -> Float[Array, ""]:
        x, next_x = model.phi(batch.observation), model.phi(batch.next_observation)
        guess = jnp.tanh(self.h(jnp.concatenate([x, next_x], axis=-1)))
        table = model.g.table
        assert table is not None
        # ||guess||^2 is the same for all actions and falls out of the softmax.
        logits = 2.0 * guess @ table.T - (table**2).sum(-1)
        return -categorical_log_prob(logits, batch.action).mean()


class Latent(Objective):
    """Squared error of embeddings predicted step after step from the first state of a segment:

        z_0 = phi(s_0),    z_{t+1} = z_t + D(z_t, g(a_t)),    target: stop-gradient(phi(s_{t+1}))

    as in MR.Q (Fujimoto et al. 2025, sec. 4.2) and, with a single step, SALE (Fujimoto et al.
    2023, eq. 2). It is divided by the targets' variance: shrinking the embedding is no way to win.
    It takes other objectives beside it all the same, as a state's embedding need tell nothing. D
    is JSAE's: a plain network beside z overlooks actions whose effects depend on the state.
    """

    segments: ClassVar[bool] = True

    D: Move

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        """Raises:
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
