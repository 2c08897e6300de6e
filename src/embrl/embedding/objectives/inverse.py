"""Tell which action was taken from what it changed: the objective of RA."""

from typing import TYPE_CHECKING

import jax.numpy as jnp
from jaxtyping import Array, Float

from embrl.distributions import categorical_log_prob
from embrl.embedding.objectives.objective import Objective
from embrl.embedding.shape import ModelConfig, Shape
from embrl.networks import MLP
from embrl.types import Key, Transition

if TYPE_CHECKING:
    from embrl.embedding.model import JointEmbedding


class Inverse(Objective):
    """- log P(a | s, s') in nats, P a softmax over -||h(s, s') - g(a)||^2 (Chandak et al. 2019;
    their h is one linear layer and a tanh).
    """

    h: MLP

    def __init__(self, shape: Shape, config: ModelConfig, *, key: Key) -> None:
        """
        Raises:
            EmbrlError: actions are not discrete.
        """
        shape.choices("inverse")
        self.h = MLP(shape.pair, config.inverse_hidden, shape.d, key=key)

    def __call__(self, model: "JointEmbedding", batch: Transition) -> Float[Array, ""]:
        x, next_x = model.phi(batch.observation), model.phi(batch.next_observation)
        guess = jnp.tanh(self.h(jnp.concatenate([x, next_x], axis=-1)))
        table = model.g.table
        assert table is not None
        # ||guess||^2 is the same for all actions and falls out of the softmax.
        logits = 2.0 * guess @ table.T - (table**2).sum(-1)
        return -categorical_log_prob(logits, batch.action).mean()
