"""What algorithms learn from: features, not observations, so that they know no environment."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int

from embrl.types import Key


class Steps(NamedTuple):
    """Steps with any leading axes."""

    x: Array
    """Features of s_t, `[*batch, ...]`."""
    u: Array
    """Internal actions, `[*batch, ...]`."""
    action: Int[Array, "*batch"]
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
    table: Float[Array, "n d"] | None
    """g(a) of every action as it is now; None without an action embedding."""
