"""Multilayer perceptrons, and distributions of actions as functions of their parameters.

The first layer of a network takes a vector, discrete factors, or both (`embrl.core.layers`).
Everything acts on the last axis and allows any leading axes.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embrl.core.layers import FirstLayer, first_layer
from embrl.core.products import LayerSize, Product, fan_in_of
from embrl.core.types import Key

Activation = Callable[[Array], Array]
ACTIVATIONS: dict[str, Activation] = {"tanh": jnp.tanh, "relu": jax.nn.relu}
"""Activations by the names that they have in settings and files."""

LOG_TWO_PI = math.log(2 * math.pi)
CACHED = 2**17
"""Logits that `linear_cross_entropy` works on at once, which stay in the processor's cache."""
UNROLLED_ROWS = 32
"""Rows up to which `orthonormal_rows` has no loop in its program; as many again compile four times
as long, half a minute for 64."""
QUADRATURE_NODES = 32
"""Nodes of the Gauss-Hermite quadrature for the entropy of squashed Gaussians."""

if TYPE_CHECKING:
    import optax


@functools.cache
def adam(eps: float = 1e-8) -> "optax.GradientTransformation":
    """Return Adam (Kingma & Ba 2015) without its learning rate."""
    import optax  # slow to import, and no help text needs it

    return optax.scale_by_adam(eps=eps)


# Networks


class MLP(eqx.Module):
    """Multilayer perceptron: an activation between the layers, none after the last."""

    layers: tuple[FirstLayer, ...]
    beside: Float[Array, "d outputs"] | None
    """First layer's weights of the second input, if there is one."""
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        inputs: LayerSize,
        hidden: Sequence[int],
        outputs: int,
        *,
        beside: int = 0,
        activation: Activation = jnp.tanh,
        first_scale: float = 1.0,
        last_scale: float = 1.0,
        key: Key,
    ) -> None:
        """Create a network with random weights.

        Args:
            inputs: length of the input vector, sizes of the factors of a discrete observation, or
                both.
            hidden: widths of the hidden layers.
            outputs: length of the output vector.
            beside: length of a second input vector, concatenated to the first; 0: none.
            activation: function between the layers.
            first_scale: factor on the first layer's initial weights.
            last_scale: factor on the last layer's initial weights.
            key: random key.
        """
        widths = (*hidden, outputs)
        keys = jax.random.split(key, len(widths))
        self.beside = None
        if beside:
            # Both inputs share one fan-in, as if they were one vector.
            fan_in = fan_in_of(inputs)
            first_scale *= float(np.sqrt(fan_in / (fan_in + beside)))
            scale = first_scale * (last_scale if not hidden else 1.0) / np.sqrt(fan_in)
            self.beside = scale * jax.random.normal(
                jax.random.fold_in(key, len(widths)), (beside, widths[0])
            )
        layers = []
        for index, width in enumerate(widths):
            scale = (first_scale if index == 0 else 1.0) * (
                last_scale if index == len(hidden) else 1.0
            )
            layers.append(first_layer(inputs, width, scale=scale, key=keys[index]))
            inputs = width
        self.layers = tuple(layers)
        self.activation = activation

    def __call__(
        self, x: Array, beside: Float[Array, "*#batch d"] | None = None
    ) -> Float[Array, "*batch outputs"]:
        """Return the outputs.

        Args:
            x: float32 `[..., inputs]`, or int32 `[..., k]`.
            beside: the second input, if the network has one.
        """
        x = self.layers[0](x)
        if self.beside is not None:
            assert beside is not None
            x = x + beside @ self.beside
        for layer in self.layers[1:]:
            x = layer(self.activation(x))
        return x


def orthonormal_rows(key: Key, rows: int, columns: int) -> Float[Array, "rows columns"]:
    """Return random unit vectors, orthogonal as far as the dimension allows.

    By the Gram-Schmidt process: a QR decomposition would need LAPACK.
    """
    drawn = jax.random.normal(key, (rows, columns))
    if rows > UNROLLED_ROWS:
        return _orthonormalised(drawn)
    made: list[Array] = []
    for row in drawn:
        for other in made[: columns - 1]:
            row = row - (row @ other) * other
        made.append(row / jnp.linalg.norm(row))
    return jnp.stack(made)


def _orthonormalised(rows: Float[Array, "k columns"]) -> Float[Array, "k columns"]:
    """Return what the loop of `orthonormal_rows` does, as a small program however many rows."""
    columns = rows.shape[1]

    def orthonormal(at: Int[Array, ""], rows: Array) -> Array:
        def without(other: Int[Array, ""], row: Array) -> Array:
            return row - (row @ rows[other]) * rows[other]

        row = jax.lax.fori_loop(0, jnp.minimum(at, columns - 1), without, rows[at])
        return rows.at[at].set(row / jnp.linalg.norm(row))

    return jax.lax.fori_loop(0, rows.shape[0], orthonormal, rows)


