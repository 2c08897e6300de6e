"""Curves from run folders, and what the picture of them shows."""

import contextlib
import itertools
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from embrl.core.errors import EmbrlError
from embrl.report import curve_figure
from embrl.report.curve_figure import plot_curves
from embrl.report.curves import Curve, read_curve, read_curves
from embrl.report.drawing import decimals, short_count
from embrl.storage.run_folder import COLUMNS, RunFolder

CONFIG = {"environment": "gridworld", "method": "jsae", "algorithm": "vpg", "seeds": 2}
SUMMARY = {"random_return": -1.5, "best_known_return": 0.93, "timesteps_per_s": 1234.5}


def write_run(
    path: Path,
    returns: dict[int, dict[int, float]],
    summary: dict[str, Any] | None = None,
    **config: Any,
) -> RunFolder:
    """A run with these returns: seed to samples to mean return."""
    folder = RunFolder(path)
    folder.write_config(CONFIG | config)
    rows = [
        dict.fromkeys(COLUMNS, 0) | {"seed": seed, "timesteps": samples, "return_mean": value}
        for seed, points in returns.items()
        for samples, value in points.items()
    ]
    folder.write_metrics(rows)
    if summary is not None:
        folder.write_summary(summary)
    return folder


def learned(label: str, seeds: int = 10, *, start: float = 0.0, **references: Any) -> Curve:
    """A made-up curve whose last seed learns nothing."""
    rng = np.random.default_rng(seeds)
    samples = np.linspace(start, 300_000, 20)
    returns = -1.5 + 2.4 * samples / 300_000 + rng.normal(0, 0.05, (seeds, 20))
    returns[-1] = -1.5
    return Curve(label, samples, returns, **references)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keeps the figures that are drawn."""
    kept: list[Any] = []
    plain = curve_figure.figure

    @contextlib.contextmanager
    def keeping(*args: Any) -> Iterator[Any]:
        with plain(*args) as made:
            yield made
        kept.append(made)

    monkeypatch.setattr(curve_figure, "figure", keeping)
    return kept


def png_size(path: Path) -> tuple[int, int]:
    """Width and height, from the header."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def one_line(error: pytest.ExceptionInfo[EmbrlError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_reads_rows_in_any_order(tmp_path: Path) -> None:
    folder = write_run(tmp_path, {}, SUMMARY)
    cells = [(7, 10, 0.1), (7, 20, 0.2), (3, 10, 0.3), (3, 20, 0.4)]
    for order in itertools.permutations(cells):
        nothing: dict[str, float] = dict.fromkeys(COLUMNS, 0)
        folder.write_metrics(
            [
                nothing | dict(zip(("seed", "timesteps", "return_mean"), c, strict=True))
                for c in order
            ]
        )
        curve = read_curve(folder)
        np.testing.assert_array_equal(curve.timesteps, [10, 20])
        np.testing.assert_array_equal(curve.returns, [[0.3, 0.4], [0.1, 0.2]])


def test_reads_what_the_summary_knows(tmp_path: Path) -> None:
    curve = read_curve(write_run(tmp_path, {0: {5: 1.0}}, SUMMARY))
    assert (curve.random_return, curve.best_known_return) == (-1.5, 0.93)
    assert curve.timesteps_per_s == 1234.5
    assert (curve.environment, curve.seeds) == ("gridworld", 1)


def test_reads_a_run_in_progress(tmp_path: Path) -> None:
    curve = read_curve(write_run(tmp_path, {0: {5: 1.0}, 1: {5: 2.0}}))
    np.testing.assert_array_equal(curve.returns, [[1.0], [2.0]])
    assert curve.random_return is curve.best_known_return is curve.timesteps_per_s is None


def test_best_known_return_may_be_absent(tmp_path: Path) -> None:
    summary = SUMMARY | {"best_known_return": None}
    assert read_curve(write_run(tmp_path, {0: {5: 1.0}}, summary)).best_known_return is None


@pytest.mark.parametrize(
    ("algorithm", "method", "label"),
    [
        ("vpg", "jsae", "VPG + JSAE"),
        ("ppo", "ra", "PPO + RA"),
        ("sac", "autoencoder", "SAC + autoencoder"),
        ("vpg", "none", "VPG, no embedding"),
    ],
)
def test_label_says_algorithm_and_method(
    tmp_path: Path, algorithm: str, method: str, label: str
) -> None:
    folder = write_run(tmp_path, {0: {5: 1.0}}, algorithm=algorithm, method=method)
    assert read_curve(folder).label == label
    assert read_curve(folder, "mine").label == "mine"


def test_same_methods_are_told_apart_by_folder(tmp_path: Path) -> None:
    for name, method in [("first", "jsae"), ("second", "jsae"), ("third", "none")]:
        write_run(tmp_path / name, {0: {5: 1.0}}, method=method)
    paths = [tmp_path / name for name in ("first", "second", "third")]
    labels = [curve.label for curve in read_curves(paths)]
    assert labels == ["VPG + JSAE (first)", "VPG + JSAE (second)", "VPG, no embedding"]


