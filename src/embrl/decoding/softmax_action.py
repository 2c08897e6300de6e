"""f as a distribution: the nearer an action, the likelier."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embrl.core import nn as distributions
from embrl.core.types import Key
from embrl.decoding.decoder import Decoder, Judge
from embrl.decoding.distances import squared_distances
from embrl.decoding.nearest import nearest

LIMIT = 80.0
"""Of |log temperature|: beyond it, float32 cannot hold the temperature's inverse."""


class SoftmaxAction(Decoder):
    """P(a | e) = softmax over allowed actions of -||g(a) - e||^2 / temperature.

    The temperature is learned with the policy. The table is not: it belongs to the embedding, and
    no gradient reaches it from here.
    """

    log_temperature: Float[Array, ""]

    def __init__(self, temperature: float | Array) -> None:
        self.log_temperature = jnp.log(jnp.asarray(temperature, jnp.float32))

    def noise(self, key: Key, batch: tuple[int, ...]) -> Float[Array, "*batch"]:
        """One uniform number for each decision."""
        return jax.random.uniform(key, batch)

    def __call__(
        self,
        table: Float[Array, "n d"] | None,
        u: Float[Array, "*batch d"],
        noise: Float[Array, "*batch"] | None = None,
        mask: Bool[Array, "*#batch n"] | None = None,
        judge: Judge | None = None,
    ) -> Int[Array, "*batch"]:
        """An action drawn from P(. | u); without noise the likeliest, which is the nearest."""
        del judge
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
        """Log P(action | u); -inf of a masked action."""
        assert table is not None
        return distributions.categorical_log_prob(self._logits(table, u, mask), action)

    def entropy(
        self,
        table: Float[Array, "n d"],
        u: Float[Array, "*batch d"],
        mask: Bool[Array, "*#batch n"] | None = None,
    ) -> Float[Array, "*batch"]:
        """Entropy of P(. | u) in nats."""
        return distributions.categorical_entropy(self._logits(table, u, mask))

    def _logits(self, table: Array, u: Array, mask: Array | None) -> Float[Array, "*batch n"]:
        """0 for the nearest allowed action and below for the others; -inf where masked only."""
        distance = squared_distances(jax.lax.stop_gradient(table), u)
        allowed = distance if mask is None else jnp.where(mask, distance, jnp.inf)
        # Probabilities do not change with the shift, so neither does its gradient matter.
        beyond = distance - jax.lax.stop_gradient(allowed.min(-1, keepdims=True))
        cold = jnp.exp(-jnp.clip(self.log_temperature, -LIMIT, LIMIT)).astype(u.dtype)
        logits = -jnp.minimum(beyond * cold, jnp.finfo(u.dtype).max)
        return logits if mask is None else jnp.where(mask, logits, -jnp.inf)
