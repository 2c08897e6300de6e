"""The softmax f against SciPy in float64: probabilities, draws, entropy and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import embeddings, masks, on_a_lattice, squared_distances
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from embrl.core import nn as distributions
from embrl.decoding import IndexedTable, SoftmaxAction, nearest
from embrl.decoding.indexed import FewActions

EXTREMES = [1e-8, 1e-3, 0.05, 1.0, 1e8]
HIGHEST = np.float32(1 - 2.0**-24)
"""The largest float32 below 1."""


@jax.jit
def draw(decoder: SoftmaxAction, table, u, noise, mask=None) -> jax.Array:
    return decoder(table, u, noise, mask)


@jax.jit
def log_prob(decoder: SoftmaxAction, table, u, action, mask=None) -> jax.Array:
    return decoder.log_prob(table, u, action, mask)


@jax.jit
def entropy(decoder: SoftmaxAction, table, u, mask=None) -> jax.Array:
    return decoder.entropy(table, u, mask)


def reference(log_temperature, table, u, mask=None) -> np.ndarray:
    """log P of every action in float64, `[*batch, n]`."""
    logits = -squared_distances(table, u) / np.exp(np.float64(log_temperature))
    logits = logits if mask is None else np.where(mask, logits, -np.inf)
    return special.log_softmax(logits, axis=-1)


def everywhere(decoder: SoftmaxAction, table, u, mask=None) -> np.ndarray:
    """Our log P of every action for points `[N, d]`, `[N, n]`."""
    actions = np.broadcast_to(np.arange(len(table), dtype=np.int32), (len(u), len(table)))
    mask = None if mask is None else mask[:, None]
    return np.asarray(log_prob(decoder, table, u[:, None], actions, mask))


@pytest.mark.parametrize("temperature", EXTREMES)
@pytest.mark.parametrize("n", [1, 37, 512])
@pytest.mark.parametrize("masked", [False, True])
def test_log_prob_is_scipy_s(temperature: float, n: int, masked: bool) -> None:
    # On the lattice float32 holds squared distances exactly; what is left is rounding of logits.
    rng = np.random.default_rng(n)
    table, u = on_a_lattice(rng, n, 2), on_a_lattice(rng, 8, 2)
    mask = masks(rng, 8, n) if masked else None
    decoder = SoftmaxAction(temperature)
    ours = everywhere(decoder, table, u, mask)
    theirs = reference(decoder.log_temperature, table, u, mask)
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(np.exp(ours.astype(np.float64)).sum(-1), 1.0, rtol=1e-5)
    if mask is not None:
        np.testing.assert_array_equal(np.isneginf(ours), ~mask)


def test_log_prob_anywhere_is_scipy_s_to_within_rounding_of_distances() -> None:
    rng = np.random.default_rng(0)
    table, u = embeddings(rng, 200, 4), rng.normal(size=(20, 4)).astype(np.float32)
    decoder = SoftmaxAction(0.05)
    rounding = squared_distances(table, u).max() * 2.0**-22 / 0.05
    np.testing.assert_allclose(
        everywhere(decoder, table, u),
        reference(decoder.log_temperature, table, u),
        atol=rounding,
        rtol=1e-6,
    )
    assert rounding < 1e-3  # or this would say little


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1, 1, width=32), min_size=12, max_size=12),
    st.lists(st.floats(-2, 2, width=32), min_size=2, max_size=2),
    st.lists(st.booleans(), min_size=6, max_size=6),
    st.floats(-3.0, 3.0),
)
def test_probabilities_of_any_points_sum_to_one(rows, point, allowed, power) -> None:
    table, u = np.array(rows, np.float32).reshape(6, 2), np.array(point, np.float32)
    mask = np.array(allowed) | (np.arange(6) == 2)
    decoder = SoftmaxAction(10.0**power)
    p = np.exp(everywhere(decoder, table, u[None], mask[None]).astype(np.float64))[0]
    assert p.sum() == pytest.approx(1.0, rel=1e-5)
    assert (p[~mask] == 0.0).all()
    expected = np.exp(reference(decoder.log_temperature, table, u, mask))
    np.testing.assert_allclose(p, expected, rtol=0, atol=2e-6 * (1 + 18 * 10.0**-power))


@pytest.mark.parametrize("masked", [False, True])
def test_draws_are_as_frequent_as_they_are_likely(masked: bool) -> None:
    rng = np.random.default_rng(1)
    n, draws = 15, 20_000
    table, u = embeddings(rng, n, 2), embeddings(rng, 2)
    mask = masks(rng, 1, n, 0.6)[0] if masked else np.ones(n, bool)
    decoder = SoftmaxAction(0.4)
    noise = decoder.noise(jax.random.key(0), (draws,))
    assert (noise.shape, noise.dtype) == ((draws,), jnp.float32)
    drawn = draw(decoder, table, np.broadcast_to(u, (draws, 2)), noise, mask)
    assert drawn.dtype == jnp.int32
    counts = np.bincount(np.asarray(drawn), minlength=n)

    def p_value(temperature: float) -> float:
        p = np.exp(reference(np.log(temperature), table, u, mask))[mask]
        return stats.chisquare(counts[mask], draws * p).pvalue

    assert counts[~mask].sum() == 0
    assert p_value(0.4) > 1e-3
    assert p_value(0.5) < 1e-6  # or it would pass whatever is drawn


@pytest.mark.parametrize("temperature", EXTREMES)
def test_without_noise_it_takes_the_nearest_which_is_the_likeliest(temperature: float) -> None:
    rng = np.random.default_rng(2)
    table, u, mask = on_a_lattice(rng, 80, 2), on_a_lattice(rng, 30, 2), masks(rng, 30, 80)
    decoder = SoftmaxAction(temperature)
    chosen = draw(decoder, table, u, None, mask)
    np.testing.assert_array_equal(chosen, jax.jit(nearest)(table, u, mask))
    likeliest = everywhere(decoder, table, u, mask).max(-1)
    np.testing.assert_array_equal(log_prob(decoder, table, u, chosen, mask), likeliest)


@pytest.mark.parametrize("noise", [0.0, 0.5, HIGHEST])
def test_cold_it_draws_the_nearest_and_hot_any(noise: float) -> None:
    rng = np.random.default_rng(3)
    table, u = embeddings(rng, 101, 2), embeddings(rng, 10, 2)
    uniform = np.full(10, noise, np.float32)
    cold = draw(SoftmaxAction(1e-8), table, u, uniform)
    np.testing.assert_array_equal(cold, jax.jit(nearest)(table, u))
    hot = draw(SoftmaxAction(1e8), table, u, uniform)
    np.testing.assert_allclose(hot, 101 * noise, atol=1.0)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([2, 33, 300]),
    st.sampled_from(EXTREMES),
    st.floats(0.0, 1.0),
    st.integers(0, 2**32 - 1),
)
def test_masked_actions_are_never_drawn(n, temperature, allowed, seed) -> None:
    rng = np.random.default_rng(seed)
    table, u, mask = embeddings(rng, n, 2), embeddings(rng, 60, 2), masks(rng, 60, n, allowed)
    noise = rng.random(60).astype(np.float32)
    noise[:10], noise[10:20] = 0.0, HIGHEST
    u[0], u[1], u[2] = np.nan, np.inf, 1e30
    drawn = np.asarray(draw(SoftmaxAction(temperature), table, u, noise, mask))
    assert mask[np.arange(60), drawn].all()


def test_a_sampler_that_lands_on_a_masked_action_is_put_right(monkeypatch) -> None:
    def careless(logits: jax.Array, uniform: jax.Array) -> jax.Array:
        return jnp.full(uniform.shape, 1, jnp.int32)

    monkeypatch.setattr(distributions, "categorical_sample", careless)
    table, u = jnp.array([[0.0], [0.4], [1.0]]), jnp.array([[0.3], [0.9]])
    mask = jnp.array([[True, False, True], [True, True, True]])
    chosen = SoftmaxAction(1.0)(table, u, jnp.zeros(2), mask)
    np.testing.assert_array_equal(chosen, [0, 1])


@pytest.mark.parametrize("temperature", EXTREMES)
@pytest.mark.parametrize("masked", [False, True])
def test_entropy_is_scipy_s(temperature: float, masked: bool) -> None:
    rng = np.random.default_rng(4)
    table, u = on_a_lattice(rng, 50, 2), on_a_lattice(rng, 20, 2)
    mask = masks(rng, 20, 50) if masked else None
    decoder = SoftmaxAction(temperature)
    p = np.exp(reference(decoder.log_temperature, table, u, mask))
    ours = entropy(decoder, table, u, mask)
    assert ours.shape == (20,)
    np.testing.assert_allclose(ours, stats.entropy(p, axis=-1), rtol=1e-5, atol=1e-6)


def slopes(function, at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences of a float64 function of a vector."""
    return np.array(
        [
            (function(at + shift) - function(at - shift)) / (2 * step)
            for shift in step * np.eye(len(at))
        ]
    )