def test_same_folder_names_are_told_apart_by_path(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run"]
    for path in paths:
        path.parent.mkdir()
        write_run(path, {0: {5: 1.0}})
    assert [curve.label for curve in read_curves(paths)] == [f"VPG + JSAE ({p})" for p in paths]


def test_seeds_with_other_samples_are_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path, {0: {5: 1.0, 10: 1.0}, 1: {5: 1.0}})
    with pytest.raises(EmbrlError) as error:
        read_curve(folder)
    assert re.search("seed 1 .* seed 0 ", one_line(error))


def test_equally_many_but_other_samples_are_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path, {0: {5: 1.0, 10: 1.0}, 4: {5: 1.0, 11: 1.0}})
    with pytest.raises(EmbrlError, match="seed 4 has 2 evaluations"):
        read_curve(folder)


def test_repeated_rows_are_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path, {0: {5: 1.0}})
    text = (tmp_path / "metrics.csv").read_text()
    (tmp_path / "metrics.csv").write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(EmbrlError) as error:
        read_curve(folder)
    assert "seed 0 has two rows for 5 " in one_line(error)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("metrics.csv", "seed,samples\n0,5\n", "no column return_mean"),
        ("metrics.csv", "seed,samples,return_mean\n0,5\n", "line 2 has 2 columns"),
        ("metrics.csv", "seed,samples,return_mean\n0,5,high\n", "column return_mean"),
        ("metrics.csv", "seed,samples,return_mean\n0,5.5,1\n", "column samples"),
        ("metrics.csv", "seed,samples,return_mean\n", "no rows"),
        ("metrics.csv", "", "no rows"),
        ("summary.json", '{"random_return": "low"}', "random_return must be a number, got 'low'"),
        ("summary.json", '{"random_return": ', "damaged"),
        ("config.json", "[1]", "damaged"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    folder = write_run(tmp_path, {0: {5: 1.0}}, SUMMARY)
    (tmp_path / name).write_text(text)
    with pytest.raises(EmbrlError) as error:
        read_curve(folder)
    message = one_line(error)
    assert said in message
    assert name in message


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path, {0: {5: 1.0}})
    (tmp_path / "metrics.csv").unlink()
    with pytest.raises(EmbrlError, match=r"metrics\.csv is missing"):
        read_curve(folder)
    with pytest.raises(EmbrlError, match="holds no run"):
        read_curves([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("timesteps", "returns", "said"),
    [
        ([1.0, 2.0], [[1.0]], "samples and returns must have the shapes"),
        ([1.0], [1.0], "samples and returns must have the shapes"),
        ([], [[]], "samples and returns must have the shapes"),
        ([2.0, 1.0], [[1.0, 1.0]], "samples must increase"),
    ],
)
def test_curves_of_the_wrong_shape(samples: list, returns: list, said: str) -> None:
    with pytest.raises(EmbrlError, match=said):
        Curve("mine", np.array(samples), np.array(returns))


def test_picture_has_its_size(tmp_path: Path) -> None:
    path = tmp_path / "figures" / "curves.png"  # the folder is made
    plot_curves([learned("a"), learned("b")], path, "Two methods")
    assert png_size(path) == (1200, 727)  # 8 inches; 4.6 and one row of legend; 150 to an inch
    assert path.stat().st_size > 20_000
    assert [file.name for file in path.parent.iterdir()] == ["curves.png"]


def test_picture_shows_every_seed(tmp_path: Path, drawn: list[Any]) -> None:
    curve = learned("VPG + JSAE")
    plot_curves([curve], tmp_path / "curves.png", "One method")
    (axes,) = drawn[0].axes
    lines = [np.asarray(line.get_ydata()) for line in axes.lines]
    for seed in curve.returns:
        assert any(np.array_equal(seed, line) for line in lines)
    assert any(np.allclose(curve.returns.mean(axis=0), line) for line in lines)
    low, high = axes.get_ylim()
    assert low < curve.returns.min()
    assert high > curve.returns.max()
    left, right = axes.get_xlim()
    assert left <= 0 < 300_000 <= right


def test_band_is_the_interval(tmp_path: Path, drawn: list[Any]) -> None:
    curve = learned("mine", 3)  # of three seeds, the interval reaches from worst to best
    plot_curves([curve], tmp_path / "curves.png", "One method")
    (band,) = drawn[0].axes[0].collections
    corners = band.get_paths()[0].vertices
    for at, samples in enumerate(curve.timesteps):
        heights = corners[corners[:, 0] == samples, 1]
        assert heights.min() == pytest.approx(curve.returns[:, at].min())
        assert heights.max() == pytest.approx(curve.returns[:, at].max())


def test_legend_counts_seeds_and_hides_nothing(tmp_path: Path, drawn: list[Any]) -> None:
    curves = [learned("VPG + JSAE"), learned("VPG, no embedding", 1), learned("PPO" * 20, 3)]
    plot_curves(curves, tmp_path / "curves.png", "Three methods")
    (legend,) = drawn[0].legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == [
        "VPG + JSAE (10 seeds)",
        "VPG, no embedding (1 seed)",
        f"{'PPO' * 20} (3 seeds)",
    ]
    box = legend.get_window_extent()
    assert not box.overlaps(drawn[0].axes[0].get_tightbbox())
    assert box.x0 >= 0
    assert box.x1 <= 1200


def test_axes_say_what_they_measure(tmp_path: Path, drawn: list[Any]) -> None:
    plot_curves([learned("mine")], tmp_path / "curves.png", "A title")
    (axes,) = drawn[0].axes
    assert axes.get_xlabel() == "environment steps (pre-training included)"
    assert axes.get_ylabel() == "return per episode"
    assert axes.get_title(loc="left") == "A title"
    ticks = [tick.get_text() for tick in axes.get_xticklabels()]
    assert {"0", "100k", "300k"} <= set(ticks)


def test_references_are_drawn_once(tmp_path: Path, drawn: list[Any]) -> None:
    curves = [
        learned("a", random_return=-1.501, best_known_return=0.93),
        learned("b", random_return=-1.498, best_known_return=0.93),  # estimated anew
        learned("c"),
    ]
    plot_curves(curves, tmp_path / "curves.png", "Three methods")
    (axes,) = drawn[0].axes
    texts = sorted(text.get_text() for text in axes.texts if "seeds" not in text.get_text())
    assert texts == ["best known\n0.93", "random\n\N{MINUS SIGN}1.50"]
    flat = [line for line in axes.lines if len(set(np.atleast_1d(line.get_ydata()))) == 1]
    heights = {float(np.asarray(line.get_ydata())[0]) for line in flat}
    assert {-1.501, 0.93} <= heights
    assert -1.498 not in heights


def test_names_of_near_references_do_not_overlap(tmp_path: Path, drawn: list[Any]) -> None:
    curve = learned("a", random_return=0.90, best_known_return=0.97)
    plot_curves([curve], tmp_path / "curves.png", "Near")
    names = [text for text in drawn[0].axes[0].texts if "seeds" not in text.get_text()]
    first, second = (text.get_window_extent() for text in names)
    assert not first.overlaps(second)


def test_more_curves_than_colours_differ_in_dashes(tmp_path: Path, drawn: list[Any]) -> None:
    plot_curves([learned(f"m{i}", 1) for i in range(9)], tmp_path / "curves.png", "Nine")
    handles = drawn[0].legends[0].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in handles}) == 9


