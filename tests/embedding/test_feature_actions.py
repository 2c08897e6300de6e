from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Discrete
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.core.errors import EmbrlError
from embrl.core.types import Transition
from embrl.data.replay import Segments
from embrl.embedding import feature_actions
from embrl.embedding import pretraining as fitting
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.feature_actions import (
    FeatureActions,
    Fixed,
    append_rows,
    checked_features,
    checked_indices,
    extend_mask,
    with_features,
    without,
    without_features,
)
from embrl.embedding.model import JointEmbedding

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
TABLE = RANDOM.normal(3.0, 5.0, (30, 4)).astype(np.float32)


def by_hand(g: FeatureActions, features: np.ndarray, rows: np.ndarray | float = 0.0) -> np.ndarray:
    """tanh(W2 tanh(W1 z + b1) + b2 + row) in float64, z standardised over TABLE."""
    whole = TABLE.astype(np.float64)
    z = (features - whole.mean(0)) / whole.std(0)
    layers: Any = g.network.layers
    one, two = ([np.asarray(a, np.float64) for a in (x.weight, x.bias)] for x in layers)
    return np.tanh(np.tanh(z @ one[0] + one[1]) @ two[0] + two[1] + rows)


def test_an_action_lies_where_its_features_say():
    g = FeatureActions(jnp.asarray(TABLE), 2, (8,), key=KEY)
    np.testing.assert_allclose(g.table, by_hand(g, TABLE), rtol=1e-4, atol=1e-5)
    some = jnp.array([[3, 29], [0, 3]])
    np.testing.assert_allclose(g(some), by_hand(g, TABLE)[some], rtol=1e-4, atol=1e-5)


