"""Predict the next state: the objective of JSAE."""

from jaxtyping import Array, Float

from embrl.distributions import categorical_log_prob
from embrl.embedding.model import JointEmbedding
from embrl.types import Transition


def forward(model: JointEmbedding, batch: Transition) -> Float[Array, ""]:
    """Negative log likelihood of s' in nats (Pritz et al. 2021, eq. 5), mean over the batch.

    Factors are predicted independently of each other given (s, a): their losses add up.
    """
    logits = model.predict(batch.observation, batch.action)
    targets = model.phi.raw(batch.next_observation)
    losses = [
        -categorical_log_prob(factor, targets[..., index]).mean()
        for index, factor in enumerate(logits)
    ]
    return sum(losses[1:], losses[0])
