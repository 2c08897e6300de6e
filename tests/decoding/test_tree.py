"""The tree of boxes: the same nearest actions as all distances in float64 give."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.decoding import IndexedTable, SoftmaxAction, k_nearest, nearest, tree
from embrl.decoding.indexed import FewActions, new_index
from embrl.embedding.encoders import ActionEncoder

build = jax.jit(tree.build)
search = jax.jit(tree.search, static_argnames=("k", "max_visits"))


def in_float64(table: np.ndarray, e: np.ndarray, k: int, mask: np.ndarray | None) -> np.ndarray:
    """Return the k nearest by all distances, the lower index first among equals."""
    squares = ((e[:, None].astype(np.float64) - table) ** 2).sum(-1)
    if mask is not None:
        squares = np.where(mask, squares, np.inf)
    found = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return np.where(np.take_along_axis(squares, found, 1) < np.inf, found, tree.NONE)


@pytest.mark.parametrize(
    ("n", "d"), [(40, 1), (5000, 2), pytest.param(3000, 8, marks=pytest.mark.slow)]
)
def test_finds_the_nearest_of_scattered_actions(n: int, d: int) -> None:
    random = np.random.default_rng(n)
    table = random.uniform(-1, 1, (n, d)).astype(np.float32)
    e = random.normal(size=(70, d)).astype(np.float32)
    mask = random.random((70, n)) < 0.2
    index = build(table)
    np.testing.assert_array_equal(search(index, e, k=5), in_float64(table, e, 5, None))
    np.testing.assert_array_equal(search(index, e, mask=mask), in_float64(table, e, 1, mask))
    few = build(table, mask[0])
    np.testing.assert_array_equal(search(few, e), in_float64(table, e, 1, mask[0]))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.25, 1e-4]), st.sampled_from([0, 1, 30]))
def test_equal_and_nearly_equal_distances_are_told_apart_as_in_float64(
    seed: int, step: float, beyond: float
) -> None:
    random = np.random.default_rng(seed)
    table = (step * random.integers(-6, 7, (300, 2))).astype(np.float32)
    e = (step * random.integers(-12, 13, (32, 2)) / 2 + beyond).astype(np.float32)
    np.testing.assert_array_equal(search(build(table), e), in_float64(table, e, 1, None))


def test_the_same_after_actions_have_moved_and_under_vmap() -> None:
    random = np.random.default_rng(0)
    tables = random.uniform(-1, 1, (2, 600, 2)).astype(np.float32)
    e = random.uniform(-1, 1, (2, 9, 2)).astype(np.float32)
    old = jax.jit(jax.vmap(lambda table: tree.build(table)))(tables)
    moved = (tables + 0.1 * random.normal(size=tables.shape)).astype(np.float32)

    @jax.jit
    @jax.vmap
    def searched(table: jax.Array, actions: jax.Array, e: jax.Array) -> jax.Array:
        return tree.search(tree.refitted(table.__getitem__, 600, actions), e)

    found = np.asarray(searched(moved, old.actions, e))
    for seed in range(2):
        np.testing.assert_array_equal(found[seed], in_float64(moved[seed], e[seed], 1, None))


def test_points_that_are_not_finite_have_a_nearest_action_too() -> None:
    table = np.random.default_rng(0).uniform(-1, 1, (400, 2)).astype(np.float32)
    e = np.array([[np.nan, np.nan], [np.inf, 0.0], [1e30, 0.0]], np.float32)
    found = np.asarray(search(build(table), e))[:, 0]
    assert (found < 400).all()
    assert found[0] == in_float64(table, np.zeros((1, 2), np.float32), 1, None)[0, 0]
    assert found[1] == found[2] == table[:, 0].argmax()


def test_a_bounded_number_of_visits_finds_most_of_them() -> None:
    random = np.random.default_rng(0)
    table = random.uniform(-1, 1, (20_000, 8)).astype(np.float32)
    e = random.uniform(-1, 1, (200, 8)).astype(np.float32)
    index, exact = build(table), in_float64(table, e, 1, None)
    recalls = [(search(index, e, max_visits=v) == exact).mean() for v in (8, 64)]
    assert 0.1 < recalls[0] < recalls[1]


@pytest.mark.parametrize("few", [False, True])
def test_tables_with_an_index_are_searched_as_those_without(few: bool) -> None:
    random = np.random.default_rng(0)
    rows = np.arctanh(random.uniform(-1, 1, (900, 2)).astype(np.float32))
    e = random.uniform(-1, 1, (3, 4, 2)).astype(np.float32)
    mask = random.random((3, 4, 900)) < 0.004
    g = ActionEncoder(900, 2, key=jax.random.key(0))
    g = eqx.tree_at(lambda g: g.rows, g, jnp.asarray(rows))
    chosen = np.arange(900) % 3 > 0
    if few:
        mask &= chosen
        mask[..., 1] = True

    @eqx.filter_jit
    def found(g: ActionEncoder, e: Any, mask: Any) -> Any:
        index: Any = build(g.table)
        if few:
            listed: Any = new_index(g.table, jnp.asarray(chosen), 610)
            index = FewActions.of(g, listed, 900)
        table_mask = jnp.broadcast_to(chosen, mask.shape) if few else None
        indexed = IndexedTable(g, index)
        return (
            (nearest(indexed, e), nearest(indexed, e, mask), *k_nearest(indexed, e, 9, mask)),
            (nearest(g.table, e, table_mask), nearest(g.table, e, mask)),
            k_nearest(g.table, e, 9, mask),
        )

    (one, masked, actions, distances), expected, (others, theirs) = found(g, e, mask)
    np.testing.assert_array_equal(one, expected[0])
    np.testing.assert_array_equal(masked, expected[1])
    np.testing.assert_allclose(distances, theirs, rtol=1e-5)
    known = np.isfinite(theirs)
    np.testing.assert_array_equal(np.where(known, actions, 0), np.where(known, others, 0))


@pytest.mark.parametrize("few", [False, True])
def test_where_a_mask_leaves_none_of_an_index_the_first_other_action_is_found(few: bool) -> None:
    g = ActionEncoder(300, 2, key=jax.random.key(0))
    chosen = np.arange(300) % 3 > 0
    e = np.random.default_rng(0).uniform(-1, 1, (3, 2)).astype(np.float32)
    mask = np.stack([chosen, ~chosen & (np.arange(300) > 50), np.arange(300) == 297])

    @eqx.filter_jit
    def found(g: ActionEncoder, e: Any, mask: Any) -> Any:
        allowed = jnp.asarray(chosen)
        index: Any = new_index(g.table, allowed, 200) if few else build(g.table, allowed)
        indexed = IndexedTable(g, FewActions.of(g, index, 300) if few else index)
        noise, f = jnp.full(3, 0.5), SoftmaxAction(0.1)
        asked = jnp.full(3, 51)
        drawn = (f(indexed, e, noise, mask), f.log_prob(indexed, e, asked, mask)) if few else ()
        return nearest(indexed, e, mask), *k_nearest(indexed, e, 4, mask), *drawn

    one, several, distances, *drawn = found(g, e, mask)
    assert one[1:].tolist() == [51, 297]
    assert chosen[one[0]]
    assert several[1:, 0].tolist() == [51, 297]
    np.testing.assert_array_equal(np.isfinite(distances[1:]), [[True, False, False, False]] * 2)
    expected = np.linalg.norm(np.asarray(g.table)[[51, 297]] - e[1:], axis=-1)
    np.testing.assert_allclose(distances[1:, 0], expected, rtol=1e-5)
    assert np.isfinite(distances[0]).all()
    if few:
        actions, log_prob = drawn
        assert actions[1:].tolist() == [51, 297]
        assert log_prob.tolist() == [-np.inf, 0.0, 0.0]
