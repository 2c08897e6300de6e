"""Learning curves in one number: SciPy, NumPy and values computed by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from embrl.core.errors import EmbrlError
from embrl.core.statistics import area_under_curve, budget_area, timesteps_to

TIMESTEPS = np.array([10.0, 20.0, 40.0])
RETURNS = np.array([[1.0, 3.0, 5.0], [0.0, 0.0, 8.0]])


def test_area_of_a_line_is_its_middle() -> None:
    timesteps = np.array([100.0, 150.0, 400.0, 1_000.0])  # uneven on purpose
    assert area_under_curve(timesteps, 3.0 + 0.01 * timesteps) == pytest.approx(3.0 + 0.01 * 550)


def test_area_weighs_by_timesteps() -> None:
    # 0 to 10 at height .5 on average, 10 to 40 at height 1: (5 + 30) / 40; second seed: 2 always.
    returns = np.array([[0.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
    np.testing.assert_allclose(area_under_curve(np.array([0, 10, 40]), returns), [0.875, 2.0])


def test_area_of_one_evaluation() -> None:
    np.testing.assert_array_equal(
        area_under_curve(np.array([10.0]), np.array([[0.25], [0.5]])), [0.25, 0.5]
    )


def test_samples_to_counts_the_first_evaluation() -> None:
    timesteps = np.array([10, 20, 30, 40])
    returns = np.array(
        [
            [0.0, 0.6, 0.2, 0.7],  # a fall after it does not count
            [0.5, 0.5, 0.5, 0.5],  # exactly the level, at once
            [0.0, 0.1, 0.2, 0.4],  # never
            [np.nan, 0.0, np.nan, 0.9],  # nan is not the level
        ]
    )
    np.testing.assert_array_equal(timesteps_to(timesteps, returns, 0.5), [20, 10, np.inf, 40])


def test_samples_to_of_a_single_curve() -> None:
    assert timesteps_to(np.array([10, 20]), np.array([0.0, 1.0]), 0.5) == 20


def test_budget_begins_at_the_random_return() -> None:
    # Seed 0: 0 to 10 at 0 on average, to 20 at 2, to 40 at 4; seed 1: at -.5, at 0, at 4.
    ours = budget_area(TIMESTEPS, RETURNS, -1.0, 40.0)
    np.testing.assert_allclose(ours, [(0 + 20 + 80) / 40, (-5 + 0 + 80) / 40])


def test_budget_after_the_last_evaluation_extends_it() -> None:
    ours = budget_area(TIMESTEPS, RETURNS, -1.0, 50.0)
    np.testing.assert_allclose(ours, [(100 + 50) / 50, (75 + 80) / 50])


def test_budget_between_evaluations_ends_on_the_line() -> None:
    # At 30 timesteps the returns are 4 and 4: the last pieces are 10 long at 3.5 and 2.
    ours = budget_area(TIMESTEPS, RETURNS, -1.0, 30.0)
    np.testing.assert_allclose(ours, [(0 + 20 + 35) / 30, (-5 + 0 + 20) / 30])


def test_budget_before_the_first_evaluation() -> None:
    # From -1 to 1 in 10: at 5 there is 0.
    np.testing.assert_allclose(budget_area(TIMESTEPS, RETURNS[:1], -1.0, 5.0), [-0.5])


def test_budget_of_one_evaluation() -> None:
    assert budget_area(np.array([10.0]), np.array([2.0]), 0.0, 20.0) == pytest.approx(1.5)


def test_a_curve_from_0_needs_no_start() -> None:
    timesteps = np.array([0.0, 100.0, 150.0])
    ours = budget_area(timesteps, RETURNS, np.nan, 150.0)
    np.testing.assert_allclose(ours, area_under_curve(timesteps, RETURNS))


def test_each_seed_may_start_elsewhere() -> None:
    ours = budget_area(TIMESTEPS, RETURNS, np.array([-1.0, 3.0]), 40.0)
    np.testing.assert_allclose(ours, [100 / 40, (15 + 0 + 80) / 40])


@pytest.mark.parametrize("budget", [0.0, -5.0, np.nan])
def test_no_budget_is_refused(budget: float) -> None:
    with pytest.raises(EmbrlError, match=f"budget .*{budget}"):
        budget_area(TIMESTEPS, RETURNS, 0.0, budget)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 1_000), min_size=1, max_size=8, unique=True).map(sorted),
    st.integers(1, 1_500),
    st.integers(0, 2**32 - 1),
    st.floats(-5, 5),
)
def test_area_is_scipys_of_the_interpolated_curve(
    timesteps: list[int], budget: int, seed: int, start: float
) -> None:
    returns = np.random.default_rng(seed).normal(size=(3, len(timesteps)))
    x = np.array([0.0, *timesteps])
    points = np.unique([*x[x < budget], budget])
    expected = [
        integrate.trapezoid(np.interp(points, x, [start, *row]), points) / budget for row in returns
    ]
    np.testing.assert_allclose(
        budget_area(np.array(timesteps), returns, start, budget), expected, rtol=1e-9, atol=1e-9
    )
