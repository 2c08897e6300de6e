"""A custom objective: every action moves x by the same vector, wherever it starts.

embrl --plugin examples/translation_objective.py train ENV --objectives forward 1 translation 10
"""

from jaxtyping import Array

import embrl
from embrl.core.types import Transition
from embrl.embedding.model import JointEmbedding

LONGEST = 0.25
"""Length of the move of an action at the edge of E; the sides of X are 2 long."""


@embrl.register_objective("translation")
def translation(model: JointEmbedding, batch: Transition) -> Array:
    """Mean squared error of phi(s') as phi(s) + g(a) / 4, where E is the first dimensions of X.

    A single point for everything would make it zero; combine it with `forward`.
    """
    e = model.g(batch.action)
    moved = model.phi(batch.next_observation) - model.phi(batch.observation)
    error = moved.at[..., : e.shape[-1]].add(-LONGEST * e)
    return (error**2).sum(-1).mean()
