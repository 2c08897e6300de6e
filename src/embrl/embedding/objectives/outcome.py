"""Read the reward off the next state."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.embedding.encoders import RawStates
from embrl.embedding.objectives.objective import Objective
from embrl.embedding.observations import Prediction
from embrl.embedding.shape import ModelConfig, Shape
from embrl.networks import MLP, FactorLinear
from embrl.types import Key, Transition

if TYPE_CHECKING:
    from embrl.embedding.model import JointEmbedding


class Outcome(Objective):
    """Squared error of R(s'), as a share of the rewards' variance. R is linear: a number for every
    value of every factor, added up, or weights of a box's dimensions.

    It looks at s' itself, not at its embedding, and so takes nothing from phi. Being linear, its
    mean over what T predicts is exact and costs one product.
    """

    network: MLP
    log_scale: Float[Array, ""]
    """Of the reward's unit, which nobody knows beforehand."""

    def __init__(self, shape: Shape, config: ModelConfig, *, key: Key) -> None:
        del config
        features = RawStates(shape.observation_space).features
        self.network = MLP(features, (), 1, last_scale=0.0, key=key)
        self.log_scale = jnp.float32(0.0)

    def __call__(self, model: "JointEmbedding", batch: Transition) -> Float[Array, ""]:
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
