"""Densities against SciPy and naive forms; the sampler against every uniform of a fine grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from embrl.core.nn import (
    categorical_entropy,
    categorical_log_prob,
    categorical_sample,
    gaussian_entropy,
    gaussian_log_prob,
    linear_cross_entropy,
    log_tanh_slope,
    logits_by_part,
    squashed_gaussian_entropy,
    squashed_gaussian_log_prob,
)
from embrl.core.products import Product

sample = jax.jit(categorical_sample)
log_prob = jax.jit(categorical_log_prob)
entropy = jax.jit(categorical_entropy)

HIGHEST = np.float32(1 - 2.0**-24)
"""The largest float32 below 1."""


def logits_with_gaps(rng: np.random.Generator, n: int, allowed: float, rows: int) -> np.ndarray:
    """Rows of random logits, -inf where an action is not allowed; at least one is."""
    logits = rng.normal(scale=3.0, size=(rows, n)).astype(np.float32)
    mask = rng.random((rows, n)) < allowed
    mask[np.arange(rows), rng.integers(n, size=rows)] = True
    return np.where(mask, logits, -np.inf).astype(np.float32)


def test_gaussian_log_prob_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    mean, e = rng.normal(size=(2, 4, 5, 3)).astype(np.float32)
    log_std = np.array([-2.0, 0.0, 0.7], np.float32)
    theirs = stats.norm.logpdf(e, mean, np.exp(log_std)).sum(-1)
    np.testing.assert_allclose(jax.jit(gaussian_log_prob)(mean, log_std, e), theirs, rtol=1e-5)


def test_gaussian_entropy_agrees_with_scipy() -> None:
    log_std = np.array([-2.0, 0.0, 0.7], np.float32)
    theirs = stats.norm.entropy(scale=np.exp(log_std)).sum()
    np.testing.assert_allclose(jax.jit(gaussian_entropy)(log_std), theirs, rtol=1e-6)


def test_gaussian_gradients_are_those_of_the_textbook() -> None:
    rng = np.random.default_rng(1)
    mean, e = rng.normal(size=(2, 3)).astype(np.float32)
    log_std = np.array([-1.0, 0.0, 0.5], np.float32)
    by_mean, by_log_std = jax.jit(jax.grad(gaussian_log_prob, (0, 1)))(mean, log_std, e)
    z = (e - mean) / np.exp(log_std)
    np.testing.assert_allclose(by_mean, z / np.exp(log_std), rtol=1e-5)
    np.testing.assert_allclose(by_log_std, z**2 - 1, rtol=1e-5)


def test_a_std_may_differ_from_point_to_point() -> None:
    rng = np.random.default_rng(6)
    mean, log_std, e = rng.normal(size=(3, 4, 5, 3)).astype(np.float32)
    theirs = stats.norm.logpdf(e, mean, np.exp(log_std)).sum(-1)
    ours = jax.jit(gaussian_log_prob)(mean, log_std, e)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    entropies = stats.norm.entropy(scale=np.exp(log_std)).sum(-1)
    np.testing.assert_allclose(jax.jit(gaussian_entropy)(log_std), entropies, rtol=1e-5)


def test_the_logarithm_of_tanh_s_slope_is_right_everywhere() -> None:
    z = np.array([-300.0, -20.0, -9.0, -1.0, 0.0, 0.3, 5.0, 20.0, 300.0], np.float32)
    # 1 - tanh^2 = 4 / (exp(z) + exp(-z))^2.
    theirs = np.log(4.0) - 2 * np.logaddexp(z.astype(np.float64), -z.astype(np.float64))
    np.testing.assert_allclose(jax.jit(log_tanh_slope)(z), theirs, rtol=1e-5, atol=1e-6)
    # Its own slope is -2 tanh(z).
    slope = jax.jit(jax.vmap(jax.grad(log_tanh_slope)))(z)
    np.testing.assert_allclose(slope, -2 * np.tanh(z), rtol=1e-5, atol=1e-6)


def test_a_squashed_gaussian_is_a_density_on_the_open_cube() -> None:
    mean, log_std = np.array([0.4], np.float32), np.array([-0.5], np.float32)
    e = (np.arange(20_000) + 0.5) / 10_000 - 1
    z = np.arctanh(e)[:, None].astype(np.float32)
    log_p = np.asarray(jax.jit(squashed_gaussian_log_prob)(mean, log_std, z), np.float64)
    assert np.exp(log_p).sum() / 10_000 == pytest.approx(1.0, abs=1e-3)
    # Its distribution function is the Gaussian's at arctanh.
    below = np.exp(log_p)[e < 0.2].sum() / 10_000
    assert below == pytest.approx(stats.norm.cdf(np.arctanh(0.2), 0.4, np.exp(-0.5)), abs=1e-3)
    entropy = -(np.exp(log_p) * log_p).sum() / 10_000
    assert jax.jit(squashed_gaussian_entropy)(mean, log_std) == pytest.approx(entropy, abs=1e-3)


@pytest.mark.parametrize("std", [1e-4, 0.1, 1.0, 7.0])
def test_a_squashed_entropy_is_that_of_an_integral(std: float) -> None:
    mean = np.array([-1.5, 0.0, 0.8])
    z = mean[:, None] + std * np.linspace(-9, 9, 200_001)
    weight = stats.norm.pdf(np.linspace(-9, 9, 200_001)) * 18 / 200_000
    slope = np.log(4.0) - 2 * np.logaddexp(z, -z)
    expected = (stats.norm.entropy(scale=std) + (weight * slope).sum(1)).sum()
    ours = squashed_gaussian_entropy(
        jnp.asarray(mean, jnp.float32), jnp.full(3, np.log(std), jnp.float32)
    )
    # Wider ones have a kink between the nodes: .02 a dimension at the widest std allowed.
    assert ours == pytest.approx(expected, abs=0.06 if std > 1.0 else 0.005)


def test_categorical_log_prob_and_entropy_agree_with_scipy() -> None:
    logits = np.random.default_rng(2).normal(scale=4.0, size=(3, 50)).astype(np.float32)
    p = special.softmax(logits.astype(np.float64), axis=-1)
    actions = np.broadcast_to(np.arange(50, dtype=np.int32), (3, 50))
    ours = log_prob(logits[:, None], actions)
    np.testing.assert_allclose(ours, np.log(p), rtol=2e-5)
    np.testing.assert_allclose(entropy(logits), stats.entropy(p, axis=-1), rtol=1e-5)


def test_categorical_gradients_are_those_of_the_naive_form() -> None:
    logits = np.random.default_rng(3).normal(scale=4.0, size=20).astype(np.float32)

    def naive(logits: jax.Array) -> jax.Array:
        return jnp.log(jnp.exp(logits)[7] / jnp.exp(logits).sum())

    def naive_entropy(logits: jax.Array) -> jax.Array:
        p = jnp.exp(logits) / jnp.exp(logits).sum()
        return -(p * jnp.log(p)).sum()

    ours = jax.jit(jax.grad(categorical_log_prob))(logits, jnp.int32(7))
    np.testing.assert_allclose(ours, jax.jit(jax.grad(naive))(logits), atol=1e-6)
    ours = jax.jit(jax.grad(categorical_entropy))(logits)
    np.testing.assert_allclose(ours, jax.jit(jax.grad(naive_entropy))(logits), atol=1e-6)


def test_masked_actions_have_no_probability_and_no_gradient() -> None:
    logits = np.array([0.3, -np.inf, 1.2, -np.inf], np.float32)
    allowed = np.array([0, 2])
    p = special.softmax(logits[allowed].astype(np.float64))
    value_and_grad = jax.jit(jax.value_and_grad(categorical_log_prob))
    for index, action in enumerate(allowed):
        value, gradient = value_and_grad(logits, jnp.int32(action))
        assert value == pytest.approx(np.log(p[index]), rel=1e-5)
        np.testing.assert_allclose(gradient[allowed], np.eye(2)[index] - p, atol=1e-6)
        np.testing.assert_array_equal(np.asarray(gradient)[[1, 3]], 0.0)
    assert entropy(logits) == pytest.approx(stats.entropy(p), rel=1e-5)


def test_masked_actions_leave_the_entropy_s_gradient_finite() -> None:
    logits = np.array([0.3, -np.inf, 1.2, -np.inf], np.float32)
    p = special.softmax(logits.astype(np.float64))
    gradient = np.asarray(jax.jit(jax.grad(categorical_entropy))(logits))
    expected = -p * (np.log(p, where=p > 0, out=np.zeros(4)) + stats.entropy(p))
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "n"), [((7,), 3), ((64,), 5000), ((6, 50), 1600), ((127,), 2000)],
    ids=["at once", "in parts", "in parts, two axes", "prime, at once"],
)  # fmt: skip
def test_linear_cross_entropy_and_its_gradient_are_those_of_stored_logits(
    shape: tuple[int, ...], n: int
) -> None:
    rng = np.random.default_rng(n)
    inputs = jnp.asarray(rng.normal(size=(*shape, 4)), jnp.float32)
    weights = jnp.asarray(rng.normal(size=(4, n)) * 3, jnp.float32)
    target = jnp.asarray(rng.integers(n, size=shape), jnp.int32)

    def stored(inputs: jax.Array, weights: jax.Array) -> jax.Array:
        return -categorical_log_prob(inputs @ weights, target).mean()

    def ours(inputs: jax.Array, weights: jax.Array) -> jax.Array:
        return linear_cross_entropy(inputs, weights, target)

    value, gradients = jax.jit(jax.value_and_grad(ours, (0, 1)))(inputs, weights)
    expected, by_jax = jax.jit(jax.value_and_grad(stored, (0, 1)))(inputs, weights)
    assert float(value) == pytest.approx(float(expected), rel=1e-6)
    assert float(jax.jit(ours)(inputs, weights)) == pytest.approx(float(expected), rel=1e-6)
    for found, of_jax in zip(gradients, by_jax, strict=True):
        np.testing.assert_allclose(found, of_jax, rtol=1e-5, atol=3e-6 * np.abs(of_jax).max())


def test_linear_cross_entropy_has_no_gradient_where_predictions_are_sure() -> None:
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(4, 1600)), jnp.float32)
    target = jnp.arange(64, dtype=jnp.int32)
    inputs = 400.0 * weights.T[target] / (weights.T[target] ** 2).sum(-1, keepdims=True)
    logits = np.asarray(inputs, np.float64) @ np.asarray(weights, np.float64)
    sure = np.argmax(logits, -1)  # of each row, by far
    top, second = np.sort(logits, -1)[:, -1], np.sort(logits, -1)[:, -2]
    rows = np.flatnonzero(top - second > 60)
    assert len(rows) > 10
    gradient = jax.jit(jax.grad(linear_cross_entropy, (0, 1)))(
        inputs[rows], weights, jnp.asarray(sure[rows], jnp.int32)
    )
    for of in gradient:  # rounding of what should cancel would be 1e-5
        np.testing.assert_allclose(of, 0.0, atol=1e-20)


@pytest.mark.parametrize("n", [1, 2, 10, 37, 1000])
@pytest.mark.parametrize("allowed", [1.0, 0.3])
def test_every_uniform_together_draws_the_softmax(n: int, allowed: float) -> None:
    [logits] = logits_with_gaps(np.random.default_rng(n), n, allowed, 1)
    grid = 2**16
    uniforms = ((np.arange(grid) + 0.5) / grid).astype(np.float32)
    drawn = np.asarray(sample(np.broadcast_to(logits, (grid, n)), uniforms))
    counts = np.bincount(drawn, minlength=n)
    p = special.softmax(logits.astype(np.float64))
    # An interval of length p holds p * grid of the uniforms, give or take one at either end.
    assert counts.shape == (n,)
    np.testing.assert_array_less(np.abs(counts - p * grid), 2.1)
    assert (np.diff(drawn) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([1, 2, 9, 10, 101, 512, 1000]),
    st.floats(0.0, 1.0),
    st.integers(0, 2**32 - 1),
)
def test_masked_actions_are_never_drawn(n: int, allowed: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = logits_with_gaps(rng, n, allowed, 200)
    # The hard uniforms are those on the steps of the cumulative probability, and the two ends.
    running = special.softmax(logits, axis=-1).cumsum(-1)
    on_step = running[np.arange(200), rng.integers(n, size=200)]
    off = rng.integers(-3, 4, size=200) * 2.0**-24
    uniforms = np.clip(on_step + off, 0.0, HIGHEST).astype(np.float32)
    uniforms[:50], uniforms[50:100] = 0.0, HIGHEST
    drawn = np.asarray(sample(logits, uniforms))
    assert (drawn < n).all()
    assert np.isfinite(logits[np.arange(200), drawn]).all()


def test_the_ends_of_the_uniform_draw_the_first_and_last_possible_action() -> None:
    rng = np.random.default_rng(4)
    for n in (1, 2, 17, 1000):
        logits = np.full((50, n), -np.inf, np.float32)
        first = rng.integers(n, size=50)
        last = rng.integers(first, n)
        for row in range(50):
            logits[row, [first[row], last[row]]] = 0.0
        np.testing.assert_array_equal(sample(logits, np.zeros(50, np.float32)), first)
        np.testing.assert_array_equal(sample(logits, np.full(50, HIGHEST)), last)


def test_large_logits_do_not_overflow() -> None:
    logits = np.array([[1e4, 1e4, -1e4]], np.float32)
    drawn = [int(sample(logits, np.array([u], np.float32))[0]) for u in (0.0, 0.49, 0.51, HIGHEST)]
    assert drawn == [0, 0, 1, 1]


def test_a_batch_is_drawn_as_one_by_one() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(2, 3, 11)).astype(np.float32)
    uniforms = rng.random((2, 3)).astype(np.float32)
    together = sample(logits, uniforms)
    assert together.dtype == jnp.int32
    for at in np.ndindex(2, 3):
        assert together[at] == sample(logits[at], uniforms[at])


@pytest.mark.parametrize("sizes", [(3, 3), (2, 4, 1), (5,)], ids=["alike", "different", "one"])
def test_logits_by_part_are_those_of_its_values(sizes):
    product = Product(sizes, low=(0.0,), high=(1.0,))
    outputs = jax.random.normal(jax.random.key(0), (7, product.values + 1))

    def indexed(outputs):
        return jnp.where(product.exists, outputs[..., product.places], -jnp.inf)

    def of(logits):
        chosen = jnp.zeros((7, len(sizes)), jnp.int32)
        return lambda outputs: categorical_log_prob(logits(outputs), chosen).sum()

    def by_part(outputs):
        return logits_by_part(outputs, product, product.exists)

    np.testing.assert_array_equal(by_part(outputs), indexed(outputs))
    found, wanted = jax.grad(of(by_part))(outputs), jax.grad(of(indexed))(outputs)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert "scatter" not in jax.jit(jax.grad(of(by_part))).lower(outputs).as_text()
