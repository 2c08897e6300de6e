"""The decoder that takes the nearest action."""

from collections.abc import Callable
from typing import Any, ClassVar, Self

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embrl.decoding.base import Decoder, DecoderConfig, PortableDecoder, PortableScorer, Scorer
from embrl.decoding.constraint import CANDIDATES, Constraint, nearest_feasible
from embrl.decoding.indexed import IndexedTable
from embrl.decoding.products import ProductTable
from embrl.decoding.search import nearest
from embrl.portable.steps import Chain, Nearest


class NearestAction(Decoder):
    """The action whose embedding is nearest to e (Pritz et al. 2021, A.4.2).

    Where the environment couples the parts of an action, it is the nearest feasible one.
    """

    candidates: int = eqx.field(static=True, default=CANDIDATES)
    """Number of nearest joint actions that are looked at for a feasible one; 0: constraints are
    ignored."""

    portable_exclusions: ClassVar[bool] = True
    by_index: ClassVar[bool] = True
    of_products: ClassVar[bool] = True
    of_constraints: ClassVar[bool] = True

    @classmethod
    def from_config(cls, config: DecoderConfig) -> Self:
        return cls(config.candidates)

    def __call__(
        self,
        table: Float[Array, "n d"] | IndexedTable | ProductTable | None,
        u: Float[Array, "*batch d"],
        noise: Array | None = None,
        mask: Bool[Array, "*#batch n"] | None = None,
        scorer: Scorer | None = None,
        constraint: Constraint | None = None,
    ) -> Int[Array, "*batch"]:
        del noise, scorer
        assert table is not None
        if constraint is not None and self.candidates:
            assert isinstance(table, ProductTable)
            return nearest_feasible(table, u, constraint, self.candidates, 1, mask)[0][..., 0, :]
        return nearest(table, u, mask)

    def portable(
        self, table: Any, allowed: Any, critic: Callable[[], PortableScorer]
    ) -> PortableDecoder:
        del critic
        if isinstance(table, ProductTable):
            return PortableDecoder(Chain((table.portable(),)))
        allowed = None if allowed is None else np.asarray(allowed)
        return PortableDecoder(Chain((Nearest.of(np.asarray(table), allowed),)))
