"""What an internal policy chooses."""

import dataclasses
from typing import TypeAlias

from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Points:
    """A point of the action embedding space E."""

    d: int
    """Dimensions of E."""
    unit: float | Float[Array, " d"] = 1.0
    """What a policy's std is measured in, on each axis of E."""


@dataclasses.dataclass(frozen=True)
class Indices:
    """The index of an original action: there is no action embedding."""

    n: int
    """How many actions there are."""


Internal: TypeAlias = Points | Indices
