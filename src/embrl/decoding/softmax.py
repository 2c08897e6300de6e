"""The decoder that draws an action by distance: the nearer, the more likely."""

from collections.abc import Callable
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embrl.core import nn as distributions
from embrl.core.types import Key
from embrl.decoding.base import Decoder, DecoderConfig, PortableDecoder, PortableScorer, Scorer
from embrl.decoding.search import nearest, squared_distances
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

    def __init__(self, temperature: float | Array) -> None:
        self.log_temperature = jnp.log(jnp.asarray(temperature, jnp.float32))

    @classmethod
    def from_config(cls, config: DecoderConfig) -> Self:
        return cls(config.temperature)

    def noise(self, key: Key, batch: tuple[int, ...]) -> Float[Array, "*batch"]:
        """Return one uniform number for each decision."""
        return jax.random.uniform(key, batch)

    def __call__(
        self,
        table: Float[Array, "n d"] | None,
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
        table: Float[Array, "n d"] | None,
        u: Float[Array, "*batch d"],
        action: Int[Array, "*batch"],
        mask: Bool[Array, "*#batch n"] | None = None,
    ) -> Float[Array, "*batch"]:
        """Return log P(action | u); -inf of a masked action."""
        assert table is not None
        return distributions.categorical_log_prob(self._logits(table, u, mask), action)

    def entropy(
        self,
        table: Float[Array, "n d"],
        u: Float[Array, "*batch d"],
        mask: Bool[Array, "*#batch n"] | None = None,
    ) -> Float[Array, "*batch"]:
        """Return the entropy of P(. | u) in nats."""
        return distributions.categorical_entropy(self._logits(table, u, mask))

    def portable(
        self, table: Any, allowed: Any, critic: Callable[[], PortableScorer]
    ) -> PortableDecoder:
        del allowed, critic
        cold = np.exp(-np.clip(np.asarray(self.log_temperature), -LIMIT, LIMIT))
        nearest_ = Nearest.of(np.asarray(table))
        drawn = ByDistance(nearest_.columns, float(np.float32(cold)))
        return PortableDecoder(Chain((nearest_,)), drawn)

    def _logits(self, table: Array, u: Array, mask: Array | None) -> Float[Array, "*batch n"]:
        """Return 0 for the nearest allowed action, less for the others; -inf only where masked."""
        distance = squared_distances(jax.lax.stop_gradient(table), u)
        allowed = distance if mask is None else jnp.where(mask, distance, jnp.inf)
        # Probabilities do not change with the shift, so neither does its gradient matter.
        beyond = distance - jax.lax.stop_gradient(allowed.min(-1, keepdims=True))
        cold = jnp.exp(-jnp.clip(self.log_temperature, -LIMIT, LIMIT)).astype(u.dtype)
        logits = -jnp.minimum(beyond * cold, jnp.finfo(u.dtype).max)
        return logits if mask is None else jnp.where(mask, logits, -jnp.inf)