def mean_one(x: Float[Array, "*batch k"]) -> Float[Array, "*batch k"]:
    """Return x divided by the mean of its absolute values (AvgL1Norm, Fujimoto et al. 2023)."""
    return x / jnp.maximum(jnp.abs(x).mean(-1, keepdims=True), 1e-8)


# Distributions


def gaussian_log_prob(
    mean: Float[Array, "*batch d"], log_std: Float[Array, "*#batch d"], e: Float[Array, "*batch d"]
) -> Float[Array, "*batch"]:
    """Return the log density of N(mean, diag(std^2)) at e."""
    z = (e - mean) * jnp.exp(-log_std)
    return -0.5 * (z**2).sum(-1) - log_std.sum(-1) - 0.5 * mean.shape[-1] * LOG_TWO_PI


def gaussian_log_probs(
    mean: Float[Array, "*batch d"], log_std: Float[Array, "*#batch d"], e: Float[Array, "*batch d"]
) -> Float[Array, "*batch d"]:
    """Return the log density of N(mean, std^2) at e on each axis."""
    z = (e - mean) * jnp.exp(-log_std)
    return -0.5 * (z**2) - log_std - 0.5 * LOG_TWO_PI


def gaussian_entropy(log_std: Float[Array, "*batch d"]) -> Float[Array, "*batch"]:
    """Return the entropy of a diagonal Gaussian in nats."""
    return (log_std + 0.5 * (1.0 + LOG_TWO_PI)).sum(-1)


