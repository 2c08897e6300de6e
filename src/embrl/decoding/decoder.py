"""What every f has in common."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embrl.core.types import Key

Judge: TypeAlias = Callable[
    [Float[Array, "*#batch k d"], Int[Array, "*#batch k"]], Float[Array, "*batch k"]
]
"""What is thought of k candidates, points of E and the actions that lie there, in the states at
hand: more is better."""


class Decoder(eqx.Module):
    """f: E -> A, given the table of all g(a), `[n, d]`; where actions are numbers, the network that
    undoes g; None without an action embedding.

    The table is an argument, not a part: it belongs to the embedding and may move. What a decoder
    holds as arrays (a temperature) is learned with the policy. Noise is passed in, so that a
    rollout can draw it in bulk.
    """

    needs_judge: ClassVar[bool] = False
    """Whether it cannot do without a judge of actions."""

    def noise(self, key: Key, batch: tuple[int, ...]) -> Array | None:
        """The randomness of `batch` decisions; None where f is a function."""
        del key, batch

    @abc.abstractmethod
    def __call__(
        self,
        table: Any,
        u: Array,
        noise: Array | None = None,
        mask: Bool[Array, "*#batch n"] | None = None,
        judge: Judge | None = None,
    ) -> Array:
        """The actions of internal actions u; a masked one is never returned while another is
        allowed. Without noise, a random f returns its likeliest action.
        """

    def log_prob(
        self,
        table: Any,
        u: Array,
        action: Array,
        mask: Bool[Array, "*#batch n"] | None = None,
    ) -> Float[Array, "*batch"]:
        """Log P(action | u), exactly; 0 where f is a function, of the action it returned."""
        del table, u, mask
        return jnp.zeros(action.shape)
