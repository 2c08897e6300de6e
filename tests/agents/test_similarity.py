"""Agreement of decisions and of representations."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from embrl.agents.architecture import Architecture
from embrl.agents.similarity import cka, kappa, pairs, similarity

TINY = Architecture(2, (3,), 2)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 10))
def test_cka_knows_rotations_and_scales(seed, scale):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 4)).astype(np.float32)
    rotated = (scale * x @ ortho_group.rvs(4, random_state=rng) + 3.0).astype(np.float32)
    assert cka(jnp.array(x), jnp.array(rotated)) == pytest.approx(1.0, abs=1e-3)


def test_cka_by_hand():
    x = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    y = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    assert cka(jnp.array(x), jnp.array(y)) == pytest.approx(0.0)
    # Y'X = (4, 0), |X'X| = 4, |Y'Y| = |diag(4, 4)| = 4 sqrt(2)
    assert cka(jnp.array(x), jnp.array(np.concatenate([x, y], 1))) == pytest.approx(1 / np.sqrt(2))


def test_an_agent_is_like_itself_and_unlike_its_opposite():
    rng = np.random.default_rng(1)
    w = rng.normal(size=(300, TINY.size)).astype(np.float32)
    states = rng.normal(size=(50, 2)).astype(np.float32)
    same = similarity(TINY, w, w, states)
    np.testing.assert_array_equal(same.decisions, 1.0)
    np.testing.assert_allclose(same.representations, 1.0, atol=1e-5)
    first, last = TINY.layers(w)
    swapped = TINY.flat([first, type(last)(last.weight[..., ::-1], last.bias[..., ::-1])])
    opposite = similarity(TINY, w, np.asarray(swapped), states)
    np.testing.assert_allclose(opposite.decisions, 0.0)
    np.testing.assert_allclose(opposite.representations, 1.0, atol=1e-5)


def test_agreement_beyond_chance():
    """Two agents that see only the first number: x > 0, and always action 1."""
    w = np.zeros((2, TINY.size), np.float32)
    first, last = TINY.layers(w)
    first.weight[0, 0, 0] = last.weight[0, 0, 1] = 1.0
    last.bias[1, 1] = 1.0
    assert w[0].any()  # layers are views
    states = np.array([[-1, 0], [1, 0], [2, 0], [3, 0]], np.float32)
    found = similarity(TINY, w[:1], w[1:], states)
    assert found.decisions == pytest.approx(0.75)
    assert found.chance == pytest.approx(0.75)
    assert kappa(found) == pytest.approx(0.0)
    assert np.isnan(found.representations).all()  # the second's never change


def test_pairs_are_of_different_ones():
    drawn = pairs(3, 1000, seed=0)
    assert (drawn[:, 0] != drawn[:, 1]).all()
    assert set(map(tuple, drawn.tolist())) == {(a, b) for a in range(3) for b in range(3) if a != b}
    np.testing.assert_array_equal(drawn, pairs(3, 1000, seed=0))
