"""Multilayer perceptrons whose first layer takes vectors or discrete factors.

Everything acts on the last axis and lets any leading axes pass. Initial weights are scaled
normals: an orthogonal initialisation needs LAPACK, which deadlocks inside a vmapped compiled
program on the CPU.
"""

import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.core.types import Key

Activation = Callable[[Array], Array]


def orthonormal_rows(key: Key, rows: int, columns: int) -> Float[Array, "rows columns"]:
    """Random rows of length 1 at right angles to each other, as far as there is room for that.

    By Gram and Schmidt: a QR would need LAPACK.
    """
    made: list[Array] = []
    for row in jax.random.normal(key, (rows, columns)):
        for other in made[: columns - 1]:
            row = row - (row @ other) * other
        made.append(row / jnp.linalg.norm(row))
    return jnp.stack(made)


def mean_one(x: Float[Array, "*batch k"]) -> Float[Array, "*batch k"]:
    """Divides x by the mean of its absolute values (TD7's AvgL1Norm)."""
    return x / jnp.maximum(jnp.abs(x).mean(-1, keepdims=True), 1e-8)


class Linear(eqx.Module):
    """`x W + b`."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, *, scale: float = 1.0, key: Key) -> None:
        self.weight = scale * jax.random.normal(key, (inputs, outputs)) / np.sqrt(inputs)
        self.bias = jnp.zeros(outputs)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return x @ self.weight + self.bias


class FactorLinear(eqx.Module):
    """A linear layer on the one-hot of every factor, without ever building a one-hot.

    The rows of the factors' values are looked up and summed.
    """

    table: Float[Array, "values outputs"]
    bias: Float[Array, " outputs"]
    factors: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self, factors: Sequence[int], outputs: int, *, scale: float = 1.0, key: Key
    ) -> None:
        self.factors = tuple(factors)
        # A one-hot per factor: the number of inputs that are on is the fan-in.
        deviation = scale / np.sqrt(len(self.factors))
        self.table = deviation * jax.random.normal(key, (sum(self.factors), outputs))
        self.bias = jnp.zeros(outputs)

    def __call__(self, values: Int[Array, "*batch k"]) -> Float[Array, "*batch outputs"]:
        offsets = np.cumsum((0, *self.factors[:-1]), dtype=np.int32)
        return self.table[values + offsets].sum(-2) + self.bias


class MLP(eqx.Module):
    """Layers with an activation between them, none after the last."""

    layers: tuple[Linear | FactorLinear, ...]
    beside: Float[Array, "d outputs"] | None
    """The first layer's weights of the second input, if there is one."""
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        inputs: int | Sequence[int],
        hidden: Sequence[int],
        outputs: int,
        *,
        beside: int = 0,
        activation: Activation = jnp.tanh,
        first_scale: float = 1.0,
        last_scale: float = 1.0,
        key: Key,
    ) -> None:
        """Arguments:
        inputs: the length of a vector, or the factors of a discrete observation.
        beside: the length of a second vector that goes in beside it; 0 where there is none.
        """
        widths = (*hidden, outputs)
        keys = jax.random.split(key, len(widths))
        self.beside = None
        if beside:
            # The two share one fan-in, as if they were one vector.
            on = inputs if isinstance(inputs, int) else len(inputs)
            first_scale *= float(np.sqrt(on / (on + beside)))
            scale = first_scale * (last_scale if not hidden else 1.0) / np.sqrt(on)
            self.beside = scale * jax.random.normal(
                jax.random.fold_in(key, len(widths)), (beside, widths[0])
            )
        layers = []
        for index, width in enumerate(widths):
            scale = (first_scale if index == 0 else 1.0) * (
                last_scale if index == len(hidden) else 1.0
            )
            kind = Linear if isinstance(inputs, int) else FactorLinear
            layers.append(kind(inputs, width, scale=scale, key=keys[index]))  # type: ignore[arg-type]
            inputs = width
        self.layers = tuple(layers)
        self.activation = activation

    def __call__(
        self, x: Array, beside: Float[Array, "*#batch d"] | None = None
    ) -> Float[Array, "*batch outputs"]:
        x = self.layers[0](x)
        if self.beside is not None:
            assert beside is not None
            x = x + beside @ self.beside
        for layer in self.layers[1:]:
            x = layer(self.activation(x))
        return x


# DOC Distributions of actions, as pure functions of their parameters.


LOG_TWO_PI = math.log(2 * math.pi)
NODES = 32
"""Of the quadrature."""


