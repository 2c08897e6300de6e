"""Predict whether the episode ends here."""

from typing import TYPE_CHECKING

import jax
from jaxtyping import Array, Float

from embrl.embedding.objectives.objective import Objective
from embrl.embedding.shape import ModelConfig, Shape
from embrl.networks import MLP
from embrl.types import Key, Transition

if TYPE_CHECKING:
    from embrl.embedding.model import JointEmbedding


class Termination(Objective):
    """Cross entropy of `terminated` given (x, e), in nats. Truncation is nothing to predict: it
    says nothing of the world.
    """

    network: MLP

    def __init__(self, shape: Shape, config: ModelConfig, *, key: Key) -> None:
        self.network = MLP(
            shape.features, config.head_hidden, 1, beside=shape.d, last_scale=0.1, key=key
        )

    def __call__(self, model: "JointEmbedding", batch: Transition) -> Float[Array, ""]:
        logit = self.network(model.phi(batch.observation), model.g(batch.action))[..., 0]
        sign = 1.0 - 2.0 * batch.terminated
        return jax.nn.softplus(sign * logit).mean()
