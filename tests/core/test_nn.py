"""Layers against plain matrix products."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.core import nn
from embrl.core.layers import FactorLinear, Linear
from embrl.core.nn import MLP, UNROLLED_ROWS, orthonormal_rows

KEY = jax.random.key(0)


@pytest.mark.parametrize("factors", [(5,), (3, 4), (2, 3, 4)])
def test_factor_linear_is_a_dense_layer_on_concatenated_one_hots(factors: tuple[int, ...]) -> None:
    layer = FactorLinear(factors, 7, key=KEY)
    rng = np.random.default_rng(0)
    values = np.stack([rng.integers(n, size=(2, 6)) for n in factors], axis=-1)
    hot = np.concatenate([np.eye(n)[values[..., i]] for i, n in enumerate(factors)], axis=-1)
    dense = hot @ np.asarray(layer.table) + np.asarray(layer.bias)
    np.testing.assert_allclose(layer(jnp.asarray(values)), dense, rtol=1e-5, atol=1e-6)


def test_linear_is_a_matrix_product() -> None:
    layer = Linear(3, 2, key=KEY)
    x = jax.random.normal(KEY, (4, 3))
    np.testing.assert_allclose(layer(x), np.asarray(x) @ np.asarray(layer.weight), rtol=1e-5)


@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_an_mlp_lets_any_leading_axes_pass(batch: tuple[int, ...]) -> None:
    assert eqx.filter_jit(MLP(4, (5,), 2, key=KEY))(jnp.ones((*batch, 4))).shape == (*batch, 2)
    values = MLP((3, 4), (5,), 2, key=KEY)
    assert eqx.filter_jit(values)(jnp.ones((*batch, 2), jnp.int32)).shape == (*batch, 2)


def test_an_mlp_is_its_layers_with_an_activation_between_them() -> None:
    network = MLP(4, (5, 6), 2, activation=jax.nn.relu, key=KEY)
    inputs = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    x = inputs
    for layer in network.layers[:-1]:
        assert isinstance(layer, Linear)
        x = np.maximum(x @ np.asarray(layer.weight) + np.asarray(layer.bias), 0.0)
    last = network.layers[-1]
    assert isinstance(last, Linear)
    expected = x @ np.asarray(last.weight) + np.asarray(last.bias)
    np.testing.assert_allclose(network(jnp.asarray(inputs)), expected, rtol=1e-4, atol=1e-6)


def test_initial_layers_keep_the_scale_of_what_goes_in() -> None:
    x = jax.random.normal(jax.random.key(1), (1000, 64))
    assert np.asarray(Linear(64, 64, key=KEY)(x)).std() == pytest.approx(1.0, rel=0.05)
    assert np.asarray(Linear(64, 64, scale=0.1, key=KEY)(x)).std() == pytest.approx(0.1, rel=0.05)
    values = jax.random.randint(jax.random.key(2), (1000, 3), 0, 50)
    layer = FactorLinear((50, 50, 50), 64, scale=0.5, key=KEY)
    assert np.asarray(layer(values)).std() == pytest.approx(0.5, rel=0.05)


def test_scales_of_an_mlp_belong_to_its_first_and_last_layer() -> None:
    plain, scaled = (
        MLP(4, (5, 6), 2, first_scale=first, last_scale=last, key=KEY)
        for first, last in [(1.0, 1.0), (0.5, 0.01)]
    )
    for layer, other, scale in zip(plain.layers, scaled.layers, (0.5, 1.0, 0.01), strict=True):
        assert isinstance(layer, Linear)
        assert isinstance(other, Linear)
        np.testing.assert_allclose(other.weight, scale * layer.weight, rtol=1e-6)
        assert not layer.bias.any()
    # A single layer is both.
    one, both = MLP(4, (), 2, key=KEY), MLP(4, (), 2, first_scale=0.5, last_scale=0.1, key=KEY)
    np.testing.assert_allclose(jax.tree.leaves(both)[0], 0.05 * jax.tree.leaves(one)[0], rtol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 8), (5, 5), (UNROLLED_ROWS + 1, 40)])
def test_orthonormal_rows_are_at_right_angles(rows: int, columns: int) -> None:
    matrix = np.asarray(orthonormal_rows(KEY, rows, columns))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(rows), atol=1e-5)


def test_more_rows_than_there_is_room_for_span_the_space_and_have_length_one() -> None:
    for rows in (4, UNROLLED_ROWS + 1):
        matrix = np.asarray(orthonormal_rows(KEY, rows, 2))
        np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1.0, rtol=1e-5)
        assert np.linalg.matrix_rank(matrix, tol=1e-3) == 2


def test_many_rows_are_made_as_few_are(monkeypatch) -> None:
    looped = orthonormal_rows(KEY, UNROLLED_ROWS + 1, 20)
    monkeypatch.setattr(nn, "UNROLLED_ROWS", UNROLLED_ROWS + 1)
    np.testing.assert_allclose(looped, orthonormal_rows(KEY, UNROLLED_ROWS + 1, 20), atol=1e-4)


@pytest.mark.parametrize("hidden", [(), (7,)])
def test_a_second_vector_goes_in_as_if_it_stood_beside_the_first(hidden: tuple[int, ...]) -> None:
    network = MLP(3, hidden, 2, beside=2, key=KEY)
    rng = np.random.default_rng(0)
    x, e = (jnp.asarray(rng.normal(size=(4, 5, n)), jnp.float32) for n in (3, 2))
    one = MLP(5, hidden, 2, key=KEY)
    first, rest = network.layers[0], network.layers[1:]
    assert isinstance(first, Linear)
    assert network.beside is not None
    weight = jnp.concatenate([first.weight, network.beside])
    one = eqx.tree_at(
        lambda n: n.layers, one, (eqx.tree_at(lambda f: f.weight, first, weight), *rest)
    )
    both = jnp.concatenate([x, e], axis=-1)
    np.testing.assert_allclose(network(x, e), one(both), rtol=1e-4, atol=1e-6)


def test_a_second_vector_goes_in_beside_factors_too_and_may_have_more_leading_axes() -> None:
    network = MLP((4, 3), (7,), 2, beside=2, key=KEY)
    values = jax.random.randint(KEY, (6, 2), 0, 3, jnp.int32)
    e = jax.random.normal(KEY, (6, 9, 2))
    many = eqx.filter_jit(network)(values[:, None], e)
    assert many.shape == (6, 9, 2)
    for at in np.ndindex(6, 9):
        np.testing.assert_allclose(many[at], network(values[at[0]], e[at]), rtol=1e-4, atol=1e-6)
    # Without the second vector it is the network of the factors alone.
    plain = network(values, jnp.zeros((6, 2)))
    first = network.layers[0](values)
    expected = network.layers[1](jnp.tanh(first))
    np.testing.assert_allclose(plain, expected, rtol=1e-5)


@pytest.mark.parametrize("inputs", [62, (50, 50)])
def test_two_inputs_together_keep_the_scale(inputs: int | tuple[int, ...]) -> None:
    network = MLP(inputs, (), 64, beside=2, first_scale=0.5, key=KEY)
    if isinstance(inputs, int):
        x = jax.random.normal(jax.random.key(1), (1000, inputs))
    else:
        x = jax.random.randint(jax.random.key(1), (1000, 2), 0, 50)
    e = jax.random.normal(jax.random.key(2), (1000, 2))
    assert np.asarray(network(x, e)).std() == pytest.approx(0.5, rel=0.1)


def test_a_second_input_changes_nothing_for_networks_without_one() -> None:
    # Runs from before there were any come out the same.
    network, other = MLP(3, (4,), 2, key=KEY), MLP(3, (4,), 2, beside=2, key=KEY)
    assert network.beside is None
    first, second = network.layers[0], other.layers[0]
    assert isinstance(first, Linear)
    assert isinstance(second, Linear)
    np.testing.assert_allclose(second.weight, first.weight * np.sqrt(3 / 5), rtol=1e-6)