def test_holes_and_single_points_are_drawn(tmp_path: Path, drawn: list[Any]) -> None:
    holed = learned("holed", 3)
    holed.returns[0, 5] = np.nan
    point = Curve("point", np.array([1_000.0]), np.array([[0.5]]))
    plot_curves([holed, point], tmp_path / "curves.png", "Odd ones")
    assert drawn[0].axes[0].lines[-1].get_marker() == "o"  # a line of one point is not seen


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(EmbrlError, match="no curve to draw"):
        plot_curves([], tmp_path / "curves.png", "Nothing")
    assert not (tmp_path / "curves.png").exists()


def test_settings_of_the_user_stay_theirs(tmp_path: Path) -> None:
    plot_curves([learned("mine")], tmp_path / "plain.png", "Same")
    with mpl.rc_context({"font.size": 31, "axes.facecolor": "red"}):
        plot_curves([learned("mine")], tmp_path / "own.png", "Same")
        assert mpl.rcParams["font.size"] == 31
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "own.png").read_bytes()


def test_draws_without_a_screen(tmp_path: Path) -> None:
    program = (
        "import sys, numpy as np\n"
        "from embrl.report.curve_figure import plot_curves\n"
        "from embrl.report.curves import Curve\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plot_curves([Curve('a', np.arange(3.), np.ones((2, 3)))], sys.argv[1], 'A')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    env |= {"MPLBACKEND": "tkagg", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.png")], env=env, check=True, timeout=60
    )
    assert png_size(tmp_path / "a.png")[0] == 1200


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1k"),
        (30_000, "30k"),
        (115_200, "115.2k"),
        (999_960, "1M"),
        (1_500_000, "1.5M"),
        (2e9, "2G"),
        (-1_500, "-1.5k"),
    ],
)
def test_short_counts(value: float, text: str) -> None:
    assert short_count(value) == text


@pytest.mark.parametrize(
    ("values", "digits"), [((), 3), ((0.5, -9.9), 3), ((12.3, 1.0), 2), ((1234.5,), 0), ((1e9,), 0)]
)
def test_decimals_follow_the_largest(values: tuple[float, ...], digits: int) -> None:
    assert decimals(*values) == digits


def test_decimals_ignore_what_is_not_finite() -> None:
    assert decimals(float("nan"), float("inf"), 50.0) == 2
