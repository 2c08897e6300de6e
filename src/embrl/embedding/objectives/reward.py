"""Predict the reward."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.embedding.objectives.objective import Objective
from embrl.embedding.shape import ModelConfig, Shape
from embrl.networks import MLP
from embrl.types import Key, Transition

if TYPE_CHECKING:
    from embrl.embedding.model import JointEmbedding

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

    def __init__(self, shape: Shape, config: ModelConfig, *, key: Key) -> None:
        self.network = MLP(
            shape.features, config.head_hidden, BINS, beside=shape.d, last_scale=0.1, key=key
        )

    def __call__(self, model: "JointEmbedding", batch: Transition) -> Float[Array, ""]:
        logits = self.network(model.phi(batch.observation), model.g(batch.action))
        return -(two_hot(batch.reward) * jax.nn.log_softmax(logits)).sum(-1).mean()

    def expected(self, model: "JointEmbedding", batch: Transition) -> Float[Array, "*batch"]:
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
