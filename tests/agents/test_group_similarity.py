"""Which states and pairs of agents are compared."""

import numpy as np
from skilled import SMALL, skilled

from embrl.agents.similarity import group_similarity, shared_states, unrelated_pairs
from embrl.envs.cart_pole import CartPoleConfig


def test_no_lineage_is_in_two_pairs():
    lineage = np.repeat(np.arange(9), 3)
    pairs = unrelated_pairs(lineage, 100, seed=2)
    assert pairs.shape == (4, 2)
    assert len(np.unique(lineage[pairs])) == 8
    assert len(unrelated_pairs(lineage, 2)) == 2
    assert len(unrelated_pairs(np.zeros(5, int), 10)) == 0
    # Any agent of a lineage may be the one: not always the first.
    chosen = {int(n) % 3 for seed in range(8) for n in unrelated_pairs(lineage, 4, seed).ravel()}
    assert chosen == {0, 1, 2}


def test_states_are_of_all_groups_alike():
    """Agents that always push left come to other states than those that balance."""
    w = skilled(40, 1)
    w[:10] = 0.0
    SMALL.layers(w[:10])[-1].bias[..., 0] = 1.0
    group = np.array([0] * 10 + [1] * 30)
    env = CartPoleConfig(step_limit=100).build()
    states = shared_states(env, SMALL, w, group, seed=0, count=200)
    assert states.shape == (200, 4)
    # Pushed to the left all the time, the pole turns to the right.
    assert (states[:100, 3] > -0.06).all()
    assert (states[100:, 3] < -0.06).any()
    np.testing.assert_array_equal(states, shared_states(env, SMALL, w, group, seed=0, count=200))


def test_groups_are_compared_within_themselves():
    w = np.concatenate([np.repeat(skilled(1, 1), 6, axis=0), skilled(7, 1, seed=1)])
    group = np.array([0] * 6 + [2] * 6 + [5])
    states = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    found = group_similarity(SMALL, w, np.arange(13), group, dict.fromkeys((0, 2, 5), states), 10)
    assert set(found) == {0, 2}  # a single agent has no partner
    np.testing.assert_array_equal(found[0].decisions, 1.0)  # copies
    np.testing.assert_allclose(found[0].representations, 1.0, atol=1e-4)
    assert (found[2].representations < 0.999).all()