def log_tanh_slope(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return `log(1 - tanh(z)^2)`, exact even where tanh(z) rounds to 1."""
    return 2.0 * (math.log(2.0) - z - jax.nn.softplus(-2.0 * z))


def squashed_gaussian_log_prob(
    mean: Float[Array, "*batch d"], log_std: Float[Array, "*#batch d"], z: Float[Array, "*batch d"]
) -> Float[Array, "*batch"]:
    """Return the log density of a squashed Gaussian at tanh(z) (Haarnoja et al. 2018, appendix C).

    The argument is z, which cannot be recovered from tanh(z) near the border.
    """
    return gaussian_log_prob(mean, log_std, z) - log_tanh_slope(z).sum(-1)


def squashed_gaussian_entropy(
    mean: Float[Array, "*batch d"], log_std: Float[Array, "*batch d"]
) -> Float[Array, "*batch"]:
    """Return the entropy in nats of the tanh of N(mean, diag(std^2)).

    It is the Gaussian's, plus the expected logarithm of the slope of tanh, which is computed by
    Gauss-Hermite quadrature.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(QUADRATURE_NODES)
    z = mean[..., None] + jnp.exp(log_std)[..., None] * jnp.asarray(nodes, mean.dtype)
    slope = log_tanh_slope(z) @ jnp.asarray(weights / weights.sum(), mean.dtype)
    return gaussian_entropy(log_std) + slope.sum(-1)


def categorical_log_prob(
    logits: Float[Array, "*batch n"], action: Int[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """Return `log softmax(logits)[action]`.

    Its gradient needs no scatter, which is slow on the CPU.
    """
    chosen = action[..., None] == jnp.arange(logits.shape[-1], dtype=action.dtype)
    # Not `chosen * logits`: masked logits are -inf, and 0 * -inf is NaN.
    picked = jnp.where(chosen, logits, 0.0).sum(-1)
    return picked - jax.nn.logsumexp(logits, axis=-1)


def logits_by_part(
    outputs: Float[Array, "*batch outputs"],
    product: Product,
    exists: Bool[Array, "*#batch k widest"] | np.ndarray,
) -> Float[Array, "*batch k widest"]:
    """Return the logits of each part of an action.

    Its gradient needs no scatter, as one of indexed outputs would.

    Args:
        outputs: those of all values, one part after the other, and possibly more.
        product: the parts.
        exists: False where a logit is -inf, at least beyond a part's values.
    """
    values, widest = outputs[..., : product.values], product.widest
    if product.values == len(product.sizes) * widest:
        parts = values.reshape(*values.shape[:-1], len(product.sizes), widest)
    else:
        rows = jnp.split(values, product.offsets[1:], axis=-1)
        edge = [(0, 0)] * (values.ndim - 1)
        filled = [jnp.pad(row, [*edge, (0, widest - row.shape[-1])]) for row in rows]
        parts = jnp.stack(filled, axis=-2)
    return jnp.where(exists, parts, -jnp.inf)


def linear_cross_entropy(
    inputs: Float[Array, "*batch k"], weights: Float[Array, "k n"], target: Int[Array, "*batch"]
) -> Float[Array, ""]:
    """Return the mean over the batch of `-log softmax(inputs @ weights)[target]`.

    With many targets, memory limits how fast logits and their gradients are computed. So both are
    taken for a few rows at a time, and logits are never stored; the gradient is computed together
    with the loss.
    """
    k = inputs.shape[-1]
    return _linear_cross_entropy(inputs.reshape(-1, k), weights, target.reshape(-1))


@jax.custom_vjp
def _linear_cross_entropy(inputs: Array, weights: Array, target: Array) -> Array:
    return -categorical_log_prob(inputs @ weights, target).mean()


def _linear_cross_entropy_forward(
    inputs: Float[Array, "rows k"], weights: Float[Array, "k n"], target: Int[Array, " rows"]
) -> tuple[Array, tuple[Array, Array]]:
    rows, columns = inputs.shape[0], weights.T
    numbers = jnp.arange(weights.shape[-1], dtype=target.dtype)

    def part(total: tuple[Array, Array], now: tuple[Array, Array]) -> tuple[tuple, Array]:
        (loss, gradient), (x, chosen) = total, now
        logits = x @ weights
        top = logits.max(-1, keepdims=True)
        p = jnp.exp(logits - top)
        whole = p.sum(-1, keepdims=True)
        loss = loss + (jnp.log(whole) + top).sum() - (x * columns[chosen]).sum()
        # Subtracted before the products: afterwards, where predictions are good, it would leave
        # nothing but rounding, from which Adam makes steps.
        error = p / whole - (chosen[:, None] == numbers)
        return (loss, gradient + x.T @ error), error @ columns

    none = (jnp.zeros((), inputs.dtype), jnp.zeros_like(weights))
    size = _rows_at_once(rows, weights.shape[-1])
    if size == rows:
        (loss, of_weights), of_inputs = part(none, (inputs, target))
    else:
        (loss, of_weights), of_inputs = jax.lax.scan(
            part, none, (inputs.reshape(-1, size, inputs.shape[-1]), target.reshape(-1, size))
        )
    return loss / rows, (of_inputs.reshape(inputs.shape) / rows, of_weights / rows)


def _linear_cross_entropy_backward(gradients: tuple[Array, Array], scale: Array) -> tuple:
    of_inputs, of_weights = gradients
    return scale * of_inputs, scale * of_weights, None


_linear_cross_entropy.defvjp(_linear_cross_entropy_forward, _linear_cross_entropy_backward)


def _rows_at_once(rows: int, n: int) -> int:
    """Return the rows whose logits are in the cache together: a divisor of all, or all."""
    most = max(1, CACHED // n)
    size = max(part for part in range(1, min(most, rows) + 1) if rows % part == 0)
    # Batches of an odd size would be taken nearly row by row.
    return size if 4 * size >= min(most, 64) else rows


def categorical_entropy(logits: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
    """Return the entropy of softmax(logits) in nats; actions with logit -inf are impossible."""
    log_p = jax.nn.log_softmax(logits)
    possible = log_p > -jnp.inf
    # Replaced before its use, not after: a gradient through -inf is NaN even where it is unused.
    log_p = jnp.where(possible, log_p, 0.0)
    return -jnp.where(possible, jnp.exp(log_p) * log_p, 0.0).sum(-1)


def categorical_sample(
    logits: Float[Array, "*batch n"], uniform: Float[Array, "*batch"]
) -> Int[Array, "*batch"]:
    """Sample actions from softmax(logits) by inverting its cumulative distribution.

    A sample needs one uniform number where the Gumbel trick needs n. The sums go over blocks of
    about sqrt(n) actions, and then inside one block, because a running sum over all n is slow on
    the CPU.

    Args:
        logits: unnormalised log probabilities; -inf for impossible actions.
        uniform: uniform random numbers in [0, 1).
    """
    n = logits.shape[-1]
    width = math.isqrt(n - 1) + 1
    weights = jnp.exp(logits - logits.max(-1, keepdims=True))
    padding = [(0, 0)] * (weights.ndim - 1) + [(0, width * width - n)]
    blocks = jnp.pad(weights, padding).reshape(*weights.shape[:-1], width, width)
    sums = blocks.sum(-1)
    block, rest = _locate(sums, uniform * sums.sum(-1))
    inside = jnp.take_along_axis(blocks, block[..., None, None], axis=-2)[..., 0, :]
    index, _ = _locate(inside, rest)
    return block * width + index


def _locate(weights: Array, target: Array) -> tuple[Array, Array]:
    """Return the first index whose running sum exceeds target, and the rest of target in it."""
    running = jnp.cumsum(weights, axis=-1)
    passed = running <= target[..., None]
    # Rounding can leave target at or beyond the whole sum: then the last possible entry is chosen.
    positions = jnp.arange(weights.shape[-1], dtype=jnp.int32)
    last = jnp.where(weights > 0.0, positions, 0).max(-1)
    index = jnp.minimum(passed.sum(-1, dtype=jnp.int32), last)
    before = jnp.where(positions == index[..., None], running - weights, 0.0).sum(-1)
    return index, jnp.maximum(target - before, 0.0)
