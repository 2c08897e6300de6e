"""Tell the action from its embedding: half of an autoencoder, and a part of DCT."""

from typing import TYPE_CHECKING

from jaxtyping import Array, Float

from embrl.distributions import categorical_log_prob
from embrl.embedding.encoders import ContinuousActions
from embrl.embedding.objectives.objective import Objective
from embrl.embedding.shape import ModelConfig, Shape
from embrl.networks import MLP
from embrl.types import Key, Transition

if TYPE_CHECKING:
    from embrl.embedding.model import JointEmbedding


class ActionReconstruction(Objective):
    """- log P(a | g(a)) in nats, or the mean squared error of an action that is a vector."""

    decoder: MLP

    def __init__(self, shape: Shape, config: ModelConfig, *, key: Key) -> None:
        outputs = shape.actions or shape.action_length
        self.decoder = MLP(shape.d, config.head_hidden, outputs, last_scale=0.1, key=key)

    def __call__(self, model: "JointEmbedding", batch: Transition) -> Float[Array, ""]:
        logits = self.decoder(model.g(batch.action))
        if isinstance(model.g, ContinuousActions):
            return ((logits - model.g.raw(batch.action)) ** 2).mean()
        return -categorical_log_prob(logits, batch.action).mean()