@pytest.mark.parametrize("temperature", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_those_of_finite_differences(temperature: float, masked: bool) -> None:
    rng = np.random.default_rng(5)
    table, u = embeddings(rng, 9, 2), embeddings(rng, 2)
    mask = np.arange(9) % 3 != 1 if masked else None
    decoder = SoftmaxAction(temperature)
    at = np.concatenate([np.asarray(decoder.log_temperature, np.float64)[None], u])

    def both(at: np.ndarray) -> np.ndarray:
        log_p = reference(at[0], table, at[1:], mask)
        return np.array([log_p[3], stats.entropy(np.exp(log_p))])

    expected = slopes(both, at)
    for column, ours in enumerate(
        (
            lambda f, table, u: f.log_prob(table, u, jnp.int32(3), mask),
            lambda f, table, u: f.entropy(table, u, mask),
        )
    ):
        by_f, by_table, by_u = jax.jit(jax.grad(ours, (0, 1, 2)))(decoder, table, u)
        scale = np.abs(expected[:, column]).max()
        np.testing.assert_allclose(
            by_f.log_temperature, expected[0, column], rtol=1e-4, atol=1e-5 * scale
        )
        np.testing.assert_allclose(by_u, expected[1:, column], rtol=1e-4, atol=1e-5 * scale)
        # The embedding is not the policy's to move.
        np.testing.assert_array_equal(by_table, 0.0)


def test_extremes_leave_values_and_gradients_finite() -> None:
    rng = np.random.default_rng(6)
    table = jnp.asarray(embeddings(rng, 9, 2))
    mask = jnp.arange(9) % 3 != 1

    def total(f: SoftmaxAction, point: jax.Array) -> jax.Array:
        allowed = jnp.flatnonzero(mask, size=6).astype(jnp.int32)
        spread = f.log_prob(table, jnp.broadcast_to(point, (6, 2)), allowed, mask)
        return (spread / 1e30).sum() + f.entropy(table, point, mask)

    value_and_grad = jax.jit(jax.value_and_grad(total, (0, 1)))
    for log_temperature in (-200.0, np.log(1e-8), np.log(1e8), 200.0):  # learning knows no bounds
        decoder = jax.tree.map(lambda _, at=log_temperature: jnp.float32(at), SoftmaxAction(1.0))
        for u in (0.3, 1e4, 1e10, 1e30):
            value, gradients = value_and_grad(decoder, np.full(2, u, np.float32))
            for number in (value, *jax.tree.leaves(gradients)):
                assert np.isfinite(number).all(), (log_temperature, u)


def test_a_lost_temperature_still_gives_allowed_actions() -> None:
    rng = np.random.default_rng(7)
    table, u, mask = embeddings(rng, 40, 2), embeddings(rng, 50, 2), masks(rng, 50, 40)
    drawn = draw(SoftmaxAction(np.nan), table, u, np.linspace(0, 0.99, 50, dtype="f"), mask)
    assert mask[np.arange(50), np.asarray(drawn)].all()


def test_compiled_and_vmapped_over_seeds_is_as_one_by_one() -> None:
    rng = np.random.default_rng(8)
    tables, u, mask = embeddings(rng, 3, 40, 2), embeddings(rng, 3, 7, 2), rng.random((3, 40)) < 0.8
    noise = rng.random((3, 7)).astype(np.float32)
    decoders = jax.vmap(SoftmaxAction)(jnp.array([0.01, 0.1, 1.0]))
    actions = np.asarray(jax.jit(jax.vmap(draw))(decoders, tables, u, noise, mask))
    log_p = np.asarray(jax.jit(jax.vmap(log_prob))(decoders, tables, u, actions, mask))
    for seed, temperature in enumerate((0.01, 0.1, 1.0)):
        decoder = SoftmaxAction(temperature)
        table, points, uniform, allowed = (
            jnp.asarray(part[seed]) for part in (tables, u, noise, mask)
        )
        np.testing.assert_array_equal(actions[seed], draw(decoder, table, points, uniform, allowed))
        alone = log_prob(decoder, table, points, actions[seed], allowed)
        np.testing.assert_allclose(log_p[seed], alone, rtol=1e-4, atol=1e-5)


def test_another_temperature_needs_no_new_program() -> None:
    traces = 0

    @jax.jit
    def act(decoder: SoftmaxAction, u: jax.Array) -> jax.Array:
        nonlocal traces
        traces += 1
        return decoder(jnp.zeros((4, 2)), u, jnp.float32(0.5))

    first = SoftmaxAction(0.1)
    stepped = jax.tree.map(lambda leaf: leaf - jnp.float32(0.1) * leaf, first)
    for decoder in (first, stepped, SoftmaxAction(0.2), SoftmaxAction(np.float64(3.0))):
        act(decoder, jnp.zeros(2))
    assert traces == 1


@pytest.mark.parametrize("masked", [False, True])
def test_a_list_of_actions_is_the_table_with_all_others_masked(masked: bool) -> None:
    rng = np.random.default_rng(9)
    table, u = on_a_lattice(rng, 90, 2), on_a_lattice(rng, 30, 2)
    listed = np.sort(rng.permutation(89)[:40]).astype(np.int32)  # without the last action
    mask = masks(rng, 30, 90) if masked else np.ones((30, 90), bool)
    mask[:, listed[0]] = True
    known = mask & np.isin(np.arange(90), listed)
    noise, decoder = rng.random(30).astype(np.float32), SoftmaxAction(0.2)
    every = np.broadcast_to(np.arange(90, dtype=np.int32), (30, 90))

    @jax.jit
    def of_list(decoder: SoftmaxAction, u, noise, first, every):
        g, with_gaps = jnp.asarray(table).__getitem__, jnp.pad(listed, (0, 2), constant_values=90)
        indexed = IndexedTable(g, FewActions.of(g, with_gaps, 90))
        allowed = jnp.asarray(mask) if masked else None
        masks_of_all = None if allowed is None else allowed[:, None]

        def chosen(decoder: SoftmaxAction, u):
            return decoder.log_prob(indexed, u, first, allowed).sum()

        return (
            decoder(indexed, u, noise, allowed),
            decoder(indexed, u, None, allowed),
            decoder.log_prob(indexed, u[:, None], every, masks_of_all),
            decoder.entropy(indexed, u, allowed),
            jax.grad(chosen, (0, 1))(decoder, u),
        )

    drawn, likeliest, log_p, spread, gradients = of_list(decoder, u, noise, listed[0], every)
    np.testing.assert_array_equal(drawn, draw(decoder, table, u, noise, known))
    np.testing.assert_array_equal(likeliest, jax.jit(nearest)(table, u, known))
    expected = reference(decoder.log_temperature, table, u, known)
    np.testing.assert_allclose(log_p, expected, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(spread, entropy(decoder, table, u, known), rtol=1e-5)

    def plain(decoder: SoftmaxAction, u, first):
        return log_prob(decoder, table, u, first, known).sum()

    for ours, theirs in zip(
        jax.tree.leaves(gradients),
        jax.tree.leaves(jax.jit(jax.grad(plain, (0, 1)))(decoder, u, np.full(30, listed[0]))),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_outside_of_jax_it_draws_the_same_among_actions_that_are_not_excluded(masked) -> None:
    rng = np.random.default_rng(10)
    table, u = on_a_lattice(rng, 90, 2), on_a_lattice(rng, 30, 2)
    allowed = np.arange(90) % 3 == 1
    mask = masks(rng, 30, 90) if masked else np.ones((30, 90), bool)
    mask[:, 1] = True
    noise, decoder = rng.random(30).astype(np.float32), SoftmaxAction(0.2)
    steps = decoder.portable(table, allowed, lambda: pytest.fail("no scorer is needed"))
    assert steps.draw is not None
    given = (mask,) if masked else ()
    drawn = steps.draw(u, noise[:, None], *given)
    np.testing.assert_array_equal(drawn, draw(decoder, table, u, noise, mask & allowed))
    likeliest = draw(decoder, table, u, None, mask & allowed)
    np.testing.assert_array_equal(steps.f.steps[0](u, *given), likeliest)
