"""Measures and claims against hand-computed values."""

import dataclasses
import json

import numpy as np
import pytest

from embrl.core.statistics import budget_area
from embrl.papers.page import lines_table
from embrl.papers.panel import Claim, Panel
from embrl.papers.summary import PanelResult, curve_entry, half_level, judged
from embrl.report.claims import Difference, claims_table, judge


def test_the_area_begins_at_0_with_random_actions_and_ends_at_the_budget():
    samples = np.array([30.0, 50.0])
    returns = np.array([[1.0, 3.0], [0.0, 0.0]])
    # (-1 + 1) / 2 * 30 + (1 + 3) / 2 * 20 + 3 * 50, and (-1 + 0) / 2 * 30, over 100.
    np.testing.assert_allclose(budget_area(samples, returns, -1.0, 100), [1.9, -0.15])


def test_an_evaluation_at_0_is_taken_as_it_is():
    found = budget_area(np.array([0.0, 10.0]), np.array([[2.0, 4.0]]), -100.0, 10)
    np.testing.assert_allclose(found, [3.0])


def test_the_area_of_a_single_evaluation():
    np.testing.assert_allclose(budget_area(np.array([5.0]), np.array([[1.0]]), 0.0, 10), [0.75])


def test_half_of_the_best():
    assert half_level(-2.7, 0.96) == 0.48
    assert half_level(13.3, 480.0) == 240.0
    assert half_level(55.0, 68.0) == 61.5  # half of 68 is less than random actions earn
    assert half_level(0.0, None) == np.inf


@pytest.mark.parametrize(
    ("kind", "margin", "ci95", "holds"),
    [
        ("above", 0.0, [0.1, 0.3], True),
        ("above", 0.0, [0.0, 0.3], False),
        ("above", 0.9, [0.8, 0.95], False),
        ("below", 0.0, [-0.3, -0.1], True),
        ("below", 0.0, [-0.3, 0.1], False),
        ("level", 0.1, [-0.1, 0.1], True),
        ("level", 0.1, [-0.05, 0.11], False),
        ("level", 0.1, [-0.11, 0.0], False),
        ("above", 0.0, None, False),
        ("below", 0.0, None, False),
        ("level", 0.1, None, False),
    ],
)
def test_when_a_claim_holds(kind, margin, ci95, holds):
    assert judge("it", Difference(0.2, ci95), kind, margin)["holds"] is holds


def result(panel: Panel, at: int, returns: list[list[float]]) -> PanelResult:
    line = panel.lines[at]
    config = dataclasses.replace(line.config, timesteps=100)
    return PanelResult(
        dataclasses.replace(line, config=config),
        np.array([50.0, 100.0]),
        np.array(returns),
        random_return=0.0,
        best_known_return=2.0,
        wall_s=1.0,
        machine="test",
    )


def test_a_seed_that_never_comes_there_counts_with_the_budget(panel):
    found = result(panel, 0, [[1.0, 2.0], [0.0, 0.5]])
    np.testing.assert_array_equal(found.timesteps_to_half, [50.0, 100.0])
    assert found.reached == 1
    entry = curve_entry(found)
    assert entry["timesteps_to_half_mean"] == 75.0
    assert "75 [50, 100] (1 of 2)" in lines_table([entry])


def test_claims_say_by_how_much_and_one_seed_shows_nothing(panel):
    better, worse = result(panel, 0, [[1.0, 2.0]] * 2), result(panel, 1, [[0.0, 0.5]] * 2)
    # AUC: 50 * .5 + 50 * 1.5 = 100 and 50 * 0 + 50 * .25 = 12.5, over 100.
    auc, final = judged(panel.claims, [better, worse])
    assert auc["difference"] == pytest.approx(0.875)
    assert auc["ci95"] == pytest.approx([0.875, 0.875])
    assert auc["holds"]
    assert final["difference"] == 1.5
    sooner = Claim("sooner", better.line.label, worse.line.label, "timesteps_to_half", "below")
    (found,) = judged([sooner], [better, worse])
    assert found["holds"]
    assert found["difference"] == -50.0
    assert "−50 [−50, −50]" in claims_table([found])

    one = [result(panel, 0, [[1.0, 2.0]]), result(panel, 1, [[0.0, 0.5]])]
    claims = judged(panel.claims, one)
    assert [claim["ci95"] for claim in claims] == [None, None]
    assert not any(claim["holds"] for claim in claims)
    json.dumps([claims, curve_entry(one[0])], allow_nan=False)
