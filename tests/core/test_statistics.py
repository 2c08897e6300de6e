"""Means and interquartile means: SciPy, the normal distribution, hand-counted cases, coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from embrl.core.statistics import COLUMNS_AT_ONCE, bootstrap_mean, interquartile_mean


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
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=2, max_size=12),
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
