"""Distributions of actions, as pure functions of their parameters."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

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
