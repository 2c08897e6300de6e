"""What the picture of every seed shows, and that nothing in it hides anything."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embrl.core.errors import EmbrlError
from embrl.report import seed_dots
from embrl.report.curves import Curve
from embrl.report.seed_dots import jitter, plot_seeds


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keeps the figures that are drawn."""
    kept: list[Any] = []
    plain = seed_dots.figure

    @contextlib.contextmanager
    def keeping(*args: Any) -> Iterator[Any]:
        with plain(*args) as made:
            yield made
        kept.append(made)

    monkeypatch.setattr(seed_dots, "figure", keeping)
    return kept


def curve(label: str, final: list[float], **known: Any) -> Curve:
    returns = np.array([[-9.0, value] for value in final])  # only the last evaluation counts
    known = {"environment": "gridworld"} | known
    return Curve(label, np.array([1.0, 2.0]), returns, **known)


def lines(axes: Any) -> list[tuple[list[float], list[float]]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]


def test_a_dot_for_every_seed_and_a_bar_below(tmp_path: Path, drawn: list[Any]) -> None:
    a, b = curve("a", [0.1, 0.2, 0.9]), curve("b", [0.5])
    plot_seeds([a, b], tmp_path / "seeds.png", "Two")
    (axes,) = drawn[0].axes
    for row, (dots, one) in enumerate(zip(axes.collections, (a, b), strict=True)):
        at = np.asarray(dots.get_offsets())
        np.testing.assert_allclose(at[:, 0], one.returns[:, -1])
        assert np.all(np.abs(at[:, 1] - row) < 0.5)
        bars = [(x, y) for x, y in lines(axes) if y == [row + seed_dots.BAR] * len(y)]
        assert any(x == [pytest.approx(one.returns[:, -1].mean())] for x, _ in bars)
        assert at[:, 1].max() < row + seed_dots.BAR  # above the bar
    # Of three seeds the interval reaches from worst to best; one seed has none.
    assert any(x == pytest.approx([0.1, 0.9]) for x, _ in lines(axes) if len(x) == 2)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a (3 seeds)", "b (1 seed)"]


def test_references_cross_their_own_rows(tmp_path: Path, drawn: list[Any]) -> None:
    a = curve("a", [0.1, 0.9], random_return=-0.5, best_known_return=0.95)
    b = curve("b", [0.2, 0.8], random_return=-0.4, best_known_return=0.95)
    plot_seeds([a, b], tmp_path / "seeds.png", "Two")
    (axes,) = drawn[0].axes
    for expected in [(-0.5, 0), (-0.4, 1), (0.95, 0), (0.95, 1)]:
        value, row = expected
        assert ([value, value], [row - 0.5, row + 0.5]) in lines(axes)
    texts = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert texts == ["a seed", "mean and its 95 % interval", "random", "best known"]


def test_far_references_are_named_instead(tmp_path: Path, drawn: list[Any]) -> None:
    a = curve("a", [0.8, 0.9], random_return=-2.5, best_known_return=0.95)
    b = curve("b", [0.8, 0.9], random_return=-2.6, best_known_return=0.95)
    plot_seeds([a, b], tmp_path / "seeds.png", "Two")
    (axes,) = drawn[0].axes
    minus = "\N{MINUS SIGN}"
    assert axes.get_title(loc="right") == f"out of range: random {minus}2.60 to {minus}2.50"
    assert axes.get_xlim()[0] > 0
    texts = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert texts == ["a seed", "mean and its 95 % interval", "best known"]


def test_environments_have_axes_of_their_own(tmp_path: Path, drawn: list[Any]) -> None:
    shop = curve("shop", [70.0, 72.0], environment="recommender")
    plot_seeds([curve("a", [0.1, 0.2]), shop, curve("b", [0.3])], tmp_path / "s.png", "Both")
    grid, other = drawn[0].axes
    assert [grid.get_title(loc="left"), other.get_title(loc="left")] == ["gridworld", "recommender"]
    assert [len(axes.collections) for axes in (grid, other)] == [2, 1]
    assert grid.get_xlim()[1] < 1 < other.get_xlim()[0]
    colours = [dots.get_facecolor()[0, :3] for dots in (*grid.collections, *other.collections)]
    for first, second in itertools.combinations(colours, 2):
        assert not np.array_equal(first, second)  # a colour is a curve's, as in curves.png


def test_twenty_labels_do_not_overlap(tmp_path: Path, drawn: list[Any]) -> None:
    rng = np.random.default_rng(0)
    long = "512 actions, a label that needs two or even three lines to stand in"
    curves = [curve(f"{long} {at}", list(rng.normal(size=10))) for at in range(20)]
    plot_seeds(curves, tmp_path / "seeds.png", "Twenty")
    (axes,) = drawn[0].axes
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0
    assert axes.get_window_extent().width > 600  # of 1200
    assert all("(10 seeds)" in label.get_text() for label in axes.get_yticklabels())


@pytest.mark.parametrize("rows", [1, 3, 20])
def test_legend_hides_nothing(tmp_path: Path, drawn: list[Any], rows: int) -> None:
    curves = [curve(f"m{at}", [0.1 * at, 0.5], random_return=-0.2) for at in range(rows)]
    plot_seeds(curves, tmp_path / "seeds.png", "Many")
    (axes,) = drawn[0].axes
    legend = drawn[0].legends[0].get_window_extent()
    assert not legend.overlaps(axes.get_tightbbox())
    assert legend.y0 >= 0
    assert axes.get_window_extent().height / rows > 45  # pixels: dots and bar stay apart


def test_odd_values_are_left_out(tmp_path: Path) -> None:
    plot_seeds([curve("a", [np.nan, 1.0]), curve("b", [np.nan])], tmp_path / "a.png", "Odd")
    assert (tmp_path / "a.png").stat().st_size > 5_000


def test_same_curves_same_picture(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        plot_seeds([curve("a", [0.1, 0.2, 0.3])], tmp_path / name, "Same")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_jitter_keeps_neighbours_apart() -> None:
    heights = jitter(30)
    assert np.all(np.abs(heights) <= 0.5)
    assert np.abs(np.diff(heights)).min() > 0.3
    assert np.diff(np.sort(heights)).min() > 0.01  # no two alike


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(EmbrlError, match="no seed to draw"):
        plot_seeds([], tmp_path / "seeds.png", "Nothing")
