"""f by distance, then by a judge."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embrl.core.errors import EmbrlError
from embrl.decoding.decoder import Decoder, Judge
from embrl.decoding.k_nearest import k_nearest


class Wolpertinger(Decoder):
    """Of the k actions nearest to e, the one that a judge values most (Dulac-Arnold et al. 2015).

    Among equally good ones the nearest is taken. With k=1 it is `NearestAction`; k beyond the
    number of allowed actions compares them all.
    """

    k: int = eqx.field(static=True)

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
            raise EmbrlError(
                "decoder.kind wolpertinger asks a critic of actions, and there is none here: choose "
                "another decoder.kind, or an algorithm with such a critic"
            )
        actions, distances = k_nearest(table, u, self.k, mask)
        values = judge(table[actions], actions)
        # A NaN is no praise, and a masked action never wins: the first candidate is an allowed one.
        worthy = (distances < jnp.inf) & ~jnp.isnan(values)
        best = jnp.where(worthy, values, -jnp.inf).argmax(-1)
        return jnp.take_along_axis(actions, best[..., None], axis=-1)[..., 0]
