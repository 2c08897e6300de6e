"""Objectives of outcomes: reward (`Reward`, `Outcome`) and end of the episode (`Termination`)."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.errors import EmbrlError
from embrl.core.images import Image
from embrl.core.layers import FactorLinear, MixedLinear
from embrl.core.nn import MLP
from embrl.core.types import Key, Transition
from embrl.embedding.config import EmbeddingConfig, EmbeddingShape
from embrl.embedding.objectives.base import EncoderPair, Objective
from embrl.embedding.transition import ImagePrediction, Logits, Prediction, RowPrediction

BINS = 65
"""Bins of the two-hot code of rewards."""

MAX_REWARD = 1e4
"""Largest absolute reward; larger ones are clipped."""

SCALE = 0.1
"""Rewards well below this are coded linearly, those above it logarithmically."""

_END = np.log1p(MAX_REWARD / SCALE)
_SYMLOG = np.linspace(-_END, _END, BINS)
CENTRES = np.sign(_SYMLOG) * np.expm1(np.abs(_SYMLOG)) * SCALE
"""Rewards at the centres of the bins."""


class Reward(Objective):
    """Prediction of the reward from (x, e), as in MR.Q (Fujimoto et al. 2025, sec. 4.2).

    The loss is the cross entropy of the reward's two-hot code in nats; a squared error would weight
    environments by the scale of their rewards. Bins are evenly spaced in
    symlog(r) = sign(r) log(1 + |r| / SCALE).
    """

    batch_only: ClassVar[bool] = True

    network: MLP

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        self.network = MLP(
            shape.features, config.head_hidden, BINS, beside=shape.d, last_scale=0.1, key=key
        )

    def __call__(self, model: EncoderPair, batch: Transition) -> Float[Array, ""]:
        logits = self.network(model.phi(batch.observation), model.g(batch.action))
        return -(two_hot(batch.reward) * jax.nn.log_softmax(logits)).sum(-1).mean()


def two_hot(reward: Float[Array, "*batch"]) -> Float[Array, "*batch bins"]:
    """Return weights of the two nearest bins, whose weighted centres equal the reward."""
    centres = jnp.asarray(CENTRES, jnp.float32)
    reward = jnp.clip(reward, centres[0], centres[-1])
    above = jnp.clip((centres <= reward[..., None]).sum(-1, dtype=jnp.int32), 1, BINS - 1)
    low, high = centres[above - 1], centres[above]
    fraction = ((reward - low) / (high - low))[..., None]
    bins = jnp.arange(BINS, dtype=jnp.int32)
    upper, lower = bins == above[..., None], bins == above[..., None] - 1
    return jnp.where(upper, fraction, 0.0) + jnp.where(lower, 1.0 - fraction, 0.0)


class Outcome(Objective):
    """Linear reward model R(s'): one contribution per value of each factor, and weights of numbers.

    The loss is the squared error as a fraction of the variance of rewards. R takes s' itself, not
    its embedding, so it has no effect on phi. As R is linear, its mean over a prediction of T is
    exact and costs one product.
    """

    batch_only: ClassVar[bool] = True

    network: MLP
    log_scale: Float[Array, ""]
    """Logarithm of the reward's unit, which is learned."""

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        del config
        features = shape.raw
        if isinstance(features, Image):
            raise EmbrlError("objective outcome needs observations that are no images; use reward")
        self.network = MLP(features, (), 1, last_scale=0.0, key=key)
        self.log_scale = jnp.float32(0.0)

    def __call__(self, model: EncoderPair, batch: Transition) -> Float[Array, ""]:
        predicted = self.scale * self.network(model.raw(batch.next_observation))[..., 0]
        variance = ((batch.reward - batch.reward.mean()) ** 2).mean() + 1e-6
        return ((predicted - batch.reward) ** 2).mean() / variance

    @property
    def scale(self) -> Float[Array, ""]:
        """Reward per unit of the network's output."""
        return jnp.exp(self.log_scale)

    @property
    def contributions(self) -> tuple[Float[Array, " values"], ...]:
        """Contributions of the values of each factor to R; empty for a box."""
        layer = self.network.layers[0]
        layer = layer.rows if isinstance(layer, MixedLinear) else layer
        if not isinstance(layer, FactorLinear):
            return ()
        return tuple(
            self.scale * part
            for part in jnp.split(layer.table[:, 0], np.cumsum(layer.factors)[:-1])
        )

    def expected(self, prediction: Prediction) -> Float[Array, "*batch"]:
        """Return the mean of R(s') over a prediction of s'."""
        layer = self.network.layers[0]
        if isinstance(prediction, RowPrediction):
            assert isinstance(layer, MixedLinear)
            numbers = (prediction.numbers @ layer.weight)[..., 0]
            return self._expected(prediction.logits) + self.scale * (numbers + layer.bias[0])
        assert not isinstance(prediction, ImagePrediction)  # there is no Outcome of images
        if not isinstance(prediction, tuple):
            return self.scale * self.network(prediction)[..., 0]
        return self._expected(prediction) + self.scale * layer.bias[0]

    def _expected(self, logits: Logits) -> Float[Array, "*batch"]:
        means = [
            (jax.nn.softmax(each) * contribution).sum(-1)
            for each, contribution in zip(logits, self.contributions, strict=True)
        ]
        return sum(means[1:], means[0])


class Termination(Objective):
    """Prediction of `terminated` from (x, e); the loss is the cross entropy in nats.

    Truncation is not predicted, as it is not a property of the environment.
    """

    batch_only: ClassVar[bool] = True

    network: MLP

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        self.network = MLP(
            shape.features, config.head_hidden, 1, beside=shape.d, last_scale=0.1, key=key
        )

    def __call__(self, model: EncoderPair, batch: Transition) -> Float[Array, ""]:
        logit = self.network(model.phi(batch.observation), model.g(batch.action))[..., 0]
        sign = 1.0 - 2.0 * batch.terminated
        return jax.nn.softplus(sign * logit).mean()
