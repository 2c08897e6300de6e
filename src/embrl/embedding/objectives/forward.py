"""Predict the next state: the objective of JSAE."""

from typing import TYPE_CHECKING

import jax.numpy as jnp
from jaxtyping import Array, Float

from embrl.embedding.objectives.objective import Objective
from embrl.embedding.observations import Prediction, mean_observation_loss, observation_loss
from embrl.embedding.shape import ModelConfig, Shape
from embrl.embedding.transition import TransitionModel, new_transition
from embrl.types import Key, Transition

if TYPE_CHECKING:
    from embrl.embedding.model import JointEmbedding


class Forward(Objective):
    """Negative log likelihood of s' in nats, or its mean squared error where states are
    continuous (Pritz et al. 2021, eq. 5).
    """

    T: TransitionModel

    def __init__(self, shape: Shape, config: ModelConfig, *, key: Key) -> None:
        """
        Raises:
            EmbrlError: states are not embedded.
        """
        self.T = new_transition(shape, config, key=key)

    def __call__(self, model: "JointEmbedding", batch: Transition) -> Float[Array, ""]:
        predicted = self._predict(model, batch)
        return mean_observation_loss(predicted, model.raw(batch.next_observation))

    def losses(self, model: "JointEmbedding", batch: Transition) -> Float[Array, "*batch"]:
        """The loss of each transition."""
        predicted = self._predict(model, batch)
        return observation_loss(predicted, model.raw(batch.next_observation))

    def accuracy(self, model: "JointEmbedding", batch: Transition) -> Float[Array, ""] | None:
        """Share of transitions where every factor of s' is the likeliest one; None for boxes."""
        predicted = self._predict(model, batch)
        if not isinstance(predicted, tuple):
            return None
        targets = model.raw(batch.next_observation)
        right = [logits.argmax(-1) == targets[..., i] for i, logits in enumerate(predicted)]
        return jnp.stack(right).all(0).mean()

    def _predict(self, model: "JointEmbedding", batch: Transition) -> Prediction:
        x, e = model.phi(batch.observation), model.g(batch.action)
        return self.T(x, e, model.phi.points, batch.action)
