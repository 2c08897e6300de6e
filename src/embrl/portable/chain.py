"""One step after another."""

import dataclasses
from typing import Protocol

import numpy as np


class Step(Protocol):
    """A function of arrays, with any leading axes. A step is a frozen dataclass whose fields are
    arrays and plain values: all that it does follows from them.
    """

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The next step's values."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """A function in steps; without any, the identity."""

    steps: tuple[Step, ...]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """float32 or int32 `[..., outputs]`, as the last step says."""
        for step in self.steps:
            values = step(values)
        return values

    def then(self, *others: "Chain") -> "Chain":
        """One after another."""
        return Chain(self.steps + tuple(step for other in others for step in other.steps))


@dataclasses.dataclass(frozen=True, eq=False)
class Beside:
    """What several functions make of the same values, side by side."""

    parts: tuple[Chain, ...]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return np.concatenate([part(values) for part in self.parts], -1)
