"""Areas over a budget and interquartile means: SciPy, NumPy, hand-computed values, laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from embrl.core.errors import EmbrlError
from embrl.core.statistics import area_under_curve, bootstrap_mean, budget_area, interquartile_mean

SAMPLES = np.array([10.0, 20.0, 40.0])
RETURNS = np.array([[1.0, 3.0, 5.0], [0.0, 0.0, 8.0]])


def test_budget_begins_at_the_random_return() -> None:
    # Seed 0: 0 to 10 at 0 on average, to 20 at 2, to 40 at 4; seed 1: at -.5, at 0, at 4.
    ours = budget_area(SAMPLES, RETURNS, -1.0, 40.0)
    np.testing.assert_allclose(ours, [(0 + 20 + 80) / 40, (-5 + 0 + 80) / 40])


def test_budget_after_the_last_evaluation_extends_it() -> None:
    ours = budget_area(SAMPLES, RETURNS, -1.0, 50.0)
    np.testing.assert_allclose(ours, [(100 + 50) / 50, (75 + 80) / 50])


def test_budget_between_evaluations_ends_on_the_line() -> None:
    # At 30 samples the returns are 4 and 4: the last pieces are 10 long at 3.5 and 2.
    ours = budget_area(SAMPLES, RETURNS, -1.0, 30.0)
    np.testing.assert_allclose(ours, [(0 + 20 + 35) / 30, (-5 + 0 + 20) / 30])


def test_budget_before_the_first_evaluation() -> None:
    # From -1 to 1 in 10: at 5 there is 0.
    np.testing.assert_allclose(budget_area(SAMPLES, RETURNS[:1], -1.0, 5.0), [-0.5])


def test_budget_of_one_evaluation() -> None:
    assert budget_area(np.array([10.0]), np.array([2.0]), 0.0, 20.0) == pytest.approx(1.5)


def test_a_curve_from_0_needs_no_start() -> None:
    samples = np.array([0.0, 100.0, 150.0])
    ours = budget_area(samples, RETURNS, np.nan, 150.0)
    np.testing.assert_allclose(ours, area_under_curve(samples, RETURNS))


def test_each_seed_may_start_elsewhere() -> None:
    ours = budget_area(SAMPLES, RETURNS, np.array([-1.0, 3.0]), 40.0)
    np.testing.assert_allclose(ours, [100 / 40, (15 + 0 + 80) / 40])


@pytest.mark.parametrize("budget", [0.0, -5.0, np.nan])
def test_no_budget_is_refused(budget: float) -> None:
    with pytest.raises(EmbrlError, match="more than 0 samples"):
        budget_area(SAMPLES, RETURNS, 0.0, budget)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 1_000), min_size=1, max_size=8, unique=True).map(sorted),
    st.integers(1, 1_500),
    st.integers(0, 2**32 - 1),
    st.floats(-5, 5),
)
def test_area_is_scipys_of_the_interpolated_curve(
    samples: list[int], budget: int, seed: int, start: float
) -> None:
    returns = np.random.default_rng(seed).normal(size=(3, len(samples)))
    x = np.array([0.0, *samples])
    points = np.unique([*x[x < budget], budget])
    expected = [
        integrate.trapezoid(np.interp(points, x, [start, *row]), points) / budget for row in returns
    ]
    np.testing.assert_allclose(
        budget_area(np.array(samples), returns, start, budget), expected, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("seeds", [1, 2, 3, 4, 5, 7, 8, 10, 13])
def test_interquartile_mean_is_scipys(seeds: int) -> None:
    values = np.random.default_rng(seeds).exponential(size=(seeds, 3))
    ours = interquartile_mean(values, resamples=20)
    np.testing.assert_allclose(ours.mean, stats.trim_mean(values, 0.25, axis=0))


def test_interquartile_mean_by_hand() -> None:
    values = np.array([100.0, 1.0, 2.0, 3.0, 4.0, -100.0, 2.0, 3.0])
    assert interquartile_mean(values).mean == pytest.approx((2 + 2 + 3 + 3) / 4)


def test_interval_of_the_interquartile_mean_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).exponential(size=16)
    ours = interquartile_mean(values)
    theirs = stats.bootstrap(
        (values,),
        lambda x, axis: stats.trim_mean(x, 0.25, axis=axis),
        method="percentile",
        n_resamples=4_999,
        rng=np.random.default_rng(2),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_interquartile_means_of_points_belong_together() -> None:
    values = np.random.default_rng(3).normal(size=(6, 2, 3))
    ours = interquartile_mean(values, resamples=100)
    assert ours.mean.shape == ours.low.shape == ours.high.shape == (2, 3)
    alone = interquartile_mean(values[:, 1, 0], resamples=100)
    np.testing.assert_allclose([part[1, 0] for part in ours], alone)


def test_interquartile_mean_of_one_seed_and_of_nan() -> None:
    one = interquartile_mean(np.array([2.0]))
    assert one.mean == 2.0
    assert np.isnan([one.low, one.high]).all()
    holed = interquartile_mean(np.array([1.0, 2.0, 3.0, np.nan]), resamples=200)
    assert np.isnan(holed).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12), st.floats(-1e3, 1e3))
def test_interquartile_mean_moves_with_the_values(values: list[float], shift: float) -> None:
    plain = interquartile_mean(np.array(values), resamples=50)
    moved = interquartile_mean(np.array(values) + shift, resamples=50)
    np.testing.assert_allclose(moved, np.add(plain, shift), atol=1e-9)
    assert min(values) - 1e-9 <= plain.low <= plain.high <= max(values) + 1e-9


@pytest.mark.parametrize(
    ("seeds", "covered"), [(3, 0.75), (5, 0.83), (10, 0.89), (20, 0.93), (30, 0.93)]
)
def test_the_mean_is_covered_as_often_as_the_docs_say(seeds: int, covered: float) -> None:
    # docs/comparing.md has these numbers; 4,000 comparisons are good to about .01.
    values = np.random.default_rng(4).normal(3.0, 2.0, (seeds, 4_000))
    _, low, high = bootstrap_mean(values, resamples=999)
    assert np.mean((low <= 3.0) & (high >= 3.0)) == pytest.approx(covered, abs=0.015)


def test_the_interquartile_mean_is_covered_about_as_often_as_it_says() -> None:
    values = np.random.default_rng(5).normal(3.0, 2.0, (10, 2_000))
    _, low, high = interquartile_mean(values, resamples=499)
    assert 0.88 < np.mean((low <= 3.0) & (high >= 3.0)) < 0.97
