"""What every f to actions that are numbers has in common."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from embrl.decoding.decoder import Decoder


class NumberDecoder(Decoder):
    """f: E -> A where an action is a vector, not an index."""

    def log_prob(
        self,
        table: Any,
        u: Float[Array, "*batch d"],
        action: Float[Array, "*batch p"],
        mask: Array | None = None,
    ) -> Float[Array, "*batch"]:
        """0: it is a function."""
        del table, action, mask
        return jnp.zeros(u.shape[:-1])
