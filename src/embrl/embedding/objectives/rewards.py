"""Predict the reward."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.nn import MLP, FactorLinear
from embrl.core.types import Key, Transition
from embrl.embedding.config import EmbeddingConfig, EmbeddingShape
from embrl.embedding.encoders import RawStates
from embrl.embedding.objectives.base import EncoderPair, Objective
from embrl.embedding.transition import Prediction

BINS = 65
LARGEST = 1e4
"""Of rewards, either way; larger ones count as this."""

SCALE = 0.1
"""Rewards well below this are coded linearly, those above it by their logarithm."""

_END = np.log1p(LARGEST / SCALE)
_PLACES = np.linspace(-_END, _END, BINS)
CENTRES = np.sign(_PLACES) * np.expm1(np.abs(_PLACES)) * SCALE
"""The rewards that the bins stand for."""


class Reward(Objective):
    """Cross entropy of the reward's two-hot code given (x, e), in nats, as in MR.Q (Fujimoto et
    al. 2025, sec. 4.2): a squared error would weigh environments by the scale of their rewards.

    Bins lie evenly in symlog(r) = sign(r) log(1 + |r| / SCALE).
    """

    network: MLP

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        self.network = MLP(
            shape.features, config.head_hidden, BINS, beside=shape.d, last_scale=0.1, key=key
        )

    def __call__(self, model: EncoderPair, batch: Transition) -> Float[Array, ""]:
        logits = self.network(model.phi(batch.observation), model.g(batch.action))
        return -(two_hot(batch.reward) * jax.nn.log_softmax(logits)).sum(-1).mean()

    def expected(self, model: EncoderPair, batch: Transition) -> Float[Array, "*batch"]:
        """The predicted mean reward."""
        logits = self.network(model.phi(batch.observation), model.g(batch.action))
        return (jax.nn.softmax(logits) * jnp.asarray(CENTRES, jnp.float32)).sum(-1)


def two_hot(reward: Float[Array, "*batch"]) -> Float[Array, "*batch bins"]:
    """Weights on the two bins beside the reward whose centres average to it exactly."""
    centres = jnp.asarray(CENTRES, jnp.float32)
    reward = jnp.clip(reward, centres[0], centres[-1])
    above = jnp.clip((centres <= reward[..., None]).sum(-1, dtype=jnp.int32), 1, BINS - 1)
    low, high = centres[above - 1], centres[above]
    share = ((reward - low) / (high - low))[..., None]
    bins = jnp.arange(BINS, dtype=jnp.int32)
    upper, lower = bins == above[..., None], bins == above[..., None] - 1
    return jnp.where(upper, share, 0.0) + jnp.where(lower, 1.0 - share, 0.0)


class Outcome(Objective):
    """Squared error of R(s'), as a share of the rewards' variance. R is linear: a number for every
    value of every factor, added up, or weights of a box's dimensions.

    It looks at s' itself, not at its embedding, and so takes nothing from phi. Being linear, its
    mean over what T predicts is exact and costs one product.
    """

    network: MLP
    log_scale: Float[Array, ""]
    """Of the reward's unit, which nobody knows beforehand."""

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        del config
        features = RawStates(shape.observation_space).features
        self.network = MLP(features, (), 1, last_scale=0.0, key=key)
        self.log_scale = jnp.float32(0.0)

    def __call__(self, model: EncoderPair, batch: Transition) -> Float[Array, ""]:
        found = self.scale * self.network(model.raw(batch.next_observation))[..., 0]
        variance = ((batch.reward - batch.reward.mean()) ** 2).mean() + 1e-6
        return ((found - batch.reward) ** 2).mean() / variance

    @property
    def scale(self) -> Float[Array, ""]:
        """A reward in units of the network's output."""
        return jnp.exp(self.log_scale)

    @property
    def worths(self) -> tuple[Float[Array, " values"], ...]:
        """What each value of each factor adds to R. Nothing for a box."""
        layer = self.network.layers[0]
        if not isinstance(layer, FactorLinear):
            return ()
        return tuple(
            self.scale * part
            for part in jnp.split(layer.table[:, 0], np.cumsum(layer.factors)[:-1])
        )

    def expected(self, prediction: Prediction) -> Float[Array, "*batch"]:
        """The mean of R(s') over a prediction of s'."""
        if not isinstance(prediction, tuple):
            return self.scale * self.network(prediction)[..., 0]
        means = [
            (jax.nn.softmax(logits) * worth).sum(-1)
            for logits, worth in zip(prediction, self.worths, strict=True)
        ]
        return sum(means[1:], means[0]) + self.scale * self.network.layers[0].bias[0]


class Termination(Objective):
    """Cross entropy of `terminated` given (x, e), in nats. Truncation is nothing to predict: it
    says nothing of the world.
    """

    network: MLP

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        self.network = MLP(
            shape.features, config.head_hidden, 1, beside=shape.d, last_scale=0.1, key=key
        )

    def __call__(self, model: EncoderPair, batch: Transition) -> Float[Array, ""]:
        logit = self.network(model.phi(batch.observation), model.g(batch.action))[..., 0]
        sign = 1.0 - 2.0 * batch.terminated
        return jax.nn.softplus(sign * logit).mean()
