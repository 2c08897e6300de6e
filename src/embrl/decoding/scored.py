"""Decoders that take the action with the highest score: of the k nearest, or of all."""

from collections.abc import Callable
from typing import Any, ClassVar, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embrl.core.errors import EmbrlError
from embrl.decoding import products
from embrl.decoding.base import Decoder, DecoderConfig, PortableDecoder, PortableScorer, Scorer
from embrl.decoding.constraint import CANDIDATES, Constraint, nearest_feasible
from embrl.decoding.indexed import IndexedTable, embedded
from embrl.decoding.products import ProductTable
from embrl.decoding.search import argmin, k_nearest


class Wolpertinger(Decoder):
    """Highest-scoring action among the k nearest to e (Dulac-Arnold et al. 2015).

    Of actions with several parts, the k nearest joint actions are compared, in spaces of any size;
    where the environment couples parts, the k nearest feasible ones.

    Among equally good ones the nearest is taken. With k=1 it is `NearestAction`; k beyond the
    number of allowed actions compares them all.
    """

    k: int = eqx.field(static=True)
    """Number of nearest actions that are compared."""
    candidates: int = eqx.field(static=True, default=CANDIDATES)
    """Number of nearest joint actions that are looked at for feasible ones, k or more; 0:
    constraints are ignored."""

    needs_scorer: ClassVar[bool] = True
    by_index: ClassVar[bool] = True
    of_products: ClassVar[bool] = True
    of_constraints: ClassVar[bool] = True

    @classmethod
    def from_config(cls, config: DecoderConfig) -> Self:
        return cls(config.k, config.candidates)

    def __call__(
        self,
        table: Float[Array, "n d"] | IndexedTable | ProductTable | None,
        u: Float[Array, "*batch d"],
        noise: Array | None = None,
        mask: Bool[Array, "*#batch n"] | None = None,
        scorer: Scorer | None = None,
        constraint: Constraint | None = None,
    ) -> Int[Array, "*batch"]:
        del noise
        assert table is not None
        if isinstance(table, ProductTable):
            if constraint is None or not self.candidates:
                actions, distances = products.k_nearest(table, u, self.k, mask)
            else:
                most = max(self.k, self.candidates)
                found = nearest_feasible(table, u, constraint, most, self.k, mask)
                actions, distances = found
            points = table.embedded(actions)
        else:
            actions, distances = k_nearest(table, u, self.k, mask)
            points = embedded(table, actions)
        values = _needed(scorer, "wolpertinger")(points, actions)
        # A NaN is never best, nor a masked action: the first candidate is an allowed one.
        valid = (distances < jnp.inf) & ~jnp.isnan(values)
        best = jnp.where(valid, values, -jnp.inf).argmax(-1)
        if isinstance(table, ProductTable):
            return jnp.take_along_axis(actions, best[..., None, None], axis=-2)[..., 0, :]
        return jnp.take_along_axis(actions, best[..., None], axis=-1)[..., 0]

    def portable(
        self, table: Any, allowed: Any, critic: Callable[[], PortableScorer]
    ) -> PortableDecoder:
        del allowed
        if isinstance(table, ProductTable):
            raise EmbrlError(
                "decoder.kind must be nearest outside of JAX for actions with several parts, got "
                "wolpertinger; act with embrl.load(RUN).policy()"
            )
        return PortableDecoder(scored=critic().scored(np.asarray(table), self.k))


class BestAction(Decoder):
    """Highest-scoring action among all that are allowed, wherever e is.

    The lowest index wins among equals. The internal policy has no influence. It is what
    Wolpertinger becomes with k beyond the number of actions, without a search for the nearest.
    """

    needs_scorer: ClassVar[bool] = True

    def __call__(
        self,
        table: Float[Array, "n d"] | None,
        u: Float[Array, "*batch d"],
        noise: Array | None = None,
        mask: Bool[Array, "*#batch n"] | None = None,
        scorer: Scorer | None = None,
    ) -> Int[Array, "*batch"]:
        del noise
        assert table is not None
        n = table.shape[0]
        values = _needed(scorer, "best")(table, jnp.arange(n, dtype=jnp.int32))
        values = jnp.broadcast_to(values, (*u.shape[:-1], n))
        # A NaN is never best, and a masked action never wins.
        far = jnp.finfo(values.dtype).max
        loss = jnp.where(jnp.isnan(values), far, jnp.clip(-values, -far, far))
        return argmin(loss if mask is None else jnp.where(mask, loss, jnp.inf))[1]

    def portable(
        self, table: Any, allowed: Any, critic: Callable[[], PortableScorer]
    ) -> PortableDecoder:
        del allowed
        return PortableDecoder(scored=critic().scored(np.asarray(table), None))


def _needed(scorer: Scorer | None, kind: str) -> Scorer:
    if scorer is None:
        raise EmbrlError(
            f"decoder.kind must not be {kind} without a scorer of actions, got none; choose "
            "another decoder.kind, or an algorithm whose critic scores actions"
        )
    return scorer
