"""Transitions that were recorded, and the spaces that they are of."""

import dataclasses
from typing import Any

import gymnasium
import numpy as np

from embrl.errors import EmbrlError
from embrl.types import Transition


@dataclasses.dataclass(frozen=True, eq=False)
class Recorded:
    """NumPy arrays in embrl's forms, checked: no number that is not finite, nothing out of its
    space.
    """

    name: str
    """For messages, and for the record."""
    transitions: Transition
    """`[T, B, ...]`: T rows in time, B lanes."""
    observation_space: gymnasium.Space
    """`Discrete`, `MultiDiscrete` or `Box`, of one axis at most."""
    action_space: gymnasium.Space
    """`Discrete` or `Box`."""
    lacks: tuple[str, ...] = ()
    """Columns that nobody recorded, and that hold nothing but zeros: `reward`, `terminated`."""
    about: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What else is to be known of it, in plain values."""

    @property
    def samples(self) -> int:
        """Transitions, of all lanes."""
        return int(np.size(self.transitions.reward))

    def first(self, samples: int) -> "Recorded":
        """As many of them, or a few more to fill all lanes.

        Raises:
            EmbrlError: there are not as many.
        """
        if samples > self.samples:
            raise EmbrlError(
                f"fit.samples is {samples}: {self.name} has {self.samples} transitions"
            )
        lanes = self.transitions.reward.shape[1]
        rows = -(-samples // lanes)
        some = Transition(*(column[:rows] for column in self.transitions))
        return dataclasses.replace(self, transitions=some)
