"""Panels: read beside runs, told apart, and refused in one line where they are damaged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embrl.core.errors import EmbrlError
from embrl.report.comparison import find_baseline
from embrl.report.curves import Curve, is_panel, read_curves, read_panel
from embrl.storage.run_folder import COLUMNS, RunFolder

CURVES = [
    {
        "label": "512, VPG",
        "method": "none",
        "algorithm": "vpg",
        "env": "gridworld",
        "seeds": 2,
        "timesteps": 30,
        "wall_s": 4.0,
        "random_return": -1.5,
        "best_known_return": 0.9,
    },
    {"label": "512, VPG + JSAE", "env": "gridworld", "best_known_return": None},
]
ROWS = """\
label,seed,samples,return_mean
"512, VPG",1,30,0.4
"512, VPG",0,20,0.1
"512, VPG",0,30,0.2
"512, VPG",1,20,0.3
"512, VPG + JSAE",0,10,1
"""


def write_panel(path: Path, curves: Any = CURVES, rows: str = ROWS) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "summary.json").write_text(json.dumps({"figure": "3a", "curves": curves, "claims": []}))
    (path / "curves.csv").write_text(rows)
    return path


def write_run(path: Path) -> Path:
    folder = RunFolder(path)
    folder.write_config({"environment": "gridworld", "method": "none", "algorithm": "vpg"})
    folder.write_metrics([dict.fromkeys(COLUMNS, 0) | {"timesteps": 10}])
    return path


def test_curves_in_the_order_of_the_summary(tmp_path: Path) -> None:
    plain, jsae = read_panel(write_panel(tmp_path / "fig3"))
    assert (plain.label, jsae.label) == ("512, VPG", "512, VPG + JSAE")
    np.testing.assert_array_equal(plain.timesteps, [20, 30])
    np.testing.assert_array_equal(plain.returns, [[0.1, 0.2], [0.3, 0.4]])
    assert (plain.environment, plain.folder) == ("gridworld", "fig3")
    assert (plain.random_return, plain.best_known_return) == (-1.5, 0.9)
    assert plain.timesteps_per_s == 2 * 30 / 4.0
    assert (jsae.seeds, jsae.best_known_return, jsae.timesteps_per_s) == (1, None, None)


def test_folders_are_told_apart(tmp_path: Path) -> None:
    assert is_panel(write_panel(tmp_path / "panel"))
    run = write_run(tmp_path / "run")
    assert not is_panel(run)
    (run / "summary.json").write_text("{}")
    assert not is_panel(run)
    assert not is_panel(tmp_path / "nowhere")


def labels(*paths: Path) -> list[str]:
    return [curve.label for curve in read_curves(paths)]


def test_one_panel_keeps_its_labels(tmp_path: Path) -> None:
    panel, run = write_panel(tmp_path / "fig3"), write_run(tmp_path / "mine")
    assert labels(panel, run) == ["512, VPG", "512, VPG + JSAE", "VPG, no embedding"]


def test_several_panels_give_their_names(tmp_path: Path) -> None:
    panels = [write_panel(tmp_path / name) for name in ("fig3", "fig4")]
    assert labels(*panels) == [
        "fig3: 512, VPG",
        "fig3: 512, VPG + JSAE",
        "fig4: 512, VPG",
        "fig4: 512, VPG + JSAE",
    ]


def test_panels_of_the_same_name_give_their_paths(tmp_path: Path) -> None:
    panels = [write_panel(tmp_path / name / "fig3") for name in ("a", "b")]
    assert labels(*panels)[::2] == [f"{panel}: 512, VPG" for panel in panels]


def test_a_label_that_a_run_has_too(tmp_path: Path) -> None:
    rows = ROWS.replace('"512, VPG"', '"VPG, no embedding"')
    curves = [{**CURVES[0], "label": "VPG, no embedding"}, CURVES[1]]
    panel, run = write_panel(tmp_path / "fig3", curves, rows), write_run(tmp_path / "mine")
    assert labels(run, panel) == [
        "VPG, no embedding (mine)",
        "fig3: VPG, no embedding",
        "512, VPG + JSAE",
    ]


NAME = {"label": "512, VPG"}


@pytest.mark.parametrize(
    ("curves", "rows", "said"),
    [
        (None, ROWS, "summary.json: curves must be a list of curves, got None"),
        ([], ROWS, "summary.json: curves must be a list of curves, got []"),
        (["VPG"], ROWS, "summary.json: a curve must be an object with a label, got 'VPG'"),
        ([{"seeds": 3}], ROWS, "must be an object with a label"),
        ([NAME, NAME], ROWS, "summary.json names 2 curves '512, VPG'"),
        ([*CURVES, {"label": "third"}], ROWS, "curves.csv has no rows of 'third'"),
        (CURVES[:1], ROWS, "curves.csv has rows of '512, VPG + JSAE', which summary.json does"),
        (
            [{**CURVES[0], "random_return": "low"}, CURVES[1]],
            ROWS,
            "random_return must be a number, got 'low'",
        ),
        (CURVES, "", "curves.csv has no column label"),
        (CURVES, "label,seed,samples\n", "curves.csv has no column return_mean"),
        (CURVES, ROWS.splitlines()[0], "curves.csv has no rows of '512, VPG'"),
        (CURVES, ROWS + "x,1\n", "curves.csv line 7 must have 4 columns, got 2"),
        (CURVES, ROWS + "x,1,2.5,1\n", "line 7: samples must be a whole number, got '2.5'"),
        (CURVES, ROWS + "x,1,2,high\n", "line 7: return_mean must be a number, got 'high'"),
        (CURVES, ROWS + '"512, VPG",1,40,1\n', "seed 1 has 3 evaluations up to 40"),
        (CURVES, ROWS + '"512, VPG",1,30,1\n', "'512, VPG': seed 1 has two rows for 30 "),
    ],
)
def test_damaged_panels_are_refused(tmp_path: Path, curves: Any, rows: str, said: str) -> None:
    write_panel(tmp_path, curves, rows)
    with pytest.raises(EmbrlError) as error:
        read_panel(tmp_path)
    assert said in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    path = write_panel(tmp_path)
    (path / "curves.csv").write_bytes(b"label\xff\xfe")
    with pytest.raises(EmbrlError, match=r"curves\.csv is damaged"):
        read_curves([path])
    (path / "curves.csv").unlink()
    with pytest.raises(EmbrlError, match=r"curves\.csv is missing"):
        read_curves([path])
    write_panel(path)
    (path / "summary.json").write_text('{"curves": ')
    with pytest.raises(EmbrlError, match=r"summary\.json is damaged"):
        read_curves([path])
    (path / "summary.json").unlink()
    with pytest.raises(EmbrlError, match=r"summary\.json is missing"):
        read_curves([path])


def curve(label: str, folder: str) -> Curve:
    return Curve(label, np.array([1.0]), np.array([[1.0]]), folder=folder)


JSAE, NONE, PPO = curve("VPG + JSAE", "jsae"), curve("VPG", "none"), curve("PPO + JSAE", "ppo")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("VPG", NONE),
        ("vpg", NONE),
        ("none", NONE),
        ("jsae", JSAE),
        ("ppo +", PPO),
        ("vpg + j", JSAE),
    ],
)
def test_a_baseline_by_label_folder_or_part(name: str, expected: Curve) -> None:
    assert find_baseline([JSAE, NONE, PPO], name) is expected


def test_without_a_name_the_first_of_two() -> None:
    assert find_baseline([JSAE, NONE], None) is JSAE
    assert find_baseline([JSAE, NONE, PPO], None) is None
    assert find_baseline([JSAE], None) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("+ jsae", "got '+ jsae', which matches 2: 'VPG + JSAE', 'PPO + JSAE'"),
        ("JSEA", "curves 'VPG + JSAE', 'VPG', 'PPO + JSAE', got 'JSEA'"),
        ("", "got ''"),
    ],
)
def test_a_baseline_that_is_none(name: str, said: str) -> None:
    with pytest.raises(EmbrlError) as error:
        find_baseline([JSAE, NONE, PPO], name)
    assert said in str(error.value)
