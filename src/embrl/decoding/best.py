"""f by a judge alone."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embrl.core.errors import EmbrlError
from embrl.decoding.decoder import Decoder, Judge
from embrl.decoding.least import least


class BestAction(Decoder):
    """Of all allowed actions the one that a judge values most, wherever e is; the lowest index
    among equals.

    The internal policy has no say. It is what Wolpertinger becomes with k beyond the number of
    actions, without looking for the nearest.
    """

    needs_judge = True

    def __call__(
        self,
        table: Float[Array, "n d"] | None,
        u: Float[Array, "*batch d"],
        noise: Array | None = None,
        mask: Bool[Array, "*#batch n"] | None = None,
        judge: Judge | None = None,
    ) -> Int[Array, "*batch"]:
        """Raises EmbrlError where there is no judge."""
        del noise
        assert table is not None
        if judge is None:
            raise EmbrlError("decoder.kind best asks a judge of actions, and there is none here")
        n = table.shape[0]
        values = jnp.broadcast_to(judge(table, jnp.arange(n, dtype=jnp.int32)), (*u.shape[:-1], n))
        # A NaN is no praise, and a masked action never wins.
        far = jnp.finfo(values.dtype).max
        loss = jnp.where(jnp.isnan(values), far, jnp.clip(-values, -far, far))
        return least(loss if mask is None else jnp.where(mask, loss, jnp.inf))[1]
