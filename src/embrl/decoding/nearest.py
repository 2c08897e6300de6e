"""The decoder that takes the nearest action."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embrl.decoding.base import Decoder, PortableDecoder, PortableScorer, Scorer
from embrl.decoding.indexed import IndexedTable
from embrl.decoding.products import ProductTable
from embrl.decoding.search import nearest
from embrl.portable.steps import Chain, Nearest


class NearestAction(Decoder):
    """The action whose embedding is nearest to e (Pritz et al. 2021, A.4.2)."""

    portable_exclusions: ClassVar[bool] = True
    by_index: ClassVar[bool] = True
    of_products: ClassVar[bool] = True

    def __call__(
        self,
        table: Float[Array, "n d"] | IndexedTable | ProductTable | None,
        u: Float[Array, "*batch d"],
        noise: Array | None = None,
        mask: Bool[Array, "*#batch n"] | None = None,
        scorer: Scorer | None = None,
    ) -> Int[Array, "*batch"]:
        del noise, scorer
        assert table is not None
        return nearest(table, u, mask)

    def portable(
        self, table: Any, allowed: Any, critic: Callable[[], PortableScorer]
    ) -> PortableDecoder:
        del critic
        if isinstance(table, ProductTable):
            return PortableDecoder(Chain((table.portable(),)))
        allowed = None if allowed is None else np.asarray(allowed)
        return PortableDecoder(Chain((Nearest.of(np.asarray(table), allowed),)))
