"""A task's policy through an episode: it remembers where it has been, and leaves circles."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from embrl.tasks.space import TaskPolicy

VISITS = 3
"""Visits of an observation after which the next action is drawn among all."""


def draw_among_best(
    values: Float[np.ndarray, "N C"], visits: Int[np.ndarray, " N"], rng: np.random.Generator
) -> Int[np.ndarray, " N"]:
    """Draw the number of an action among the best: more of them, the more visits there were.

    After n visits of C actions, `C^(n / VISITS)` are drawn from: the best one at first, in the end
    all. Ranks are used, not values, whose scale differs between states.

    Args:
        values: values of the actions of each observation; -inf: not allowed.
        visits: earlier visits of it in the episode.
        rng: random numbers.
    """
    count = np.maximum(np.isfinite(values).sum(-1), 1)
    among = np.ceil(count ** (np.minimum(visits, VISITS) / VISITS) - 1e-9)
    rank = (rng.random(len(values)) * among).astype(int)
    order = np.argsort(-values, axis=-1, kind="stable")
    return np.take_along_axis(order, rank[:, None], axis=-1)[:, 0]


class TaskEpisode:
    """Actions of a task's policy in one episode.

    Where an observation does not tell the whole state, as a cell does not tell the position in it,
    the best action may be one that changes nothing, for ever. So an observation that is met again
    gets another action.
    """

    def __init__(self, policy: TaskPolicy, seed: int = 0) -> None:
        """Begin an episode.

        Args:
            policy: policy of the task.
            seed: random seed of the actions.
        """
        self.policy = policy
        self._rng = np.random.default_rng(seed)
        self._visits: dict[bytes, int] = {}

    def act(self, observation: ArrayLike, *, mask: ArrayLike | None = None) -> Any:
        """Choose the action for the next observation of the episode.

        Args:
            observation: one, in the embedding's observation space.
            mask: True where a discrete action may be chosen, `[n]`.

        Raises:
            EmbrlError: as `TaskPolicy.act`.
        """
        values = self.policy.allowed_values(observation, mask)
        seen = np.asarray(observation).tobytes()
        visits = self._visits.get(seen, 0)
        self._visits[seen] = visits + 1
        number = draw_among_best(values[None], np.array([visits]), self._rng)[0]
        return self.policy.chosen(number)
