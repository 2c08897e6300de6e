"""Intervals against SciPy, the normal law and hand-counted cases; curves against geometry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from embrl.core.statistics import COLUMNS_AT_ONCE, area_under_curve, bootstrap_mean, timesteps_to


def test_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).exponential(size=10)  # skewed: the interval is not centred
    ours = bootstrap_mean(values)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=9_999, rng=np.random.default_rng(2)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.mean == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_interval_of_many_normal_values() -> None:
    values = np.random.default_rng(3).normal(5.0, 2.0, size=400)
    half = 1.96 * values.std() / np.sqrt(400)
    ours = bootstrap_mean(values)
    assert ours.mean - ours.low == pytest.approx(half, rel=0.05)
    assert ours.high - ours.mean == pytest.approx(half, rel=0.05)


def test_three_seeds_reach_from_worst_to_best() -> None:
    # All three draws hit the worst seed with probability 1/27 > 2.5 %.
    _, low, high = bootstrap_mean(np.array([4.0, 1.0, 2.0]))
    assert (low, high) == (1.0, 4.0)


def test_four_seeds_do_not() -> None:
    # (1/4)^4 < 2.5 %: the lowest resampled mean is cut off; the next ones, 4/256 more, are not.
    _, low, _ = bootstrap_mean(np.array([0.0, 1.0, 1.0, 1.0]))
    assert low == 0.25


def test_points_are_resampled_together() -> None:
    values = np.random.default_rng(4).normal(size=(5, 2 * COLUMNS_AT_ONCE + 3))
    ours = bootstrap_mean(values, resamples=200)
    assert ours.low.shape == ours.high.shape == ours.mean.shape == (2 * COLUMNS_AT_ONCE + 3,)
    for at in (0, COLUMNS_AT_ONCE - 1, COLUMNS_AT_ONCE, 2 * COLUMNS_AT_ONCE + 2):
        alone = bootstrap_mean(values[:, at], resamples=200)
        np.testing.assert_allclose([part[at] for part in ours], alone, rtol=1e-12)


def test_more_axes_keep_their_shape() -> None:
    values = np.random.default_rng(5).normal(size=(4, 2, 3))
    ours = bootstrap_mean(values, resamples=100)
    flat = bootstrap_mean(values.reshape(4, 6), resamples=100)
    np.testing.assert_array_equal(ours.low, flat.low.reshape(2, 3))
    np.testing.assert_array_equal(ours.high, flat.high.reshape(2, 3))


def test_same_seed_same_interval() -> None:
    values = np.random.default_rng(6).normal(size=10)
    assert bootstrap_mean(values, seed=7) == bootstrap_mean(values, seed=7)
    assert bootstrap_mean(values, seed=7) != bootstrap_mean(values, seed=8)


def test_confidence_is_heeded() -> None:
    values = np.random.default_rng(8).normal(size=20)
    wide, narrow = bootstrap_mean(values), bootstrap_mean(values, confidence=0.5)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high
    # Of a normal law: 1.96 and .674 standard deviations.
    ratio = (wide.high - wide.low) / (narrow.high - narrow.low)
    assert ratio == pytest.approx(1.96 / 0.674, rel=0.1)


def test_one_seed_has_no_interval() -> None:
    mean, low, high = bootstrap_mean(np.array([[1.0, 2.0]]))
    np.testing.assert_array_equal(mean, [1.0, 2.0])
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_a_bad_point_stays_alone() -> None:
    values = np.random.default_rng(9).normal(size=(4, 3))
    spoilt = values.copy()
    spoilt[1, 1] = np.nan
    good, bad = bootstrap_mean(values), bootstrap_mean(spoilt)
    assert np.isnan([bad.mean[1], bad.low[1], bad.high[1]]).all()
    for before, after in zip(good, bad, strict=True):
        np.testing.assert_array_equal(before[[0, 2]], after[[0, 2]])


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12),
    st.floats(-1e3, 1e3),
    st.floats(0.1, 10.0),
)
def test_interval_moves_and_stretches_with_the_values(
    values: list[float], shift: float, scale: float
) -> None:
    array = np.array(values)
    plain = bootstrap_mean(array, resamples=200)
    moved = bootstrap_mean(scale * array + shift, resamples=200)
    expected = [scale * part + shift for part in plain]
    np.testing.assert_allclose(moved, expected, rtol=1e-9, atol=1e-6)
    margin = 1e-9 * np.abs(array).max()
    assert array.min() - margin <= plain.low <= plain.high <= array.max() + margin


def test_area_of_a_line_is_its_middle() -> None:
    samples = np.array([100.0, 150.0, 400.0, 1_000.0])  # uneven on purpose
    assert area_under_curve(samples, 3.0 + 0.01 * samples) == pytest.approx(3.0 + 0.01 * 550)


def test_area_weighs_by_samples() -> None:
    # 0 to 10 at height .5 on average, 10 to 40 at height 1: (5 + 30) / 40; second seed: 2 always.
    returns = np.array([[0.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
    np.testing.assert_allclose(area_under_curve(np.array([0, 10, 40]), returns), [0.875, 2.0])


def test_area_of_one_evaluation() -> None:
    np.testing.assert_array_equal(
        area_under_curve(np.array([10.0]), np.array([[0.25], [0.5]])), [0.25, 0.5]
    )


def test_samples_to_counts_the_first_evaluation() -> None:
    samples = np.array([10, 20, 30, 40])
    returns = np.array(
        [
            [0.0, 0.6, 0.2, 0.7],  # a fall after it does not count
            [0.5, 0.5, 0.5, 0.5],  # exactly the level, at once
            [0.0, 0.1, 0.2, 0.4],  # never
            [np.nan, 0.0, np.nan, 0.9],  # nan is not the level
        ]
    )
    np.testing.assert_array_equal(timesteps_to(samples, returns, 0.5), [20, 10, np.inf, 40])


def test_samples_to_of_a_single_curve() -> None:
    assert timesteps_to(np.array([10, 20]), np.array([0.0, 1.0]), 0.5) == 20
