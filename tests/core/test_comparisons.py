"""Differences and probabilities of improvement: SciPy, hand-counted cases, laws, coverage."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from embrl.core.statistics import Interval, bootstrap_difference, probability_of_improvement

Compare = Callable[..., Interval]
BOTH = pytest.mark.parametrize("compare", [bootstrap_difference, probability_of_improvement])
SEEDS = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=12).map(np.array)


def two(seed: int, a: int = 12, b: int = 15) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.exponential(size=a) + 0.3, rng.exponential(size=b)


def assert_near_scipy(ours: Interval, statistic: Callable, *values: np.ndarray) -> None:
    theirs = stats.bootstrap(
        values, statistic, method="percentile", n_resamples=4_999, rng=np.random.default_rng(2)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_improvement_is_mann_whitneys_u() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 8, 9).astype(float), rng.integers(0, 6, 13).astype(float)  # with ties
    u = stats.mannwhitneyu(a, b).statistic
    assert probability_of_improvement(a, b).mean == pytest.approx(u / (9 * 13))


def test_improvement_by_hand() -> None:
    # Won: (1, 0), (2, 0), (3, 0), (3, 2); a tie: (2, 2); lost: (1, 2).
    ours = probability_of_improvement(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0]))
    assert ours.mean == pytest.approx((4 + 0.5) / 6)


def test_interval_of_the_improvement_agrees_with_scipy() -> None:
    a, b = two(3)

    def statistic(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        u = stats.mannwhitneyu(x, y, axis=axis, method="asymptotic").statistic
        return u / (x.shape[axis] * y.shape[axis])

    assert_near_scipy(probability_of_improvement(a, b), statistic, a, b)


def test_interval_of_the_difference_agrees_with_scipy() -> None:
    a, b = two(4)

    def statistic(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return x.mean(axis=axis) - y.mean(axis=axis)

    ours = bootstrap_difference(a, b)
    assert ours.mean == pytest.approx(a.mean() - b.mean())
    assert_near_scipy(ours, statistic, a, b)


def test_difference_of_three_against_three_by_hand() -> None:
    # All draws of a hit its 1 with probability 1/27 > 2.5 %, its zeros with 8/27.
    ours = bootstrap_difference(np.array([0.0, 0.0, 1.0]), np.zeros(3))
    assert (ours.mean, ours.low, ours.high) == pytest.approx((1 / 3, 0.0, 1.0))


def test_differences_at_many_points_are_those_at_each() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(4, 2, 3)), rng.normal(size=(6, 2, 3))
    ours = bootstrap_difference(a, b, resamples=200)
    assert ours.low.shape == (2, 3)
    alone = bootstrap_difference(a[:, 1, 2], b[:, 1, 2], resamples=200)
    np.testing.assert_allclose([part[1, 2] for part in ours], alone)


def test_all_above_all_has_no_width() -> None:
    assert probability_of_improvement(np.arange(5.0, 9.0), np.arange(4.0)) == (1.0, 1.0, 1.0)
    assert probability_of_improvement(np.ones(3), np.ones(4)) == (0.5, 0.5, 0.5)


@BOTH
def test_one_seed_on_a_side_has_no_interval(compare: Compare) -> None:
    for a, b in [(np.array([1.0]), np.arange(3.0)), (np.arange(3.0), np.array([1.0]))]:
        ours = compare(a, b)
        assert np.isfinite(ours.mean)
        assert np.isnan([ours.low, ours.high]).all()


@BOTH
def test_what_is_not_a_number_spoils_all(compare: Compare) -> None:
    for a, b in [(np.array([1.0, np.nan]), np.ones(3)), (np.ones(3), np.array([np.nan, 1.0]))]:
        assert np.isnan(compare(a, b, resamples=50)).all()


def test_infinite_returns_are_won_and_lost() -> None:
    ours = probability_of_improvement(np.array([np.inf, 0.0]), np.array([-np.inf, np.inf]))
    assert ours.mean == pytest.approx((1 + 0.5 + 1 + 0) / 4)


@BOTH
def test_same_seed_same_interval(compare: Compare) -> None:
    a, b = two(6)
    assert compare(a, b, seed=7) == compare(a, b, seed=7)
    assert compare(a, b, seed=7) != compare(a, b, seed=8)


@BOTH
def test_confidence_is_heeded(compare: Compare) -> None:
    a, b = two(7)
    wide, narrow = compare(a, b), compare(a, b, confidence=0.5)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


@settings(max_examples=40, deadline=None)
@given(SEEDS, SEEDS)
def test_either_wins(a: np.ndarray, b: np.ndarray) -> None:
    there, back = (probability_of_improvement(*pair, resamples=20) for pair in [(a, b), (b, a)])
    assert there.mean + back.mean == pytest.approx(1.0)
    assert 0 <= there.mean <= 1
    if min(len(a), len(b)) > 1:
        assert 0 <= there.low <= there.high <= 1


@settings(max_examples=25, deadline=None)
@given(SEEDS, SEEDS)
def test_improvement_heeds_the_order_alone(a: np.ndarray, b: np.ndarray) -> None:
    plain = probability_of_improvement(a, b, resamples=50)
    for change in (np.arctan, lambda x: x**3, lambda x: 3 * x - 7):
        changed = probability_of_improvement(change(a), change(b), resamples=50)
        np.testing.assert_array_equal(changed, plain)


@settings(max_examples=25, deadline=None)
@given(SEEDS, SEEDS, st.floats(-1e3, 1e3), st.floats(0.1, 10.0))
def test_difference_is_antisymmetric_and_heeds_no_shift(
    a: np.ndarray, b: np.ndarray, shift: float, scale: float
) -> None:
    plain = bootstrap_difference(a, b, resamples=50)
    assert bootstrap_difference(b, a, resamples=50).mean == -plain.mean
    shifted = bootstrap_difference(a + shift, b + shift, resamples=50)
    np.testing.assert_allclose(shifted, plain, atol=1e-9)
    moved = bootstrap_difference(a + shift, b, resamples=50)
    np.testing.assert_allclose(moved, np.add(plain, shift), atol=1e-9)
    stretched = bootstrap_difference(scale * a, scale * b, resamples=50)
    np.testing.assert_allclose(stretched, np.multiply(plain, scale), atol=1e-9)


def test_interval_back_is_the_interval_there_turned() -> None:
    a, b = two(8)
    there, back = bootstrap_difference(a, b), bootstrap_difference(b, a)
    width = there.high - there.low
    assert (-back.high, -back.low) == pytest.approx(
        (there.low, there.high), abs=0.03 * float(width)
    )


def test_the_difference_is_covered_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(9)
    a, b = rng.normal(1.0, 1.0, (10, 2_000)), rng.normal(0.0, 2.0, (10, 2_000))
    _, low, high = bootstrap_difference(a, b, resamples=999)
    assert 0.88 < np.mean((low <= 1.0) & (high >= 1.0)) < 0.97


def test_the_improvement_is_covered_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(10)
    truth = 0.5 * (1 + math.erf(0.5 / 2))  # P(N(.5, 1) > N(0, 1))
    pairs = [(rng.normal(0.5, 1.0, 10), rng.normal(0.0, 1.0, 10)) for _ in range(600)]
    found = [probability_of_improvement(a, b, resamples=499) for a, b in pairs]
    assert 0.88 < np.mean([low <= truth <= high for _, low, high in found]) < 0.97
    assert np.mean([mean for mean, _, _ in found]) == pytest.approx(truth, abs=0.02)  # unbiased
