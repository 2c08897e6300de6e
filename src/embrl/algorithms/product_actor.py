"""Internal policies over the original parts of an action, without an embedding."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.algorithms.actors import LAST_SCALE, Actor
from embrl.algorithms.networks import Features, Network, network
from embrl.core import nn as distributions
from embrl.core.nn import Activation
from embrl.core.products import Product
from embrl.core.types import Key


class ProductActor(Actor):
    """A categorical distribution of each discrete part, and a Gaussian of the numbers.

    Parts are independent given the state: log-probabilities and entropies add up. Numbers are
    scaled to [-1, 1] by their bounds.
    """

    outputs: Network
    """Network of the logits of the values of all parts, and the mean of the numbers."""
    log_std: Float[Array, " p"]
    """Log standard deviation of the numbers."""
    product: Product = eqx.field(static=True)
    bounded: bool = eqx.field(static=True)
    """Whether the mean of the numbers ends in a tanh."""

    def __init__(
        self,
        inputs: Features,
        product: Product,
        hidden: Sequence[int],
        *,
        std: float | Array,
        bounded: bool,
        activation: Activation = jnp.tanh,
        last_scale: float = LAST_SCALE,
        key: Key,
    ) -> None:
        """Build the network.

        Args:
            inputs: size of the features.
            product: parts of an action.
            hidden: hidden layers.
            std: initial standard deviation of the numbers.
            bounded: whether their mean ends in a tanh.
            activation: of the hidden layers.
            last_scale: factor on the last layer's initial weights.
            key: random key.
        """
        outputs = product.values + product.numbers
        self.outputs = network(
            inputs, hidden, outputs, activation=activation, last_scale=last_scale, key=key
        )
        self.log_std = jnp.full(product.numbers, jnp.log(std), jnp.float32)
        self.product = product
        self.bounded = bounded

    def noise(self, key: Key, batch: tuple[int, ...]) -> Float[Array, "*batch k+p"]:
        """Return a uniform number for each discrete part, and a normal one for each number."""
        parts, numbers = len(self.product.sizes), self.product.numbers
        uniform = jax.random.uniform(key, (*batch, parts))
        if not numbers:
            return uniform
        normal = jax.random.normal(jax.random.fold_in(key, 1), (*batch, numbers))
        return jnp.concatenate([uniform, normal], -1)

    def act(self, x: Array, noise: Array, mask: Array | None = None) -> Array:
        logits, mean = self._parameters(x, mask)
        parts = len(self.product.sizes)
        indices = distributions.categorical_sample(logits, noise[..., :parts])
        return self.product.joined(indices, mean + jnp.exp(self.log_std) * noise[..., parts:])

    def mode(self, x: Array, mask: Array | None = None) -> Array:
        logits, mean = self._parameters(x, mask)
        return self.product.joined(logits.argmax(-1).astype(np.int32), mean)

    def log_prob(self, x: Array, u: Array, mask: Array | None = None) -> Float[Array, "*batch"]:
        return self.log_prob_and_entropy(x, u, mask)[0]

    def entropy(self, x: Array, mask: Array | None = None) -> Float[Array, ""]:
        return self._entropy(self._parameters(x, mask)[0])

    def log_prob_and_entropy(
        self, x: Array, u: Array, mask: Array | None = None
    ) -> tuple[Float[Array, "*batch"], Float[Array, ""]]:
        logits, mean = self._parameters(x, mask)
        indices, numbers = self.product.split(u)
        total = distributions.categorical_log_prob(logits, indices).sum(-1)
        if self.product.numbers:
            total = total + distributions.gaussian_log_prob(mean, self.log_std, numbers)
        return total, self._entropy(logits)

    def log_prob_by_part(
        self, x: Array, u: Array, mask: Array | None = None
    ) -> Float[Array, "*batch k+p"]:
        logits, mean = self._parameters(x, mask)
        indices, numbers = self.product.split(u)
        discrete = distributions.categorical_log_prob(logits, indices)
        if not self.product.numbers:
            return discrete
        density = distributions.gaussian_log_probs(mean, self.log_std, numbers)
        return jnp.concatenate([discrete, density], -1)

    def _entropy(self, logits: Float[Array, "*batch k widest"]) -> Float[Array, ""]:
        discrete = distributions.categorical_entropy(logits).sum(-1).mean()
        return discrete + distributions.gaussian_entropy(self.log_std)

    def _parameters(
        self, x: Array, mask: Array | None
    ) -> tuple[Float[Array, "*batch k widest"], Float[Array, "*batch p"]]:
        """Return logits, -inf where masked or beyond a part's values, and the mean of numbers."""
        outputs, product = self.outputs(x), self.product
        exists = product.exists if mask is None else product.by_part(mask)
        logits = distributions.logits_by_part(outputs, product, exists)
        mean = outputs[..., product.values :]
        return logits, jnp.tanh(mean) if self.bounded else mean
