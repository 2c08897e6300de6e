"""Walks between many pairs: what is drawn, played, chosen and measured."""

import jax
import numpy as np
import pytest
from skilled import GOOD, SMALL, skilled

from embrl.agents.canonical import permuted
from embrl.agents.episodes import survival
from embrl.agents.walks import (
    COEFFICIENTS,
    Pattern,
    WalkRule,
    Walks,
    aligned_line,
    clarity,
    draw_pairs,
    latent_line,
    play_walks,
    split_halves,
    stored_line,
)
from embrl.core.errors import EmbrlError
from embrl.envs.cart_pole import CartPoleConfig

C = (-1.0, 0.0, 0.5, 1.0, 2.0)


class Doubled:
    """An embedding: z = 2 w."""

    def encode(self, w):
        return 2 * w

    def decode(self, z):
        return np.asarray(z) / 2


def test_lines_go_through_both_agents():
    w = skilled(4, 1)
    one, other = w[:2], w[2:]
    for line in (latent_line(Doubled(), C), stored_line(C)):
        points = line(one, other)
        assert points.shape == (2, 5, SMALL.size)
        np.testing.assert_allclose(points[:, 1], one, atol=1e-6)
        np.testing.assert_allclose(points[:, 3], other, atol=1e-6)
        np.testing.assert_allclose(points[:, 4], 2 * other - one, atol=1e-5)


def test_between_copies_with_other_numbers_of_units_matched_weights_stand_still():
    w = skilled(3, 1)
    copies = permuted(SMALL, w, np.random.default_rng(0))
    points = aligned_line(SMALL, C)(w, copies)
    for at in range(len(C)):
        np.testing.assert_allclose(points[:, at], points[:, 0], atol=1e-6)
    assert np.abs(np.diff(stored_line(C)(w, copies), axis=1)).max() > 0.1


def test_what_is_played_is_each_point_s_survival():
    env, w, key = CartPoleConfig(step_limit=40).build(), skilled(4, 1), jax.random.key(3)
    told = []
    found = play_walks(
        env,
        SMALL,
        stored_line(C),
        w[:2],
        w[2:],
        key,
        3,
        lambda now: told.append((now.done, now.total)),
    )
    points = stored_line(C)(w[:2], w[2:])
    for pair in range(2):
        alone = survival(env, SMALL, points[pair], key, 3).returns
        np.testing.assert_array_equal(found[pair], alone)
    assert told == [(2, 2)]


def test_every_pair_of_groups_is_drawn_as_often():
    group = np.array([0] * 90 + [1] * 8 + [3])
    pairs = draw_pairs(group, 103, seed=1)
    assert len(pairs) == 103
    assert (pairs[:, 0] != pairs[:, 1]).all()
    kinds, counts = np.unique(group[pairs], axis=0, return_counts=True)
    # The last group has one agent, and so no pair of its own.
    np.testing.assert_array_equal(kinds, [[0, 0], [0, 1], [0, 3], [1, 1], [1, 3]])
    assert set(counts.tolist()) <= {20, 21}
    np.testing.assert_array_equal(pairs, draw_pairs(group, 103, seed=1))
    with pytest.raises(EmbrlError, match="must be 2 or more, got 1"):
        draw_pairs(np.array([0]), 5, seed=0)


def test_what_is_chosen_by_some_episodes_is_measured_by_the_others():
    returns = np.zeros((1, 5, 4))
    returns[0, 0] = [100, 0, 100, 0]  # lucky in the even ones
    returns[0, 4] = [60, 60, 60, 60]
    returns[0, 1] = [50, 10, 50, 10]
    walks = split_halves(C, returns)
    np.testing.assert_allclose(walks.mean[0], [50, 30, 0, 0, 60])
    np.testing.assert_allclose(walks.ends, [[30, 0]])
    gains = walks.gains()
    assert gains.coefficient[0] == -1.0
    assert gains.gain[0] == pytest.approx(0 - 10)
    assert walks.best[0] == 2.0


def test_what_halves_need():
    with pytest.raises(EmbrlError, match="even number"):
        split_halves(C, np.zeros((1, 5, 3)))
    with pytest.raises(EmbrlError, match="outside 0 to 1"):
        Walks(np.array([0.0, 0.5, 1.0]), np.zeros((2, 1, 3))).gains()


@pytest.mark.parametrize(
    ("survival", "pattern", "expected"),
    [
        ([9, 100, 400, 200, 50], Pattern.HILL, 200),
        ([9, 300, 50, 200, 50], Pattern.VALLEY, 150),
        ([9, 100, 90, 400, 500], Pattern.SLOPE, 390),  # on to 500, a fall of 10 on the way
        ([500, 400, 90, 100, 9], Pattern.SLOPE, 390),  # the other way round
        (
            [500, 100, 200, 400, 300],
            Pattern.SLOPE,
            300,
        ),  # what lies before the worse end is nothing
    ],
)
def test_how_clear_a_walk_is(survival, pattern, expected):
    walks = Walks(np.array(C), np.array([[survival]] * 2, float))
    assert clarity(pattern, walks)[0] == pytest.approx(expected)
    # Which agent is the first does not matter, nor the order of the coefficients.
    turned = Walks(1 - np.array(C), np.array([[survival]] * 2, float))
    assert clarity(pattern, turned)[0] == pytest.approx(expected)


def test_no_pattern_is_not_clear():
    with pytest.raises(EmbrlError, match="slope, valley or hill"):
        clarity(Pattern.NONE, Walks(np.array(C), np.zeros((2, 1, 5))))


def test_patterns_of_walks():
    mean = np.array([[0, 9, 200, 400, 0], [0, 400, 9, 400, 0], [0, 9, 400, 9, 0], [0] * 5], float)
    walks = Walks(np.array(C), np.stack([mean, mean]))
    assert walks.patterns(WalkRule(50)) == [
        Pattern.SLOPE, Pattern.VALLEY, Pattern.HILL, Pattern.NONE,
    ]  # fmt: skip


def test_the_tests_agents_have_skill():
    """Else what is tested with them says little."""
    w = skilled(3, 3)
    returns = survival(
        CartPoleConfig(step_limit=200).build(), SMALL, w, jax.random.key(0), 8
    ).returns
    mean = returns.mean(1).reshape(3, 3)
    assert (mean[:, -1] > 190).all()
    assert mean.min() < 120
    assert GOOD.shape == (4,)
    assert len(COEFFICIENTS) == 13
