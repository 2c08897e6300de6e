"""f against brute force in float64, and the rounding that the expanded square would suffer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.decoding import Identity, NearestAction, nearest
from embrl.decoding.nearest import CHUNK

jitted = jax.jit(nearest)

SIZES = [1, 2, 7, 512, CHUNK, CHUNK + 1, 20_000]
"""Those beyond CHUNK take the chunked path."""


def embeddings(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Points as a tanh leaves them: float32 in (-1, 1)."""
    return np.tanh(rng.normal(size=shape)).astype(np.float32)


def on_a_lattice(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Points whose squared distances float32 holds exactly, with many ties among them."""
    return (rng.integers(-8, 9, size=shape) / 8).astype(np.float32)


def squared_distances(table: np.ndarray, e: np.ndarray) -> np.ndarray:
    """In float64, `[*batch, n]`."""
    total = np.zeros((*e.shape[:-1], len(table)))
    for axis in range(table.shape[1]):
        total += (e[..., axis, None].astype(np.float64) - table[:, axis].astype(np.float64)) ** 2
    return total


def tolerance(d: int) -> float:
    """What rounding of both compared distances (difference, square, sum) can amount to."""
    return 2 * (d + 3) * 2.0**-24


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
    if table.shape[0] <= CHUNK and table.shape[1] > 1:  # else points are crowded
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


def test_equals_in_different_chunks_give_the_lowest_index() -> None:
    table = np.ones((2 * CHUNK + 5, 2), np.float32)
    # One pair spans two chunks, one lies in the part that the last chunk sees again.
    table[[17, CHUNK + 3]] = 0.0
    table[[CHUNK + 9, 2 * CHUNK + 1]] = -1.0
    e = np.array([[0.1, 0.0], [-0.9, -1.0]], np.float32)
    np.testing.assert_array_equal(jitted(table, e), [17, CHUNK + 9])


@pytest.mark.parametrize("n", [5, 512, 20_000])
def test_masked_actions_are_passed_over(n: int) -> None:
    rng = np.random.default_rng(n)
    table, e = embeddings(rng, n, 2), rng.normal(size=(60, 2)).astype(np.float32)
    mask = rng.random((60, n)) < 0.3
    mask[np.arange(60), rng.integers(n, size=60)] = True
    chosen = np.asarray(jitted(table, e, mask))
    assert mask[np.arange(60), chosen].all()
    assert_nearest(table, e, chosen, mask)


@pytest.mark.parametrize("n", [5, 512, 20_000])
def test_one_allowed_action_is_always_taken(n: int) -> None:
    rng = np.random.default_rng(n)
    table, e = embeddings(rng, n, 2), 5 * rng.normal(size=(60, 2)).astype(np.float32)
    only = np.concatenate([[0, n - 1], rng.integers(n, size=58)])
    np.testing.assert_array_equal(jitted(table, e, np.arange(n) == only[:, None]), only)


@pytest.mark.parametrize("n", [40, CHUNK + 40])
@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 3), (2, 1, 3)])
def test_any_batch_shape_gives_the_same_as_one_by_one(n: int, batch: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    table, e = on_a_lattice(rng, n, 3), on_a_lattice(rng, *batch, 3)
    mask = rng.random(n) < 0.5
    mask[-1] = True
    chosen = nearest(jnp.asarray(table), jnp.asarray(e), jnp.asarray(mask))
    assert chosen.shape == batch
    assert chosen.dtype == jnp.int32
    truth = np.where(mask, squared_distances(table, e), np.inf).argmin(-1)
    np.testing.assert_array_equal(chosen, truth)


@pytest.mark.parametrize("n", [300, CHUNK + 300])
def test_inside_jit_and_vmap_is_as_outside(n: int) -> None:
    rng = np.random.default_rng(2)
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


def test_every_action_is_its_own_embedding_s_nearest() -> None:
    table = jnp.asarray(embeddings(np.random.default_rng(4), 512, 2))
    np.testing.assert_array_equal(NearestAction(table)(table), np.arange(512))


def test_identity_gives_back_the_action() -> None:
    actions = jnp.arange(5)
    np.testing.assert_array_equal(Identity()(actions, jnp.zeros((5, 9), bool)), actions)
