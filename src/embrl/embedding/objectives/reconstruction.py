"""Reconstruction objectives: the state or the action from its embedding."""

from typing import ClassVar

from jaxtyping import Array, Float

from embrl.core.nn import MLP, categorical_log_prob, logits_by_part
from embrl.core.types import Key, Transition
from embrl.embedding.config import EmbeddingConfig, EmbeddingShape
from embrl.embedding.encoders import ContinuousActions
from embrl.embedding.objectives.base import EncoderPair, Objective
from embrl.embedding.product_actions import ProductActions
from embrl.embedding.transition import as_prediction, observation_loss, output_size


class StateReconstruction(Objective):
    """Reconstruction of the state: - log P(s | phi(s)) in nats, or the mean squared error."""

    batch_only: ClassVar[bool] = True

    decoder: MLP

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        """Initialise the decoder.

        Raises:
            EmbrlError: states are not embedded.
        """
        outputs = output_size(shape.raw)
        self.decoder = MLP(shape.m("state"), config.head_hidden, outputs, last_scale=0.1, key=key)

    def __call__(self, model: EncoderPair, batch: Transition) -> Float[Array, ""]:
        outputs = self.decoder(model.phi(batch.observation))
        target = model.raw(batch.observation)
        return observation_loss(as_prediction(outputs, model.raw.features), target).mean()


class ActionReconstruction(Objective):
    """Reconstruction of the action: - log P(a | g(a)) in nats, or the mean squared error."""

    batch_only: ClassVar[bool] = True

    decoder: MLP

    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        outputs = shape.actions or shape.action_length
        if shape.product is not None:
            outputs = shape.product.values + shape.product.numbers
        self.decoder = MLP(shape.d, config.head_hidden, outputs, last_scale=0.1, key=key)

    def __call__(self, model: EncoderPair, batch: Transition) -> Float[Array, ""]:
        logits = self.decoder(model.g(batch.action))
        if isinstance(model.g, ContinuousActions):
            return ((logits - model.g.raw(batch.action)) ** 2).mean()
        if isinstance(model.g, ProductActions):
            return product_loss(model.g, logits, batch.action)
        return -categorical_log_prob(logits, batch.action).mean()


def product_loss(
    g: ProductActions, outputs: Float[Array, "N outputs"], action: Array
) -> Float[Array, ""]:
    """Return the cross entropy of all parts in nats, and the squared error of numbers.

    Args:
        g: the encoder.
        outputs: a logit of each value of each part, then scaled numbers.
        action: rows.
    """
    product = g.product
    indices, numbers = product.split(action)
    logits = logits_by_part(outputs, product, product.exists)
    loss = -categorical_log_prob(logits, indices).sum(-1).mean()
    if g.numbers is None:
        return loss
    return loss + ((outputs[..., product.values :] - g.numbers(numbers)) ** 2).mean()
