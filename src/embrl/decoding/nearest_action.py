"""f by distance alone."""

from jaxtyping import Array, Bool, Float, Int

from embrl.decoding.decoder import Decoder, Judge
from embrl.decoding.nearest import nearest


class NearestAction(Decoder):
    """f(e): the action whose embedding is nearest to e (Pritz et al. 2021, A.4.2)."""

    def __call__(
        self,
        table: Float[Array, "n d"] | None,
        u: Float[Array, "*batch d"],
        noise: Array | None = None,
        mask: Bool[Array, "*#batch n"] | None = None,
        judge: Judge | None = None,
    ) -> Int[Array, "*batch"]:
        del noise, judge
        assert table is not None
        return nearest(table, u, mask)
