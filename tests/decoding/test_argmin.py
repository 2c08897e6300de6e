"""Minima in blocks against NumPy's sort, on values with many ties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import in_order
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from embrl.decoding.search import BLOCK, argmin, k_argmin

one = jax.jit(argmin)
several = jax.jit(k_argmin, static_argnums=1)
SIZES = [1, BLOCK - 1, BLOCK, BLOCK + 1, 1000]


@pytest.mark.parametrize("n", SIZES)
def test_values_come_in_the_order_of_a_stable_sort(n: int) -> None:
    for different in (1, 3, 50, 10**6):
        values = np.random.default_rng(n).integers(different, size=(40, n)).astype(np.float32)
        for k in {min(33, n), n}:
            least_values, at = several(values, k)
            np.testing.assert_array_equal(at, in_order(values)[:, :k])
            np.testing.assert_array_equal(least_values, np.sort(values)[:, :k])
        least_value, at = one(values)
        np.testing.assert_array_equal(at, values.argmin(-1))
        np.testing.assert_array_equal(least_value, values.min(-1))


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.float32, 70, elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0, 3e38])))
def test_any_pattern_of_ties_is_sorted(values: np.ndarray) -> None:
    np.testing.assert_array_equal(several(values, 70)[1], in_order(values))
    np.testing.assert_array_equal(several(values, 5)[1], in_order(values)[:5])
    assert one(values)[1] == values.argmin()


@pytest.mark.parametrize("n", [1, 40])
def test_where_all_is_inf_the_first_is_the_least(n: int) -> None:
    assert one(np.full(n, np.inf, np.float32)) == (np.inf, 0)


def test_inside_vmap_and_out_of_jit_is_the_same() -> None:
    values = np.random.default_rng(0).integers(9, size=(2, 3, 50)).astype(np.float32)
    together = several(values, 6)
    mapped = jax.jit(jax.vmap(jax.vmap(lambda row: several(row, 6))))(values)
    for ours, theirs in zip(together, mapped, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(together[1], k_argmin(jnp.asarray(values), 6)[1])
    np.testing.assert_array_equal(one(values)[1], argmin(jnp.asarray(values))[1])
