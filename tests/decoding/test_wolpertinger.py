"""Wolpertinger against a plain NumPy form of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import embeddings, in_order, masks, on_a_lattice, squared_distances
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.core.errors import EmbrlError
from embrl.decoding import NearestAction, Wolpertinger


def prefers(goal: np.ndarray):
    """A scorer for states that each have a goal, `[*batch, d]`: coarse, so that there are ties."""

    def scorer(points: jax.Array, actions: jax.Array) -> jax.Array:
        return -jnp.round(4 * jnp.abs(points - goal[..., None, :]).sum(-1))

    return scorer


def by_hand(table, e, k, goal, mask) -> np.ndarray:
    """One query after another."""
    squares = np.where(mask, squared_distances(table, e), np.inf)
    chosen = []
    for row, order in enumerate(in_order(squares)):
        candidates = [a for a in order[:k] if mask[row, a]]
        values = [-np.round(4 * np.abs(table[a] - goal[row]).sum()) for a in candidates]
        chosen.append(candidates[int(np.argmax(values))])
    return np.array(chosen)


@jax.jit
def compiled(decoder: Wolpertinger, table, e, goal, mask=None) -> jax.Array:
    return decoder(table, e, mask=mask, scorer=prefers(goal))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([1, 2, 5, 60, 99]), st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_agrees_with_the_plain_form(k: int, seed: int, allowed: float) -> None:
    rng = np.random.default_rng(seed)
    table, e, goal = on_a_lattice(rng, 60, 2), on_a_lattice(rng, 20, 2), on_a_lattice(rng, 20, 2)
    mask = masks(rng, 20, 60, allowed)
    chosen = compiled(Wolpertinger(k), table, e, goal, mask)
    np.testing.assert_array_equal(chosen, by_hand(table, e, k, goal, mask))


def test_the_scorer_sees_the_k_nearest_points_in_order() -> None:
    rng = np.random.default_rng(0)
    table, e = embeddings(rng, 30, 3), embeddings(rng, 2, 4, 3)
    seen = []

    def scorer(points: jax.Array, actions: jax.Array) -> jax.Array:
        seen.append(np.asarray(points))
        np.testing.assert_array_equal(table[np.asarray(actions)], points)
        return points[..., 0]

    chosen = Wolpertinger(5)(jnp.asarray(table), jnp.asarray(e), scorer=scorer)
    nearest = in_order(squared_distances(table, e))[..., :5]
    np.testing.assert_array_equal(seen, [table[nearest]])
    best = table[nearest][..., 0].argmax(-1)
    assert chosen.dtype == jnp.int32
    np.testing.assert_array_equal(
        chosen, np.take_along_axis(nearest, best[..., None], axis=-1)[..., 0]
    )


def test_by_hand() -> None:
    table = np.array([[0.0], [0.25], [0.5], [1.0]], np.float32)
    worth = np.array([1.0, 3.0, 3.0, 9.0], np.float32)

    @functools.partial(jax.jit, static_argnums=0)
    def chosen(k: int, e: jax.Array, mask: jax.Array | None) -> jax.Array:
        def scorer(points: jax.Array, actions: jax.Array) -> jax.Array:
            return jnp.asarray(worth)[jnp.searchsorted(jnp.asarray(table[:, 0]), points[..., 0])]

        return Wolpertinger(k)(jnp.asarray(table), e, mask=mask, scorer=scorer)

    def choice(k: int, e: float, mask=None) -> int:
        return int(chosen(k, np.array([e], np.float32), mask))

    assert choice(1, 0.05) == 0
    assert choice(2, 0.05) == 1
    assert choice(3, 0.05) == 1  # actions 1 and 2 are worth the same, and 1 is nearer
    assert choice(3, 0.375) == 1  # equally near as well: the lower index
    assert choice(3, 0.4) == 2
    assert choice(4, 0.05) == 3
    assert choice(4, 0.05, np.array([True, False, True, False])) == 2


def test_one_candidate_is_the_nearest_action() -> None:
    rng = np.random.default_rng(1)
    table, e, mask = on_a_lattice(rng, 90, 2), on_a_lattice(rng, 50, 2), masks(rng, 50, 90)
    e[0] = np.nan
    for allowed in (None, mask):
        np.testing.assert_array_equal(
            compiled(Wolpertinger(1), table, e, e, allowed),
            jax.jit(NearestAction())(table, e, mask=allowed),
        )


@pytest.mark.parametrize("verdict", [np.nan, -np.inf, np.inf, 0.0])
@pytest.mark.parametrize("k", [1, 4, 50])
def test_whatever_the_scorer_says_a_masked_action_is_not_taken(verdict: float, k: int) -> None:
    rng = np.random.default_rng(2)
    table, e, mask = on_a_lattice(rng, 20, 2), on_a_lattice(rng, 30, 2), masks(rng, 30, 20, 0.1)

    def scorer(points: jax.Array, actions: jax.Array) -> jax.Array:
        return jnp.full(points.shape[:-1], verdict)

    chosen = Wolpertinger(k)(*map(jnp.asarray, (table, e)), mask=jnp.asarray(mask), scorer=scorer)
    # With nothing to tell them apart, the nearest of the allowed.
    squares = np.where(mask, squared_distances(table, e), np.inf)
    np.testing.assert_array_equal(chosen, squares.argmin(-1))


def test_a_nan_verdict_loses_to_any_number() -> None:
    table = jnp.array([[0.0], [1.0], [2.0]])

    def scorer(points: jax.Array, actions: jax.Array) -> jax.Array:
        return jnp.where(points[..., 0] == 0.0, jnp.nan, -points[..., 0])

    assert Wolpertinger(3)(table, jnp.array([0.1]), scorer=scorer) == 1


def test_seeds_side_by_side_are_as_one_by_one() -> None:
    rng = np.random.default_rng(3)
    tables, e, goals = embeddings(rng, 3, 70, 2), embeddings(rng, 3, 9, 2), embeddings(rng, 3, 9, 2)
    decoder = Wolpertinger(6)
    together = jax.vmap(compiled, (None, 0, 0, 0))(decoder, tables, e, goals)
    for seed in range(3):
        alone = decoder(*map(jnp.asarray, (tables[seed], e[seed])), scorer=prefers(goals[seed]))
        np.testing.assert_array_equal(together[seed], alone)


def test_without_a_scorer_it_says_what_it_lacks() -> None:
    assert Wolpertinger.needs_scorer
    with pytest.raises(EmbrlError, match=r"^decoder\.kind .*wolpertinger without a scorer"):
        Wolpertinger(3)(jnp.zeros((5, 2)), jnp.zeros(2))
