"""The decoder that draws an action by distance: the nearer, the more likely."""

from collections.abc import Callable
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embrl.core import nn as distributions
from embrl.core.errors import EmbrlError
from embrl.core.masks import open_if_empty
from embrl.core.types import Key
from embrl.decoding.base import Decoder, DecoderConfig, PortableDecoder, PortableScorer, Scorer
from embrl.decoding.indexed import FewActions, IndexedTable
from embrl.decoding.products import ProductTable
from embrl.decoding.search import nearest, or_masks_first, squared_distances
from embrl.portable.steps import ByDistance, Chain, Nearest

LIMIT = 80.0
"""Limit of |log temperature|: beyond it, float32 cannot hold the temperature's inverse."""


class SoftmaxAction(Decoder):
    """An action drawn by distance.

    P(a | e) = softmax over allowed actions of -||g(a) - e||^2 / temperature.

    The temperature is learned with the policy. The table is not: it belongs to the embedding, and
    no gradient reaches it from here.
    """

    log_temperature: Float[Array, ""]

    on_policy_only: ClassVar[str | None] = "its temperature is learned on-policy"
    portable_exclusions: ClassVar[bool] = True
    by_list: ClassVar[bool] = True
    of_products: ClassVar[bool] = True

    def __init__(self, temperature: float | Array) -> None:
        self.log_temperature = jnp.log(jnp.asarray(temperature, jnp.float32))

    @classmethod
    def from_config(cls, config: DecoderConfig) -> Self:
        return cls(config.temperature)

    def noise(self, key: Key, batch: tuple[int, ...]) -> Float[Array, "*batch"]:
        """Return one uniform number for each decision.

        Decisions of several parts draw further numbers from it (`_drawn_parts`).
        """
        return jax.random.uniform(key, batch)

    def __call__(
        self,
        table: Float[Array, "n d"] | IndexedTable | ProductTable | None,
        u: Float[Array, "*batch d"],
        noise: Float[Array, "*batch"] | None = None,
        mask: Bool[Array, "*#batch n"] | None = None,
        scorer: Scorer | None = None,
    ) -> Int[Array, "*batch"]:
        """Return an action drawn from P(. | u); without noise the nearest, the most likely one."""
        del scorer
        assert table is not None
        if noise is None:
            return nearest(table, u, mask)
        if isinstance(table, ProductTable):
            return self._drawn_parts(table, u, noise, mask)
        if isinstance(table, IndexedTable):
            few, allowed, possible = _listed(table, mask)
            drawn = few.actions[self(few.points, u, noise, allowed)]
            return or_masks_first(drawn, possible, mask)
        logits = self._logits(table, u, mask)
        drawn = distributions.categorical_sample(logits, noise)
        if mask is None:
            return drawn
        # The sampler adds up probabilities, and rounding must not let it stop at a masked action.
        allowed = jnp.broadcast_to(mask, logits.shape)
        allowed = jnp.take_along_axis(allowed, drawn[..., None], axis=-1)[..., 0]
        return jnp.where(allowed, drawn, nearest(table, u, mask))

    def log_prob(
        self,
        table: Float[Array, "n d"] | IndexedTable | ProductTable | None,
        u: Float[Array, "*batch d"],
        action: Int[Array, "*batch"],
        mask: Bool[Array, "*#batch n"] | None = None,
    ) -> Float[Array, "*batch"]:
        """Return log P(action | u); -inf of an action that is masked, or not in the index.

        Where a mask allows none of the index, the action is not drawn, and this is 0.

        Of actions with several parts, it is the sum over discrete parts. Numbers are not drawn
        here: they are those of u.
        """
        assert table is not None
        if isinstance(table, ProductTable):
            indices, _ = table.product.split(action)
            logits = self._part_logits(table, u, mask)
            return distributions.categorical_log_prob(logits, indices).sum(-1)
        if isinstance(table, IndexedTable):
            few, allowed, possible = _listed(table, mask)
            place = jnp.searchsorted(few.actions, action).astype(jnp.int32)
            place = jnp.minimum(place, len(few.actions) - 1)
            found = self.log_prob(few.points, u, place, allowed)
            found = jnp.where(few.actions[place] == action, found, -jnp.inf)
            return jnp.where(possible, found, 0.0)
        return distributions.categorical_log_prob(self._logits(table, u, mask), action)

    def entropy(
        self,
        table: Float[Array, "n d"] | IndexedTable,
        u: Float[Array, "*batch d"],
        mask: Bool[Array, "*#batch n"] | None = None,
    ) -> Float[Array, "*batch"]:
        """Return the entropy of P(. | u) in nats."""
        if isinstance(table, IndexedTable):
            few, allowed, possible = _listed(table, mask)
            return jnp.where(possible, self.entropy(few.points, u, allowed), 0.0)
        return distributions.categorical_entropy(self._logits(table, u, mask))

    def portable(
        self, table: Any, allowed: Any, critic: Callable[[], PortableScorer]
    ) -> PortableDecoder:
        del critic
        if isinstance(table, ProductTable):
            raise EmbrlError(
                "decoder.kind must be nearest outside of JAX for actions with several parts, got "
                "softmax; act with embrl.load(RUN).policy()"
            )
        cold = np.exp(-np.clip(np.asarray(self.log_temperature), -LIMIT, LIMIT))
        nearest_ = Nearest.of(np.asarray(table), None if allowed is None else np.asarray(allowed))
        names = None if allowed is None else nearest_.names
        drawn = ByDistance(nearest_.columns, float(np.float32(cold)), names)
        return PortableDecoder(Chain((nearest_,)), drawn)

    def _drawn_parts(
        self, table: ProductTable, u: Array, noise: Array, mask: Array | None
    ) -> Array:
        """Return actions with every part drawn by its own distances."""
        logits = self._part_logits(table, u, mask)
        # A number of its own for each part, of the bits of the one that was drawn.
        seeds = jax.lax.bitcast_convert_type(noise.astype(jnp.float32), jnp.uint32)
        parts = jnp.arange(logits.shape[-2], dtype=jnp.uint32)
        uniform = _hashed(seeds[..., None] + parts * jnp.uint32(0x9E3779B9))
        drawn = distributions.categorical_sample(logits, uniform)
        drawn = jnp.minimum(drawn, jnp.asarray(table.product.sizes, jnp.int32) - 1)
        # Rounding must not let the sampler stop at a masked value.
        possible = jnp.take_along_axis(logits > -jnp.inf, drawn[..., None], axis=-1)[..., 0]
        drawn = jnp.where(possible, drawn, logits.argmax(-1).astype(drawn.dtype))
        return table.row(drawn, u)

    def _part_logits(
        self, table: ProductTable, u: Array, mask: Array | None
    ) -> Float[Array, "*batch k widest"]:
        """Return the logits of the values of each part; -inf where masked, or beyond them."""
        table = jax.lax.stop_gradient(table)
        distance = table.distances(u, mask)
        possible = distance < jnp.inf
        least = jax.lax.stop_gradient(distance.min(-1, keepdims=True))
        cold = jnp.exp(-jnp.clip(self.log_temperature, -LIMIT, LIMIT)).astype(u.dtype)
        beyond = jnp.where(possible, distance, 0.0) - least
        return jnp.where(possible, -jnp.minimum(beyond * cold, jnp.finfo(u.dtype).max), -jnp.inf)

    def _logits(self, table: Array, u: Array, mask: Array | None) -> Float[Array, "*batch n"]:
        """Return 0 for the nearest allowed action, less for the others; -inf only where masked."""
        distance = squared_distances(jax.lax.stop_gradient(table), u)
        allowed = distance if mask is None else jnp.where(mask, distance, jnp.inf)
        # Probabilities do not change with the shift, so neither does its gradient matter.
        beyond = distance - jax.lax.stop_gradient(allowed.min(-1, keepdims=True))
        cold = jnp.exp(-jnp.clip(self.log_temperature, -LIMIT, LIMIT)).astype(u.dtype)
        logits = -jnp.minimum(beyond * cold, jnp.finfo(u.dtype).max)
        return logits if mask is None else jnp.where(mask, logits, -jnp.inf)


def _listed(
    table: IndexedTable, mask: Array | None
) -> tuple[FewActions, Bool[Array, "*#batch k"], Bool[Array, "*#batch"]]:
    """Return what is drawn from where few of many actions are listed.

    Returns:
        The actions, with finite points; which of them a mask allows, all where it allows none; and
        where it allows any.
    """
    few = table.index
    assert isinstance(few, FewActions)
    allowed = few.exists if mask is None else few.allowed_by(mask)
    # 0 times a distance that is infinite has no gradient.
    finite = FewActions(few.actions, jnp.where(few.exists[:, None], few.points, 0.0))
    return finite, open_if_empty(allowed), allowed.any(-1)


def _hashed(bits: Array) -> Float[Array, "*batch"]:
    """Return a uniform number in [0, 1) for each integer (the finaliser of MurmurHash3)."""
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    bits = bits ^ (bits >> 16)
    return (bits >> 8).astype(jnp.float32) * jnp.float32(2.0**-24)
