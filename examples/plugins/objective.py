"""A custom objective with parameters of its own: predict the displacement of x from e alone.

    embrl --plugin examples/plugins/objective.py train ENV --objectives forward 1 displacement 10

Where an action has about the same effect in every state, this puts actions of equal effects
together. It is a class, not a function, because the linear map is learned with the embedding.
"""

from jaxtyping import Array, Float

import embrl
from embrl.core.layers import Linear
from embrl.core.types import Key, Transition
from embrl.embedding.config import EmbeddingConfig, EmbeddingShape
from embrl.embedding.objectives import Objective
from embrl.embedding.objectives.base import EncoderPair


@embrl.register_objective("displacement")
class Displacement(Objective):
    """Mean squared error of phi(s') - phi(s), predicted by a linear map of e = g(a).

    A constant phi would make it zero; combine it with `forward`.
    """

    map: Linear

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        del shape  # the sizes and spaces of the environment
        self.map = Linear(config.action_dim, config.state_dim, key=key)

    def __call__(self, model: EncoderPair, batch: Transition) -> Float[Array, ""]:
        moved = model.phi(batch.next_observation) - model.phi(batch.observation)
        return ((self.map(model.g(batch.action)) - moved) ** 2).sum(-1).mean()
