"""The comparison of runs, computed by hand, and its three forms."""

import csv
import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from embrl.core.errors import EmbrlError
from embrl.core.statistics import Interval
from embrl.report.comparison import (
    BaselineDifference,
    Comparison,
    ComparisonRow,
    compare,
    default_level,
)
from embrl.report.curves import Curve
from embrl.report.table import conclusions, to_csv, to_markdown, to_rich


def curve(label: str = "VPG + JSAE", **known: Any) -> Curve:
    """Three seeds; the last never reaches .5."""
    returns = np.array([[0.0, 0.6, 0.9], [0.0, 0.4, 0.8], [0.0, 0.1, 0.1]])
    known = {"environment": "gridworld"} | known
    return Curve(label, np.array([0.0, 10_000.0, 30_000.0]), returns, **known)


def printed(comparison: Any, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(to_rich(comparison))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_row_by_hand() -> None:
    comparison = compare([curve(timesteps_per_s=2_000.0)], level=0.5)
    (row,) = comparison.rows
    assert (row.label, row.seeds, row.timesteps_per_s) == ("VPG + JSAE", 3, 2_000.0)
    assert row.final_mean == pytest.approx(0.6)
    # Three seeds: the percentile interval reaches from worst to best.
    assert (row.final_low, row.final_high) == pytest.approx((0.1, 0.9))
    assert (row.final_worst, row.final_best) == (0.1, 0.9)
    assert (row.timesteps_to_level, row.seeds_at_level) == (20_000.0, 2)  # of 10k and 30k
    # Trapezoids over 30k: seed 0 (3 + 15) / 30, seed 1 (2 + 12) / 30, seed 2 (.5 + 2) / 30.
    assert row.auc == pytest.approx((18 + 14 + 2.5) / 30 / 3)
    assert (row.auc_low, row.auc_high) == pytest.approx((2.5 / 30, 18 / 30))
    assert (row.auc_from, row.auc_to) == (0, 30_000)
    assert row.against is comparison.baseline is None
    assert comparison.notes == ()


def test_nobody_reaches_the_level() -> None:
    comparison = compare([curve()], level=0.95)
    (row,) = comparison.rows
    assert np.isnan(row.timesteps_to_level)
    assert row.seeds_at_level == 0
    assert "– (0 of 3)" in to_markdown(comparison)


def test_one_seed_has_no_interval() -> None:
    single = Curve("one", np.array([1.0]), np.array([[0.25]]))
    comparison = compare([single])
    assert "| one | 1 | 0.250 | 0.250, 0.250 | – | 0.250 | – |" in to_markdown(comparison)


def test_level_of_the_gridworld() -> None:
    # Its own level goes before half way between the references.
    assert default_level([curve(random_return=-1.5, best_known_return=0.9)]) == 0.5


def test_level_is_half_way_elsewhere() -> None:
    a = curve(environment="shop", random_return=10.0, best_known_return=30.0)
    b = curve(environment="shop", random_return=12.0, best_known_return=30.0)
    unknown = curve(environment="shop", random_return=12.0)
    assert default_level([a]) == 20.0
    assert default_level([a, b, unknown]) == 20.5
    assert default_level([unknown]) is None


def test_level_that_nothing_suggests_is_left_out() -> None:
    comparison = compare([curve(environment="shop")])
    assert comparison.level is None
    assert comparison.rows[0].seeds_at_level == 0
    text = to_markdown(comparison)
    assert "steps to level" in text
    assert "| – |" in text


def test_notes_say_what_cannot_be_compared() -> None:
    late = Curve("late", np.array([20_000.0, 30_000.0]), np.ones((2, 2)), environment="shop")
    comparison = compare([curve(), late])
    assert len(comparison.notes) == 2
    assert "gridworld, shop" in comparison.notes[0]
    assert "0 to 30k, 20k to 30k" in comparison.notes[1]
    assert all(note in to_markdown(comparison) for note in comparison.notes)
    assert "different environments" in printed(comparison, 200)


def flat(label: str, values: list[float], *, first: float = 0.0, last: float = 100.0, **known: Any):
    """Seeds that always return the same."""
    known = {"environment": "shop"} | known
    return Curve(label, np.array([first, last]), np.array([[v, v] for v in values]), **known)


def test_against_the_baseline_by_hand() -> None:
    base, other = flat("base", [0.0, 2.0, 1.0]), flat("other", [1.0, 5.0, 3.0])
    alone = flat("alone", [4.0])
    comparison = compare([other, base, alone], baseline=base)
    first, second, third = (row.against for row in comparison.rows)
    assert comparison.baseline == "base"
    assert second is None
    assert first is not None
    assert third is not None
    assert first.final_difference.mean == pytest.approx(2.0)
    # All of one and none of the other: (1/27)^2 < 2.5 %; but some of each is likely enough.
    assert -1 < first.final_difference.low < 2 < first.final_difference.high < 5
    assert first.auc_difference == pytest.approx(first.final_difference)
    # 1 beats 0, ties with 1; 5 and 3 beat all.
    assert first.improvement.mean == pytest.approx((1 + 0.5 + 3 + 3) / 9)
    assert (third.final_difference.mean, third.improvement.mean) == (3.0, 1.0)
    assert np.isnan([third.improvement.low, third.auc_difference.high]).all()
    assert "| alone | +3.000 | 1.00 | +3.000 |" in to_markdown(comparison)


def test_other_environments_have_no_baseline() -> None:
    base = flat("base", [0.0, 2.0])
    comparison = compare([base, flat("far", [1.0, 2.0], environment="maze")], baseline=base)
    assert [row.against for row in comparison.rows] == [None, None]
    assert "against" not in to_markdown(comparison)


def test_areas_count_from_0_where_random_play_is_known() -> None:
    early = flat("early", [1.0], first=0.0, last=100.0, random_return=-1.0)
    late = flat("late", [1.0], first=50.0, last=200.0, random_return=-1.0)
    comparison = compare([early, late])
    assert [(row.auc_from, row.auc_to) for row in comparison.rows] == [(0, 100), (0, 100)]
    # Late: from -1 to 1 in 50, then 1; early was evaluated at 0.
    assert [row.auc for row in comparison.rows] == [1.0, 0.5]
    (note,) = comparison.notes
    assert "after 100, 200 environment steps" in note
    nearly = flat("late", [1.0], first=50.0, last=101.0, random_return=-1.0)
    assert compare([early, nearly]).notes == ()


def test_areas_are_over_their_own_timesteps_where_it_is_not() -> None:
    early = flat("early", [1.0], first=0.0, last=100.0, random_return=-1.0)
    late = flat("late", [1.0], first=50.0, last=200.0)
    comparison = compare([early, late])
    assert [(row.auc_from, row.auc_to) for row in comparison.rows] == [(0, 100), (50, 200)]
    assert "differ: 0 to 100, 50 to 200" in comparison.notes[0]


def test_csv_has_the_intervals_against_the_baseline() -> None:
    base, other = flat("base", [0.0, 2.0]), flat("other", [1.0, 5.0])
    comparison = compare([base, other], baseline=base)
    first, second = csv.DictReader(io.StringIO(to_csv(comparison)))
    assert first["baseline"] == second["baseline"] == "base"
    assert first["improvement"] == first["final_difference_low"] == ""
    against = comparison.rows[1].against
    assert against is not None
    for name in ("final_difference", "improvement", "auc_difference"):
        ends = [float(second[f"{name}{end}"]) for end in ("", "_low", "_high")]
        assert ends == list(getattr(against, name))


def test_markdown() -> None:
    text = to_markdown(compare([curve(timesteps_per_s=812_345.0), curve("a|b")]))
    assert text == (
        "| run | seeds | final return [95 %] | worst, best seed "
        "| steps to 0.5 (seeds) | AUC [95 %] | steps per s |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| VPG + JSAE | 3 | 0.600 [0.100, 0.900] | 0.100, 0.900 | 20k (2 of 3) "
        "| 0.383 [0.083, 0.600] | 812.3k |\n"
        "| a\\|b | 3 | 0.600 [0.100, 0.900] | 0.100, 0.900 | 20k (2 of 3) "
        "| 0.383 [0.083, 0.600] | – |\n"
    )


def test_csv_comes_back_equal() -> None:
    comparison = compare([curve('odd, "label"', timesteps_per_s=1 / 3), curve()], level=0.95)
    first, second = csv.DictReader(io.StringIO(to_csv(comparison)))
    row = comparison.rows[0]
    assert first["label"] == 'odd, "label"'
    for name in ("final_mean", "final_low", "final_high", "auc", "auc_low", "timesteps_per_s"):
        assert float(first[name]) == getattr(row, name)
    assert (first["seeds"], first["seeds_at_level"], first["level"]) == ("3", "0", "0.95")
    assert first["timesteps_to_level"] == second["timesteps_per_s"] == ""  # not known


def test_terminal_table_fits_80_columns() -> None:
    plain = curve("VPG, no embedding", timesteps_per_s=812_345.0)
    text = printed(compare([curve("VPG + JSAE (gridworld-512)"), plain], baseline=plain))
    assert all(len(line) <= 80 for line in text.splitlines())
    for part in ("0.600", "[0.100, 0.900]", "20k", "(2 of 3)", "0.383", "812.3k"):
        assert part in text
    for part in ("(gridworld-512", "against VPG, no embedding", "+0.000", "0.50"):
        assert part in text
    assert "…" not in text


def test_brackets_in_labels_are_no_markup() -> None:
    assert "VPG [bold]" in printed(compare([curve("VPG [bold]")]), 120)


def test_large_returns_keep_fewer_decimals() -> None:
    big = Curve("shop", np.array([1.0]), np.array([[1234.5678], [1300.0]]))
    assert "| 1267 [1235, 1300] |" in to_markdown(compare([big]))


def test_nothing_to_compare_is_said() -> None:
    with pytest.raises(EmbrlError, match="nothing to compare") as error:
        compare([])
    assert "\n" not in str(error.value)


def with_difference(final: float, low: float, high: float, **changes: Any) -> Comparison:
    base = ComparisonRow("a", 4, 0.9, 0.8, 1.0, 0.8, 1.0, 90_000.0, 4, 0, 0, 0, 0, 1, None)

    def interval(*values: float) -> Interval:
        return Interval(*map(np.asarray, values))

    nothing = interval(0.0, 0.0, 0.0)
    against = BaselineDifference(interval(final, low, high), nothing, nothing)
    row = dataclasses.replace(
        base, label="b", timesteps_to_level=30_000.0, against=against, **changes
    )
    return Comparison((base, row), 0.5, (), "a")


def test_a_sentence_says_what_was_won():
    (sentence,) = conclusions(with_difference(0.25, 0.125, 0.5))
    for part in ("b reached 0.5 after 30k", "a after 90k, 3.0 times as many", "higher [+0.1"):
        assert part in sentence
    assert "chance" not in sentence
    assert "chance" in conclusions(with_difference(-0.25, -0.5, 0.125))[0]
    (sentence,) = conclusions(with_difference(0.25, 0.125, 0.5, seeds_at_level=3))
    assert "b: 3 of 4 seeds reached 0.5, a: 4 of 4" in sentence


def test_a_level_that_random_actions_reach_has_no_ratio():
    found = with_difference(0.25, 0.125, 0.5)
    base = dataclasses.replace(found.rows[0], timesteps_to_level=0.0)
    (sentence,) = conclusions(dataclasses.replace(found, rows=(base, found.rows[1])))
    assert "b reached 0.5 after 30k timesteps, a after 0; its" in sentence