def gaussian_log_prob(
    mean: Float[Array, "*batch d"], log_std: Float[Array, "*#batch d"], e: Float[Array, "*batch d"]
) -> Float[Array, "*batch"]:
    """The log density at e of N(mean, diag(std^2))."""
    z = (e - mean) * jnp.exp(-log_std)
    return -0.5 * (z**2).sum(-1) - log_std.sum(-1) - 0.5 * mean.shape[-1] * LOG_TWO_PI


def gaussian_entropy(log_std: Float[Array, "*batch d"]) -> Float[Array, "*batch"]:
    """Entropy in nats."""
    return (log_std + 0.5 * (1.0 + LOG_TWO_PI)).sum(-1)


def log_tanh_slope(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """log(1 - tanh(z)^2), also where tanh(z) rounds to 1."""
    return 2.0 * (math.log(2.0) - z - jax.nn.softplus(-2.0 * z))


def squashed_gaussian_log_prob(
    mean: Float[Array, "*batch d"], log_std: Float[Array, "*#batch d"], z: Float[Array, "*batch d"]
) -> Float[Array, "*batch"]:
    """The log density at tanh(z) of the tanh of N(mean, diag(std^2)) (Haarnoja et al. 2018, C).

    It takes z, because near the border tanh(z) has lost it.
    """
    return gaussian_log_prob(mean, log_std, z) - log_tanh_slope(z).sum(-1)


def squashed_gaussian_entropy(
    mean: Float[Array, "*batch d"], log_std: Float[Array, "*batch d"]
) -> Float[Array, "*batch"]:
    """Entropy in nats of the tanh of N(mean, diag(std^2)): the Gaussian's, plus the expected
    logarithm of tanh's slope, by Gauss and Hermite's quadrature.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    z = mean[..., None] + jnp.exp(log_std)[..., None] * jnp.asarray(nodes, mean.dtype)
    slope = log_tanh_slope(z) @ jnp.asarray(weights / weights.sum(), mean.dtype)
    return gaussian_entropy(log_std) + slope.sum(-1)


def categorical_log_prob(
    logits: Float[Array, "*batch n"], action: Int[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """The log of softmax(logits)[action]; its gradient needs no scatter, slow on the CPU."""
    chosen = action[..., None] == jnp.arange(logits.shape[-1], dtype=action.dtype)
    # Not `chosen * logits`: masked logits are -inf, and 0 * -inf is NaN.
    picked = jnp.where(chosen, logits, 0.0).sum(-1)
    return picked - jax.nn.logsumexp(logits, axis=-1)


def categorical_entropy(logits: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
    """Entropy in nats; actions with logit -inf count as impossible."""
    log_p = jax.nn.log_softmax(logits)
    possible = log_p > -jnp.inf
    # Replaced before it is used, not after: a gradient through -inf is NaN even where unused.
    log_p = jnp.where(possible, log_p, 0.0)
    return -jnp.where(possible, jnp.exp(log_p) * log_p, 0.0).sum(-1)


def categorical_sample(
    logits: Float[Array, "*batch n"], uniform: Float[Array, "*batch"]
) -> Int[Array, "*batch"]:
    """The action at which the cumulative probability passes `uniform` in [0, 1).

    One uniform number a draw where Gumbel's way takes n. The sums go over blocks of about sqrt(n)
    actions and then inside one block, because a running sum over all n is slow on the CPU.
    """
    n = logits.shape[-1]
    width = math.isqrt(n - 1) + 1
    weights = jnp.exp(logits - logits.max(-1, keepdims=True))
    padding = [(0, 0)] * (weights.ndim - 1) + [(0, width * width - n)]
    blocks = jnp.pad(weights, padding).reshape(*weights.shape[:-1], width, width)
    sums = blocks.sum(-1)
    block, rest = _pass(sums, uniform * sums.sum(-1))
    inside = jnp.take_along_axis(blocks, block[..., None, None], axis=-2)[..., 0, :]
    index, _ = _pass(inside, rest)
    return block * width + index


def _pass(weights: Array, target: Array) -> tuple[Array, Array]:
    """First index whose running sum exceeds target, and what of target is left inside it."""
    running = jnp.cumsum(weights, axis=-1)
    passed = running <= target[..., None]
    # Rounding can leave target at or beyond the whole sum: then the last possible entry stands.
    positions = jnp.arange(weights.shape[-1], dtype=jnp.int32)
    last = jnp.where(weights > 0.0, positions, 0).max(-1)
    index = jnp.minimum(passed.sum(-1, dtype=jnp.int32), last)
    before = jnp.where(positions == index[..., None], running - weights, 0.0).sum(-1)
    return index, jnp.maximum(target - before, 0.0)