def test_rows_come_on_top_and_new_actions_have_none():
    g = FeatureActions(jnp.asarray(TABLE), 2, (8,), rows=True, key=KEY)
    np.testing.assert_array_equal(g.rows, np.zeros((30, 2)))
    rows = RANDOM.normal(size=(30, 2))
    g = eqx.tree_at(lambda g: g.rows, g, jnp.asarray(rows, jnp.float32))
    np.testing.assert_allclose(g.table, by_hand(g, TABLE, rows), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(g.embed(TABLE[:3]), by_hand(g, TABLE[:3]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [False, True])
def test_a_table_in_parts_is_the_table(monkeypatch, rows):
    g = FeatureActions(jnp.asarray(TABLE), 2, (8,), rows=rows, key=KEY)
    whole = np.asarray(g.table)
    monkeypatch.setattr(feature_actions, "TABLE_BATCH", 8)  # three of these, and 6 more
    np.testing.assert_allclose(g.table, whole, rtol=1e-6, atol=1e-7)


@settings(deadline=None)
@given(st.floats(-1e30, 1e30), st.floats(1e-6, 1e30))
def test_units_do_not_matter(shift, scale):
    plain = np.arange(12.0).reshape(6, 2)
    with np.errstate(over="ignore"):
        moved = (plain * scale + (shift if abs(shift) < 100 * scale else 0.0)).astype(np.float32)
    here, there = (FeatureActions(jnp.asarray(f), 2, (), key=KEY) for f in (plain, moved))
    np.testing.assert_allclose(here.table, there.table, atol=1e-3)


def test_a_column_that_does_not_vary_says_nothing():
    g = FeatureActions(jnp.full((5, 2), 1e6), 2, (4,), key=KEY)
    np.testing.assert_array_equal(g.width(), [1.0, 1.0])
    assert np.ptp(np.asarray(g.table), axis=0).max() == 0.0


def test_fixed_numbers_come_back_to_the_bit():
    numbers = np.array([0.1, -0.0, 3e38, 1e-40], np.float32)
    np.testing.assert_array_equal(
        np.asarray(Fixed.of(jnp.asarray(numbers))()).view(int), numbers.view(int)
    )


def batch(actions: int, count: int = 64) -> Transition:
    state, action = RANDOM.integers(0, 5, count), RANDOM.integers(0, actions, count)
    after = (state + (TABLE[action, 0] > 3)) % 5
    nothing = np.zeros(count, bool)
    columns = (state, action, nothing.astype(np.float32), after, nothing, nothing)
    return Transition(*[jnp.asarray(c, jnp.int32 if c.dtype == int else c.dtype) for c in columns])


def new_model(**changes) -> JointEmbedding:
    config = EmbeddingConfig(state_dim=2, action_dim=2, action_features="given", **changes)
    return JointEmbedding(Discrete(5), Discrete(30), config, features=jnp.asarray(TABLE), key=KEY)


def test_features_are_not_trained_and_have_no_moments():
    state = fitting.start(new_model())
    numbers = [leaf for leaf in jax.tree.leaves(state.optimiser) if leaf.shape[:1] == (30,)]
    assert numbers == []
    segments = Segments(jax.tree.map(lambda c: c[None], batch(30)), jnp.ones((1, 64), bool))
    after, losses = fitting.fit(
        state,
        lambda key: segments,
        jax.random.split(KEY, 30),
        jnp.full(30, 0.01),
        weights={"forward": 1.0},
    )
    assert losses[-1] < losses[0]
    for name in ("features", "centre", "width"):
        before, now = getattr(state.model.g, name), getattr(after.model.g, name)
        np.testing.assert_array_equal(now.bits, before.bits)
    assert not np.array_equal(after.model.g.table, state.model.g.table)


def test_only_the_batch_is_embedded_in_training():
    """Nothing in the gradient's program has all 30 actions times the hidden layer's 11."""
    model = new_model(action_hidden=(11,))
    segments = Segments(jax.tree.map(lambda c: c[None], batch(30, 3)), jnp.ones((1, 3), bool))
    gradient = eqx.filter_grad(lambda model: fitting.loss(model, segments, {"forward": 1.0}))
    text = str(jax.make_jaxpr(lambda: eqx.filter(gradient(model), eqx.is_array))())
    assert "f32[3,11]" in text
    assert "f32[30,11]" not in text


def test_features_that_are_promised_must_come():
    with pytest.raises(EmbrlError, match=r"embedding\.action_features is x"):
        JointEmbedding(Discrete(5), Discrete(30), EmbeddingConfig(action_features="x"), key=KEY)


def test_features_are_left_out_of_checkpoints_and_put_back():
    state = jax.vmap(lambda key: fitting.start(new_model()))(jax.random.split(KEY, 2))
    bare = without_features(state)
    assert not any(leaf.shape[1:] == (30, 4) for leaf in jax.tree.leaves(bare))
    again = with_features(bare, TABLE)
    assert jax.tree.structure(again) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, again, state)


def test_longer_tables():
    g = FeatureActions(jnp.asarray(TABLE), 2, (8,), key=KEY)
    new = TABLE[[4, 7]]
    table = append_rows(g.table, g, jnp.asarray(new))
    assert table.shape == (32, 2)
    np.testing.assert_allclose(table[30:], np.asarray(g.table)[[4, 7]], atol=1e-6)
    assert extend_mask(None, 2) is None
    np.testing.assert_array_equal(extend_mask(jnp.array([True, False]), 1), [True, False, True])


def test_removed_actions():
    np.testing.assert_array_equal(without(None, 4, [2]), [True, True, False, True])
    first = without(None, 4, [2, 0])
    np.testing.assert_array_equal(without(first, 4, 3), [False, True, False, False])
    np.testing.assert_array_equal(without(None, 2, []), [True, True])
    np.testing.assert_array_equal(first, [False, True, False, True])  # unchanged
    with pytest.raises(EmbrlError, match="at least one of 4 actions"):
        without(first, 4, [1, 3])


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0.5], r"^here must be .* 0 to 3, got float64\[1\]"),
        ([[1]], r"^here must be .* 0 to 3, got int64\[1, 1\]"),
        ([True], r"^here must be .* 0 to 3, got bool\[1\]"),
        ([1, 4], "^here must be .* 0 to 3, got 4 at entry 1"),
        ([-1], "^here must be .* 0 to 3, got -1 at entry 0"),
    ],
)
def test_bad_indices(indices, message):
    with pytest.raises(EmbrlError, match=message):
        checked_indices(indices, 4, "here")


NAN = np.where(np.arange(8).reshape(4, 2) == 5, np.nan, 1.0)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((3, 2)), "^here must have .* 4 actions, got 3"),
        (np.zeros(4), r"^here must be a table .*got float64\[4\]"),
        (np.zeros((4, 0)), "^here must have at least one .*got 0"),
        (np.array([["a"]] * 4), r"^here must be a table .*got <U1\[4, 1\]"),
        (NAN, "^here must be finite, got nan in row 2, column 1"),
        (np.full((4, 2), 1e300), "^here must be finite, got inf in row 0, column 0"),
    ],
)
def test_bad_features(features, message):
    with pytest.raises(EmbrlError, match=message):
        checked_features(features, "here", rows=4)


def test_new_actions_need_the_same_features():
    with pytest.raises(EmbrlError, match=r"^new must have 2 .*got 3"):
        checked_features(np.zeros((7, 3)), "new", rows=None, columns=2)
