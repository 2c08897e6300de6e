"""Actions drawn without looking: where they lie, and how they are held."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from scipy import stats

from embrl.data.rollout import hold, random_actions

KEY = jax.random.key(3)
LARGEST = float(np.finfo(np.float32).max)


def drawn(low, high, count=4000):
    return np.asarray(random_actions(Box(np.float32(low), np.float32(high)), KEY, (count, 2)))


def test_bounded_numbers_are_uniform():
    actions = drawn([-2.0, 5.0], [2.0, 25.0])
    assert actions.shape == (4000, 2, 2)
    assert actions.dtype == np.float32
    for coordinate, (low, high) in enumerate([(-2.0, 2.0), (5.0, 25.0)]):
        values = actions[..., coordinate].ravel()
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_numbers_without_bounds_are_drawn_as_gymnasium_does():
    actions = drawn([-np.inf, 3.0, -np.inf, -1.0], [np.inf, np.inf, -3.0, 1.0])
    laws = [
        stats.norm().cdf,
        stats.expon(3.0).cdf,
        lambda x: 1.0 - stats.expon(3.0).cdf(-x),
        stats.uniform(-1.0, 2.0).cdf,
    ]
    for coordinate, law in enumerate(laws):
        assert stats.kstest(actions[..., coordinate].ravel(), law).pvalue > 1e-3


def test_the_largest_numbers_there_are_stand_for_no_bounds():
    actions = drawn([-LARGEST, 0.0], [LARGEST, 1.0])
    assert np.isfinite(actions).all()
    assert stats.kstest(actions[..., 0].ravel(), stats.norm().cdf).pvalue > 1e-3
    assert ((actions[..., 1] >= 0.0) & (actions[..., 1] <= 1.0)).all()


def test_indices_are_all_as_likely():
    actions = np.asarray(random_actions(Discrete(5), KEY, (1000, 5)))
    assert actions.dtype == np.int32
    counts = np.bincount(actions.ravel(), minlength=5)
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(), (2,)])
def test_held_actions_are_the_last_that_was_not(shape):
    rng = np.random.default_rng(0)
    actions, keep = rng.normal(size=(30, 3, *shape)), rng.random((30, 3)) < 0.6
    expected = actions.copy()
    for t in range(1, 30):
        for env in range(3):
            if keep[t, env]:
                expected[t, env] = expected[t - 1, env]
    held = hold(jnp.asarray(actions), jnp.asarray(keep))
    np.testing.assert_array_equal(np.asarray(held), expected.astype(np.float32))
