"""The best action against a plain NumPy form of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import embeddings, masks
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.core.errors import EmbrlError
from embrl.decoding import BestAction, Wolpertinger


@jax.jit
def compiled(table, e, values, mask=None) -> jax.Array:
    return BestAction()(table, e, mask=mask, scorer=lambda points, actions: values)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0), st.sampled_from([0, 3, 40]))
def test_agrees_with_the_plain_form(seed: int, allowed: float, odd: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 4, size=(20, 60)).astype(np.float32)  # with many ties
    for number in (np.nan, np.inf, -np.inf):
        values[rng.integers(20, size=odd), rng.integers(60, size=odd)] = number
    mask, table = masks(rng, 20, 60, allowed), embeddings(rng, 60, 2)
    big = np.finfo(np.float32).max
    plain = np.clip(np.where(np.isnan(values), -big, values), -big, big)
    for these in (mask, None):
        chosen = compiled(table, embeddings(rng, 20, 2), values, these)
        expected = np.where(mask, plain, -np.inf) if these is not None else plain
        assert chosen.dtype == jnp.int32
        np.testing.assert_array_equal(chosen, expected.argmax(-1))


def test_it_is_wolpertinger_with_all_actions_where_no_two_are_worth_the_same() -> None:
    rng = np.random.default_rng(0)
    table, e, goal = (embeddings(rng, *shape) for shape in ((50, 3), (2, 7, 3), (2, 7, 3)))

    def scorer(points: jax.Array, actions: jax.Array) -> jax.Array:
        return -((points - goal[..., None, :]) ** 2).sum(-1) + 1e-3 * actions

    @jax.jit
    def chosen(table: jax.Array, e: jax.Array) -> tuple[jax.Array, jax.Array]:
        return tuple(f(table, e, scorer=scorer) for f in (BestAction(), Wolpertinger(50)))  # type: ignore[return-value]

    np.testing.assert_array_equal(*chosen(table, e))


def test_seeds_side_by_side_are_as_one_by_one() -> None:
    rng = np.random.default_rng(1)
    tables, e = embeddings(rng, 3, 70, 2), embeddings(rng, 3, 9, 2)
    values = embeddings(rng, 3, 9, 70)
    together = np.asarray(jax.jit(jax.vmap(compiled))(tables, e, values))
    for seed in range(3):
        np.testing.assert_array_equal(together[seed], compiled(tables[seed], e[seed], values[seed]))


def test_without_a_scorer_it_says_what_it_lacks() -> None:
    assert BestAction.needs_scorer
    with pytest.raises(EmbrlError, match=r"^decoder\.kind .*best without a scorer"):
        BestAction()(jnp.zeros((5, 2)), jnp.zeros(2))
