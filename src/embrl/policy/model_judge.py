"""What the learned model expects of actions, for an f that asks a judge."""

import equinox as eqx
from jaxtyping import Array

from embrl.decoding.decoder import Judge
from embrl.embedding.encoders import Norm
from embrl.embedding.memory import Recall
from embrl.embedding.objectives.outcome import Outcome
from embrl.embedding.transition import Points, TransitionModel
from embrl.types import Observation


class ModelJudge(eqx.Module):
    """Judges candidates by the mean outcome R(s') of the next step: s' ~ T(. | phi(s), e).

    It looks no further ahead, and it learns from every transition, whatever the action: where
    rewards of single actions drown in noise, a critic has nothing to go by.
    """

    T: TransitionModel
    outcome: Outcome
    points: Points
    norm: Norm
    """Of X, as the policy sees it."""

    recall: Recall | None = None
    """What followed a state before."""

    def judge(self, x: Array, observation: Observation | None = None) -> Judge:
        """For states with features x, as the policy sees them."""
        place = self.norm.centre + self.norm.width * x
        recalled = None
        if self.recall is not None and observation is not None:
            recalled = self.recall(observation)
        return lambda e, action: self.T.expected(
            place, e, self.points, action, self.outcome, recalled
        )
