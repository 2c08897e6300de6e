"""Layers against plain matrix products."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.networks import MLP, FactorLinear, Linear, orthonormal_rows

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


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 8), (5, 5)])
def test_orthonormal_rows_are_at_right_angles(rows: int, columns: int) -> None:
    matrix = np.asarray(orthonormal_rows(KEY, rows, columns))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(rows), atol=1e-5)


def test_more_rows_than_there_is_room_for_span_the_space_and_have_length_one() -> None:
    matrix = np.asarray(orthonormal_rows(KEY, 4, 2))
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1.0, rtol=1e-5)
    assert np.linalg.matrix_rank(matrix, tol=1e-3) == 2
