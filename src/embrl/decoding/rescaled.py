"""f where actions are numbers and not embedded."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from embrl.boxes import RawBox
from embrl.decoding.decoder import Decoder, Judge


class Rescaled(Decoder):
    """The internal action, -1 to 1 between an action's bounds, in the action's own units. What lies
    beyond the bounds counts as there.
    """

    raw: RawBox

    def __call__(
        self,
        table: Array | None,
        u: Float[Array, "*batch p"],
        noise: Array | None = None,
        mask: Array | None = None,
        judge: Judge | None = None,
    ) -> Float[Array, "*batch p"]:
        del table, noise, mask, judge
        return self.raw.original(u)

    def log_prob(
        self,
        table: Array | None,
        u: Float[Array, "*batch p"],
        action: Float[Array, "*batch p"],
        mask: Array | None = None,
    ) -> Float[Array, "*batch"]:
        """0: it is a function."""
        del table, action, mask
        return jnp.zeros(u.shape[:-1])
