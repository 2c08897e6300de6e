"""Tell the state from its embedding: half of an autoencoder."""

from typing import TYPE_CHECKING

from jaxtyping import Array, Float

from embrl.embedding.encoders import RawStates
from embrl.embedding.objectives.objective import Objective
from embrl.embedding.observations import as_prediction, observation_loss, output_size
from embrl.embedding.shape import ModelConfig, Shape
from embrl.networks import MLP
from embrl.types import Key, Transition

if TYPE_CHECKING:
    from embrl.embedding.model import JointEmbedding


class StateReconstruction(Objective):
    """- log P(s | phi(s)) in nats, or the mean squared error of a box."""

    decoder: MLP

    def __init__(self, shape: Shape, config: ModelConfig, *, key: Key) -> None:
        """
        Raises:
            EmbrlError: states are not embedded.
        """
        outputs = output_size(RawStates(shape.observation_space).features)
        self.decoder = MLP(shape.m("state"), config.head_hidden, outputs, last_scale=0.1, key=key)

    def __call__(self, model: "JointEmbedding", batch: Transition) -> Float[Array, ""]:
        outputs = self.decoder(model.phi(batch.observation))
        target = model.raw(batch.observation)
        return observation_loss(as_prediction(outputs, model.raw.features), target).mean()
