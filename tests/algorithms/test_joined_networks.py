"""Networks of phi(s) and of the state's own numbers, against sums by hand."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.algorithms.networks import Joined, JointFeatures, network
from embrl.core.nn import MLP, mean_one

KEY = jax.random.key(0)


def test_the_mean_absolute_value_is_one() -> None:
    np.testing.assert_allclose(mean_one(jnp.array([3.0, -1.0, 2.0])), [1.5, -0.5, 1.0])
    np.testing.assert_array_equal(mean_one(jnp.zeros((2, 3))), np.zeros((2, 3)))


@pytest.mark.parametrize("beside", [0, 2])
def test_a_layer_of_its_own_comes_first(beside: int) -> None:
    rng = np.random.default_rng(0)
    joined = Joined(JointFeatures(3, 4), (5, 6), 7, beside=beside, activation=jax.nn.relu, key=KEY)
    x, u = rng.normal(size=(8, 7)), rng.normal(size=(8, beside))
    layer: Any = joined.own
    own = x[:, 3:] @ np.asarray(layer.weight)
    if beside:
        own = own + u @ np.asarray(joined.beside)
    inputs = np.concatenate([x[:, :3], own / np.abs(own).mean(-1, keepdims=True)], -1)
    first, second, last = joined.layers
    hidden = np.maximum(inputs @ np.asarray(first.weight), 0)
    hidden = np.maximum(hidden @ np.asarray(second.weight), 0)
    assert first.weight.shape == (3 + 5, 5)
    given = (jnp.asarray(x, jnp.float32), jnp.asarray(u, jnp.float32) if beside else None)
    found = joined(*given)
    np.testing.assert_allclose(found, hidden @ np.asarray(last.weight), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(eqx.filter_jit(joined)(*given), found, rtol=1e-4, atol=1e-5)


def test_points_of_one_state_are_valued_as_one_by_one() -> None:
    joined = Joined(JointFeatures(3, 4), (5,), 1, beside=2, key=KEY)
    x, u = jax.random.normal(KEY, (6, 7)), jax.random.normal(KEY, (6, 9, 2))
    each = jnp.stack([joined(x, u[:, at]) for at in range(9)], axis=1)
    np.testing.assert_allclose(joined(x[:, None], u), each, rtol=1e-5, atol=1e-6)


def test_how_large_the_state_s_numbers_are_does_not_matter() -> None:
    joined = Joined(JointFeatures(3, 4), (5,), 2, key=KEY)
    x = jax.random.normal(KEY, (6, 7))
    larger = x.at[:, 3:].multiply(100.0)
    np.testing.assert_allclose(joined(larger), joined(x), rtol=1e-4, atol=1e-5)


def test_what_is_not_both_has_plain_layers() -> None:
    assert isinstance(network(3, (5,), 2, key=KEY), MLP)
    assert isinstance(network((3, 4), (5,), 2, key=KEY), MLP)
    plain, same = network(3, (5,), 2, key=KEY), MLP(3, (5,), 2, key=KEY)
    assert eqx.tree_equal(plain, same)
