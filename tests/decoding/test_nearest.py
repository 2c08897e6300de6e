"""f against brute force in float64, and the rounding that the expanded square would suffer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import embeddings, masks, on_a_lattice, squared_distances, tolerance
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.decoding import nearest, search

jitted = jax.jit(nearest)

SIZES = [1, 2, 7, 512, 835, 30_000]
"""Of the last, a hundred points go in two groups."""


def assert_nearest(
    table: np.ndarray, e: np.ndarray, chosen: np.ndarray, mask: np.ndarray | None = None
) -> None:
    """Chosen is the float64 argmin, save where another is as near to within float32 rounding."""
    truth = squared_distances(table, e)
    if mask is not None:
        truth = np.where(mask, truth, np.inf)
    least = truth.min(-1)
    got = np.take_along_axis(truth, chosen[..., None].astype(np.int64), -1)[..., 0]
    margin = 1.0 + tolerance(table.shape[1])
    np.testing.assert_array_less(got, least * margin + 1e-36)
    alone = (truth <= least[..., None] * margin + 1e-36).sum(-1) == 1
    np.testing.assert_array_equal(chosen[alone], truth.argmin(-1)[alone])
    if table.shape[0] < 10_000 and table.shape[1] > 1:  # else points are crowded
        assert alone.mean() > 0.9  # or the test would say little


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("d", [1, 2, 8])
def test_agrees_with_brute_force(n: int, d: int) -> None:
    rng = np.random.default_rng([n, d])
    table, e = embeddings(rng, n, d), rng.normal(size=(100, d)).astype(np.float32)
    assert_nearest(table, e, np.asarray(jitted(table, e)))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("d", [1, 2, 8])
def test_the_lowest_index_wins_among_equals(n: int, d: int) -> None:
    rng = np.random.default_rng([n, d])
    table, e = on_a_lattice(rng, n, d), on_a_lattice(rng, 100, d)
    np.testing.assert_array_equal(jitted(table, e), squared_distances(table, e).argmin(-1))


@pytest.mark.parametrize("at_once", [1, 100, 1000])
def test_groups_of_points_are_as_all_together(at_once: int, monkeypatch) -> None:
    monkeypatch.setattr(search, "AT_ONCE", at_once)
    rng = np.random.default_rng(6)
    table, e = on_a_lattice(rng, 90, 2), on_a_lattice(rng, 5, 7, 2)
    squares = squared_distances(table, e)
    everywhere, each = masks(rng, 1, 90)[0], masks(rng, 35, 90).reshape(5, 7, 90)
    # A function of its own, because the one above may have been compiled already.
    found = jax.jit(lambda *arguments: nearest(*arguments))
    np.testing.assert_array_equal(found(table, e), squares.argmin(-1))
    for mask in (everywhere, each, each[:, :1]):
        expected = np.where(mask, squares, np.inf).argmin(-1)
        np.testing.assert_array_equal(found(table, e, mask), expected)


@pytest.mark.parametrize("n", [5, 512])
def test_masked_actions_are_passed_over(n: int) -> None:
    rng = np.random.default_rng(n)
    table, e = embeddings(rng, n, 2), rng.normal(size=(60, 2)).astype(np.float32)
    mask = masks(rng, 60, n)
    chosen = np.asarray(jitted(table, e, mask))
    assert mask[np.arange(60), chosen].all()
    assert_nearest(table, e, chosen, mask)


@pytest.mark.parametrize("n", [5, 512])
def test_one_allowed_action_is_always_taken(n: int) -> None:
    rng = np.random.default_rng(n)
    table, e = embeddings(rng, n, 2), 5 * rng.normal(size=(60, 2)).astype(np.float32)
    only = np.concatenate([[0, n - 1], rng.integers(n, size=58)])
    np.testing.assert_array_equal(jitted(table, e, np.arange(n) == only[:, None]), only)


@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 3), (2, 1, 3)])
def test_any_batch_shape_gives_the_same_as_one_by_one(batch: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    n = 40
    table, e = on_a_lattice(rng, n, 3), on_a_lattice(rng, *batch, 3)
    mask = rng.random(n) < 0.5
    mask[-1] = True
    chosen = nearest(jnp.asarray(table), jnp.asarray(e), jnp.asarray(mask))
    assert chosen.shape == batch
    assert chosen.dtype == jnp.int32
    truth = np.where(mask, squared_distances(table, e), np.inf).argmin(-1)
    np.testing.assert_array_equal(chosen, truth)


def test_inside_jit_and_vmap_is_as_outside() -> None:
    rng = np.random.default_rng(2)
    n = 300
    tables, e = on_a_lattice(rng, 3, n, 2), on_a_lattice(rng, 3, 20, 2)
    mask = rng.random((3, 20, n)) < 0.5
    inside = jax.jit(jax.vmap(nearest))(tables, e, mask)
    for seed in range(3):
        outside = nearest(*(jnp.asarray(part[seed]) for part in (tables, e, mask)))
        np.testing.assert_array_equal(inside[seed], outside)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([(1, 1), (6, 1), (6, 2), (4, 8)]))
def test_lattice_tables_are_decoded_exactly(data: st.DataObject, shape: tuple[int, int]) -> None:
    n, d = shape
    eighths = st.integers(-8, 8).map(lambda k: k / 8)
    row = st.lists(eighths, min_size=d, max_size=d)
    table = np.array(data.draw(st.lists(row, min_size=n, max_size=n)), np.float32)
    e = np.array(data.draw(row), np.float32)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    mask[data.draw(st.integers(0, n - 1))] = True
    truth = np.where(mask, squared_distances(table, e), np.inf)
    assert jitted(table, e, mask) == truth.argmin()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1, 1, width=32), min_size=5, max_size=5),
    st.floats(-3, 3, width=32),
)
def test_any_numbers_are_decoded_to_within_rounding(rows: list[float], point: float) -> None:
    table, e = np.array(rows, np.float32)[:, None], np.array([point], np.float32)
    truth = squared_distances(table, e)
    assert truth[int(jitted(table, e))] <= truth.min() * (1 + tolerance(1)) + 1e-36


def test_the_expanded_square_would_pick_wrong_actions() -> None:
    # Embeddings of a young model: close together, away from the origin.
    rng = np.random.default_rng(3)
    table = (0.7 + 0.01 * rng.normal(size=(2000, 2))).astype(np.float32)
    e = (0.7 + 0.01 * rng.normal(size=(500, 2))).astype(np.float32)

    @jax.jit
    def expanded(table: jax.Array, e: jax.Array) -> jax.Array:
        return ((table**2).sum(-1) - 2 * e @ table.T + (e**2).sum(-1)[:, None]).argmin(-1)

    truth = squared_distances(table, e)
    least = truth.min(-1)

    def wrong(chosen: jax.Array) -> int:
        """Queries where the chosen action is clearly (a tenth) farther away than the nearest."""
        return int((truth[np.arange(500), np.asarray(chosen)] > 1.1 * least).sum())

    assert wrong(expanded(jnp.asarray(table), jnp.asarray(e))) >= 5
    assert wrong(jitted(table, e)) == 0


@pytest.mark.parametrize("n", [5, 512])
@pytest.mark.parametrize("e", [np.nan, np.inf, 3e38])
def test_points_beyond_all_distances_still_get_an_allowed_action(n: int, e: float) -> None:
    table = embeddings(np.random.default_rng(4), n, 2)
    assert 0 <= jitted(table, np.full(2, e, np.float32)) < n
    for only in (0, n // 2, n - 1):
        assert jitted(table, np.full(2, e, np.float32), np.arange(n) == only) == only


def test_every_action_is_its_own_embedding_s_nearest() -> None:
    table = embeddings(np.random.default_rng(4), 512, 2)
    np.testing.assert_array_equal(jitted(table, table), np.arange(512))


@pytest.mark.parametrize("most", [search.FEW, search.FEW + 1])
def test_masks_that_allow_few_of_many_actions_give_the_same_answers(most: int) -> None:
    rng = np.random.default_rng(7)
    n, d = search.MANY * search.FEW + 7, 3  # no whole number of words of bits
    table, e = on_a_lattice(rng, n, d), on_a_lattice(rng, 4, 5, d)
    mask = np.zeros((4, 5, n), bool)
    for at in np.ndindex(4, 5):
        mask[at][rng.choice(n, 1 + rng.integers(most), replace=False)] = True
    mask[0, 0], mask[3, 4] = np.arange(n) == n - 1, np.arange(n) < most
    squares = np.where(mask, squared_distances(table, e), np.inf)
    np.testing.assert_array_equal(jitted(table, e, mask), squares.argmin(-1))
    # One row of masks for all points.
    one = np.where(mask[3, 4], squared_distances(table, e), np.inf)
    np.testing.assert_array_equal(jitted(table, e, mask[3:, 4:]), one.argmin(-1))


def test_a_point_that_is_no_number_still_gets_one_of_few_actions() -> None:
    n = search.MANY * search.FEW
    table = embeddings(np.random.default_rng(8), n, 2)
    mask = np.isin(np.arange(n), [70, 900])[None]
    for value in (np.nan, np.inf, 3e38):
        assert jitted(table, np.full((1, 2), value, np.float32), mask)[0] == 70


def test_few_allowed_actions_are_listed_in_order() -> None:
    rng = np.random.default_rng(9)
    mask = np.zeros((3, 1000), bool)
    for row, count in enumerate((0, 5, search.FEW)):
        mask[row, rng.choice(1000, count, replace=False)] = True
    actions, filled = jax.jit(search.few_allowed)(mask)
    for row, flags in enumerate(mask):
        listed = np.asarray(actions)[row][np.asarray(filled)[row]]
        np.testing.assert_array_equal(listed, np.flatnonzero(flags))


@pytest.mark.parametrize("d", [search.MOST_AXES + 1, 100, 128])
def test_many_dimensions_are_added_up_in_several_passes(d: int) -> None:
    rng = np.random.default_rng(d)
    table, e = embeddings(rng, 90, d), embeddings(rng, 6, d)
    found = jax.jit(search.squared_distances)(table, e)
    np.testing.assert_allclose(found, squared_distances(table, e), rtol=tolerance(d))
    assert_nearest(table, e, np.asarray(jitted(table, e)))
