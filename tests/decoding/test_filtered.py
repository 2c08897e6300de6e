"""The nearest action by a matrix product and differences of few, against brute force in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import embeddings, masks, on_a_lattice, squared_distances, tolerance

from embrl.decoding import filtered, nearest, search

N, D = 2_100, 5
"""Actions, no whole number of blocks, and dimensions."""

jitted = jax.jit(nearest)


def near_a_surface(rng: np.random.Generator, n: int) -> np.ndarray:
    """Embeddings of actions that move in two dimensions."""
    surface = rng.normal(size=(n, 2)) @ rng.normal(size=(2, D))
    return np.tanh(surface + 0.01 * rng.normal(size=(n, D))).astype(np.float32)


def test_it_is_used_here() -> None:
    assert filtered.pays(N, D)


@pytest.mark.parametrize("allowed", ["all", "the same", "each its own"])
@pytest.mark.parametrize("offset", [0.0, 5.0, 300.0])
def test_the_nearest_to_within_rounding(offset: float, allowed: str) -> None:
    # Far from the origin, the product by itself would be of no use.
    rng = np.random.default_rng(0)
    table = near_a_surface(rng, N) + np.float32(offset)
    e = np.float32(offset) + embeddings(rng, 3, 101, D)
    mask = {
        "all": None,
        "the same": masks(rng, 1, N)[0],
        "each its own": masks(rng, 303, N).reshape(3, 101, N),
    }[allowed]
    truth = squared_distances(table, e)
    truth = truth if mask is None else np.where(mask, truth, np.inf)
    chosen = np.asarray(jitted(table, e, mask))
    got = np.take_along_axis(truth, chosen[..., None], -1)[..., 0]
    assert (got <= truth.min(-1) * (1 + tolerance(D))).all()
    assert (chosen == truth.argmin(-1)).mean() > 0.99


def test_the_lowest_index_wins_among_equals() -> None:
    rng = np.random.default_rng(1)
    table, e = on_a_lattice(rng, N, D), on_a_lattice(rng, 50, D)
    mask = masks(rng, 50, N)
    truth = np.where(mask, squared_distances(table, e), np.inf)
    np.testing.assert_array_equal(jitted(table, e, mask), truth.argmin(-1))


def test_more_equals_than_it_looks_at_are_all_compared() -> None:
    table = jnp.ones((N, D)).at[77].set(0.999)
    assert (jitted(table, jnp.full((4, D), 0.999)) == 77).all()
    assert (jitted(table, jnp.ones((4, D))) == 0).all()
    assert (jitted(jnp.ones((N, D)), jnp.zeros((4, D))) == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_points_beyond_all_distances_still_get_an_allowed_action(value: float) -> None:
    table = embeddings(np.random.default_rng(2), N, D)
    e = jnp.stack([jnp.full(D, value), jnp.asarray(table[5])])
    assert jitted(table, e)[1] == 5
    assert jitted(table, e, np.arange(N) == 1234)[0] == 1234


def test_groups_and_seeds_side_by_side_are_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    tables, e = on_a_lattice(rng, 2, N, D), on_a_lattice(rng, 2, 7, D)
    truth = [squared_distances(*pair).argmin(-1) for pair in zip(tables, e, strict=True)]
    np.testing.assert_array_equal(jax.jit(jax.vmap(nearest))(tables, e), truth)
    monkeypatch.setattr(search, "AT_ONCE", 3 * N)
    grouped = jax.jit(jax.vmap(lambda table, e: nearest(table, e)))
    np.testing.assert_array_equal(grouped(tables, e), truth)
