"""What algorithms learn from: features, not observations, so that they know no environment."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from jaxtyping import Array, Bool, Float

from embrl.types import Key

Places: TypeAlias = Float[Array, "n d"] | Callable[[Array], Array] | None
"""What f goes by: g(a) of every action, or the network that undoes g where actions are numbers;
None without an action embedding."""


class Steps(NamedTuple):
    """Steps with any leading axes."""

    x: Array
    """Features of s_t, `[*batch, ...]`."""
    u: Array
    """Internal actions, `[*batch, ...]`."""
    action: Array
    """The original actions behind which the internal ones stood: f(u)."""
    reward: Float[Array, "*batch"]
    next_x: Array
    """Features of the true next state, `[*batch, ...]`."""
    terminated: Bool[Array, "*batch"]
    truncated: Bool[Array, "*batch"]


class Experience(NamedTuple):
    """All that an update may look at."""

    fresh: Steps
    """The epoch just taken, `[T, B]`."""
    draw: Callable[[Key, int], Steps]
    """That many steps `[n]` from the replay buffer, in terms of the embedding as it is now."""
    table: Places
    """What f goes by, as it is now."""
    allowed: Bool[Array, " n"] | None = None
    """Actions that f may return; None: all."""
