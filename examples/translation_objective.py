"""An objective of your own: every action is a walk in X, the same from wherever it begins.

embrl --plugin examples/translation_objective.py train ENV --objectives forward 1 translation 10
"""

from jaxtyping import Array

import embrl
from embrl.core.types import Transition
from embrl.embedding.model import JointEmbedding

LONGEST = 0.25
"""The walk of an action at the edge of E: as X has sides of 2, an eighth of one."""


@embrl.register_objective("translation")
def translation(model: JointEmbedding, batch: Transition) -> Array:
    """phi(s') shall be phi(s) + g(a) / 4, where E is the first dimensions of X. Alone it would be
    met by one point for everything: weigh it with forward.
    """
    e = model.g(batch.action)
    walk = model.phi(batch.next_observation) - model.phi(batch.observation)
    missed = walk.at[..., : e.shape[-1]].add(-LONGEST * e)
    return (missed**2).sum(-1).mean()
