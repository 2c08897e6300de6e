"""Lines, patterns and best coefficients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embrl.agents.walks import COEFFICIENTS, Pattern, WalkRule, best_coefficient, line
from embrl.core.errors import EmbrlError

C = np.array([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0])


def test_a_line_goes_through_both_agents_and_beyond():
    one, other = np.array([[0.0, 2.0]]), np.array([[4.0, -2.0]])
    walked = line(one, other, np.array([-0.5, 0.0, 0.25, 1.0, 1.5]))
    np.testing.assert_array_equal(walked[0, :, 0], [-2.0, 0.0, 1.0, 4.0, 6.0])
    np.testing.assert_array_equal(walked[0, :, 1], [4.0, 2.0, 1.0, -2.0, -4.0])


@pytest.mark.parametrize(
    ("survival", "pattern"),
    [
        ([0, 100, 200, 300, 400, 480, 500], Pattern.SLOPE),
        ([500, 480, 400, 300, 200, 100, 0], Pattern.SLOPE),
        ([0, 100, 200, 160, 400, 480, 500], Pattern.SLOPE),  # a dip within the margin
        ([0, 100, 300, 200, 400, 480, 500], Pattern.NONE),  # and one beyond it
        ([0, 100, 40, 400, 500, 480, 500], Pattern.VALLEY),
        ([500, 400, 300, 100, 300, 420, 500], Pattern.VALLEY),
        ([9, 40, 200, 400, 200, 50, 9], Pattern.HILL),
        ([9, 100, 300, 20, 300, 100, 9], Pattern.NONE),  # above and below
        ([500, 500, 490, 500, 500, 480, 500], Pattern.NONE),
    ],
)
def test_patterns(survival, pattern):
    assert WalkRule(50.0).pattern(C, np.array(survival, float)) is pattern


@given(st.lists(st.floats(0, 500), min_size=13, max_size=13), st.floats(1, 100))
def test_which_agent_is_the_first_does_not_matter(survival, margin):
    c, y = np.array(COEFFICIENTS), np.array(survival)
    assert WalkRule(margin).pattern(c, y) is WalkRule(margin).pattern(1 - c, y)
    shuffled = np.random.default_rng(0).permutation(13)
    assert WalkRule(margin).pattern(c[shuffled], y[shuffled]) is WalkRule(margin).pattern(c, y)


def test_what_a_rule_needs():
    with pytest.raises(EmbrlError, match="must include 0, 1"):
        WalkRule().pattern(np.array([0.0, 0.5]), np.array([1.0, 2.0]))
    with pytest.raises(EmbrlError, match="must include 0, 1"):
        WalkRule().pattern(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    with pytest.raises(EmbrlError, match="margin must be above 0, got -1"):
        WalkRule(-1.0)


def test_the_best_coefficient_of_equals_is_the_most_central():
    survival = np.array([[500, 1, 2, 500, 3, 4, 5], [1, 2, 3, 4, 5, 6, 7.0]])
    np.testing.assert_array_equal(best_coefficient(C, survival), [0.5, 2.0])
