"""The k nearest against brute force in float64 and against SciPy's k-d tree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import embeddings, in_order, masks, on_a_lattice, squared_distances, tolerance
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree

from embrl.decoding import k_nearest, nearest
from embrl.decoding import search as searches

jitted = jax.jit(k_nearest, static_argnums=2)

SIZES = [7, 33, 512, 50_000]
"""Of the last, fifty points go in two groups."""


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(("d", "k"), [(2, 5), (8, 32)])
def test_agrees_with_a_k_d_tree(n: int, d: int, k: int) -> None:
    rng = np.random.default_rng([n, d])
    table, e = embeddings(rng, n, d), rng.normal(size=(50, d)).astype(np.float32)
    k = min(k, n)
    indices, distances = (np.asarray(part) for part in jitted(table, e, k))
    tree_distances, _ = KDTree(table.astype(np.float64)).query(e.astype(np.float64), k)
    tree_distances = np.reshape(tree_distances, (50, k))
    np.testing.assert_allclose(distances, tree_distances, rtol=tolerance(d), atol=1e-18)
    # And they are distances of the actions returned, which are all different.
    squares = np.take_along_axis(squared_distances(table, e), indices, -1)
    np.testing.assert_allclose(distances, np.sqrt(squares), rtol=tolerance(d), atol=1e-18)
    assert (np.diff(np.sort(indices), axis=-1) > 0).all()


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("d", [1, 2])
def test_equals_come_in_the_order_of_their_indices(n: int, d: int) -> None:
    rng = np.random.default_rng([n, d])
    table, e = on_a_lattice(rng, n, d), on_a_lattice(rng, 50, d)
    indices, distances = jitted(table, e, 7)
    squares = squared_distances(table, e)
    np.testing.assert_array_equal(indices, in_order(squares)[:, :7])
    np.testing.assert_allclose(distances, np.sqrt(np.sort(squares)[:, :7]), rtol=1e-7)


@pytest.mark.parametrize("n", [7, 512])
def test_masked_actions_come_last_at_no_distance(n: int) -> None:
    rng = np.random.default_rng(n)
    table, e = on_a_lattice(rng, n, 2), on_a_lattice(rng, 30, 2)
    mask = masks(rng, 30, n, allowed=4 / n)
    indices, distances = jitted(table, e, 40, mask)  # more than a block
    squares = np.where(mask, squared_distances(table, e), np.inf)
    np.testing.assert_array_equal(indices, in_order(squares)[:, :40])
    allowed = np.take_along_axis(mask, np.asarray(indices), -1)
    assert allowed[:, 0].all()
    assert not allowed.all()  # some rows have fewer
    np.testing.assert_array_equal(np.isinf(distances), ~allowed)


@pytest.mark.parametrize("n", [1, 40])
def test_more_than_there_are_is_all_of_them(n: int) -> None:
    rng = np.random.default_rng(n)
    table, e = on_a_lattice(rng, n, 2), on_a_lattice(rng, 30, 2)
    indices, distances = jitted(table, e, n + 3)
    assert indices.shape == distances.shape == (30, n)
    np.testing.assert_array_equal(indices, in_order(squared_distances(table, e)))


@pytest.mark.parametrize("at_once", [1, 100, 1000])
def test_groups_of_points_are_as_all_together(at_once: int, monkeypatch) -> None:
    monkeypatch.setattr(searches, "AT_ONCE", at_once)
    rng = np.random.default_rng(6)
    table, e, mask = on_a_lattice(rng, 90, 2), on_a_lattice(rng, 5, 7, 2), masks(rng, 35, 90)
    mask = mask.reshape(5, 7, 90)
    # A function of its own, because the one above may have been compiled already.
    search = jax.jit(lambda table, e, mask: k_nearest(table, e, 4, mask))
    indices, distances = search(table, e, mask)
    squares = np.where(mask, squared_distances(table, e), np.inf)
    np.testing.assert_array_equal(indices, in_order(squares)[..., :4])
    np.testing.assert_allclose(distances, np.sqrt(np.sort(squares)[..., :4]), rtol=1e-7)


@pytest.mark.parametrize("batch", [(), (2, 1, 3)])
def test_any_batch_shape_will_do(batch: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    n = 40
    table, e = on_a_lattice(rng, n, 3), on_a_lattice(rng, *batch, 3)
    mask = masks(rng, 1, n)[0]
    indices, distances = jitted(table, e, 4, mask)
    assert indices.shape == distances.shape == (*batch, 4)
    assert (indices.dtype, distances.dtype) == (jnp.int32, jnp.float32)
    squares = np.where(mask, squared_distances(table, e), np.inf)
    np.testing.assert_array_equal(indices, in_order(squares)[..., :4])


def test_inside_jit_and_vmap_is_as_outside() -> None:
    rng = np.random.default_rng(2)
    n = 300
    tables, e = embeddings(rng, 3, n, 2), embeddings(rng, 3, 20, 2)
    mask = rng.random((3, 20, n)) < 0.5
    search = jax.vmap(lambda table, e, mask: k_nearest(table, e, 5, mask))
    inside = [np.asarray(part) for part in jax.jit(search)(tables, e, mask)]
    for seed in range(1):  # operation by operation
        table, points, allowed = (jnp.asarray(part[seed]) for part in (tables, e, mask))
        indices, distances = k_nearest(table, points, 5, allowed)
        np.testing.assert_array_equal(inside[0][seed], indices)
        np.testing.assert_allclose(inside[1][seed], distances, rtol=tolerance(2))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([(1, 1, 1), (6, 1, 3), (6, 2, 6), (40, 2, 5), (4, 8, 9)]))
def test_lattice_tables_are_searched_exactly(
    data: st.DataObject, shape: tuple[int, int, int]
) -> None:
    n, d, k = shape
    eighths = st.integers(-8, 8).map(lambda value: value / 8)
    row = st.lists(eighths, min_size=d, max_size=d)
    table = np.array(data.draw(st.lists(row, min_size=n, max_size=n)), np.float32)
    e = np.array(data.draw(row), np.float32)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    mask[data.draw(st.integers(0, n - 1))] = True
    squares = np.where(mask, squared_distances(table, e), np.inf)
    np.testing.assert_array_equal(jitted(table, e, k, mask)[0], in_order(squares)[:k])


@pytest.mark.parametrize("e", [np.nan, np.inf, 3e38, 0.3])
@pytest.mark.parametrize("n", [50, 512])
def test_the_first_is_the_nearest(n: int, e: float) -> None:
    rng = np.random.default_rng(3)
    table, points = embeddings(rng, n, 2), np.full((20, 2), e, np.float32)
    mask = masks(rng, 20, n)
    indices, distances = jitted(table, points, 3, mask)
    np.testing.assert_array_equal(indices[:, 0], jax.jit(nearest)(table, points, mask))
    assert np.take_along_axis(mask, np.asarray(indices), -1)[:, 0].all()
    assert not np.isinf(distances[:, 0]).any()


def test_points_crowded_far_from_the_origin_are_told_apart() -> None:
    # Where the expanded square would have lost them.
    rng = np.random.default_rng(5)
    table = (0.7 + 0.001 * rng.normal(size=(2000, 2))).astype(np.float32)
    e = (0.7 + 0.001 * rng.normal(size=(100, 2))).astype(np.float32)
    squares = np.sort(squared_distances(table, e))[:, :8]
    np.testing.assert_allclose(jitted(table, e, 8)[1], np.sqrt(squares), rtol=tolerance(2))
