"""Lines that a folder knows already are not run again."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embrl.config.run import as_json
from embrl.core.errors import EmbrlError
from embrl.papers import reproduce as reproducing
from embrl.papers.panel import Panel, PanelLine
from embrl.papers.reproduce import collect, reproduce
from embrl.papers.results import PanelResult, finished
from embrl.storage.run_folder import RunFolder
from embrl.training.loop import ignore_progress

TIMESTEPS = np.array([0.0, 200.0, 400.0, 600.0])


def result(line: PanelLine, last: float) -> PanelResult:
    returns = np.linspace([-3.0, -2.9], [last, last - 1 / 3], len(TIMESTEPS)).T
    return PanelResult(line, TIMESTEPS, returns, -2.5, 0.96, wall_s=7.0, machine="cpu x 1, 2 cores")


@pytest.fixture(scope="module")
def report(panel: Panel, tmp_path_factory) -> Path:
    """A folder with a report of both lines, and no runs. Copy it before changing anything."""
    results = {line.label: result(line, at / 3) for at, line in enumerate(panel.lines)}
    out = tmp_path_factory.mktemp("report")
    collect(panel, results, {}, out, "embrl reproduce figx")
    return out


@pytest.fixture
def reported(report: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return shutil.copytree(report, tmp_path, dirs_exist_ok=True)


def quietly(*_: Any):
    return ignore_progress


@pytest.fixture
def trained(monkeypatch) -> list[str]:
    """The folders of what would have been trained."""
    names: list[str] = []

    def train(config, out: Path, **_: Any) -> RunFolder:
        names.append(out.name)
        return complete_run(config, out)

    monkeypatch.setattr(reproducing, "train", train)
    return names


def complete_run(config, out: Path) -> RunFolder:
    folder = RunFolder(out)
    folder.write_config(as_json(config))
    folder.write_metrics(
        [
            {"seed": seed, "timesteps": int(timesteps), "episodes": 5, "return_mean": 0.5}
            for seed in range(config.seeds)
            for timesteps in TIMESTEPS
        ]
    )
    known = {"random_return": -2.5, "best_known_return": 0.96, "wall_s": 1.0, "machine": "cpu"}
    folder.write_summary(known)
    return folder


def edit(out: Path, change) -> None:
    summary = json.loads((out / "summary.json").read_text())
    change(summary["curves"])
    (out / "summary.json").write_text(json.dumps(summary))


def test_a_report_without_runs_is_enough(panel, reported, trained):
    files = ("summary.json", "curves.csv", "README.md")
    before = [(reported / name).read_bytes() for name in files]
    reproduce(panel, reported, "embrl reproduce figx", quietly)
    assert trained == []
    assert [(reported / name).read_bytes() for name in files] == before


def test_only_what_the_report_lacks_is_run(panel, reported, trained):
    edit(reported, lambda curves: curves[1].pop("config"))  # a report of an older version
    summary = reproduce(panel, reported, "", quietly)
    assert trained == ["8-ppo-tuned"]
    assert [curve["final_return_mean"] for curve in summary["curves"]] == [
        pytest.approx(-1 / 6),
        0.5,
    ]
    assert [curve["machine"] for curve in summary["curves"]] == ["cpu x 1, 2 cores", "cpu"]
    assert summary["machine"] == "cpu x 1, 2 cores; cpu"


def test_a_curve_that_is_newer_than_its_table_is_not_taken(panel, reported, trained):
    text = (reported / "curves.csv").read_text()
    (reported / "curves.csv").write_text(text.replace("8 VPG,1,600,-", "8 VPG,1,600,"))
    reproduce(panel, reported, "", quietly)
    assert trained == ["8-vpg"]


def test_a_part_of_the_lines_leaves_the_rest_of_the_report(panel, reported, trained):
    edit(reported, lambda curves: curves[0].pop("config"))
    summary = reproduce(panel, reported, "embrl reproduce figx", quietly, {"8 VPG"})
    assert trained == ["8-vpg"]
    assert [curve["label"] for curve in summary["curves"]] == ["8 VPG", "8 PPO (tuned)"]
    assert len(summary["claims"]) == 2
    assert summary["command"] == "embrl reproduce figx"


def test_a_part_of_the_lines_alone_in_a_new_folder(panel, tmp_path, trained):
    summary = reproduce(panel, tmp_path / "new", "embrl reproduce figx", quietly, {"8 PPO (tuned)"})
    assert trained == ["8-ppo-tuned"]
    assert [curve["label"] for curve in summary["curves"]] == ["8 PPO (tuned)"]
    assert summary["claims"] == []
    assert summary["command"] == "embrl reproduce figx --lines '8 PPO (tuned)'"


def test_a_complete_run_comes_before_the_report(panel, reported):
    complete_run(panel.lines[0].config, reported / "runs/8-vpg")
    found = finished(panel, reported)
    assert found["8 VPG"].final_return.tolist() == [0.5, 0.5]
    assert found["8 PPO (tuned)"].final_return.tolist() == [1 / 3, 0.0]


def test_a_run_that_is_not_complete_is_not_finished(panel, reported):
    complete_run(panel.lines[0].config, reported / "runs/8-vpg")
    (reported / "runs/8-vpg/summary.json").unlink()
    assert list(finished(panel, reported)) == ["8 PPO (tuned)"]


def test_what_a_line_begins_with_is_run_if_the_line_is(panel, reported, trained):
    """Its report is not enough: the line takes over its embedding."""
    old, new = panel.lines
    panel = dataclasses.replace(panel, lines=(old, dataclasses.replace(new, source=old.label)))
    reproduce(panel, reported, "", quietly)
    assert trained == []
    edit(reported, lambda curves: curves[1].pop("config"))
    reproduce(panel, reported, "", quietly)
    assert trained == ["8-vpg", "8-ppo-tuned"]
    begun = {run.name: RunFolder(run).config() for run in (reported / "runs").iterdir()}
    assert {name: config["transfer"]["run"] for name, config in begun.items()} == {
        "8-vpg": "",
        "8-ppo-tuned": str(reported / "runs/8-vpg"),
    }
    # The second run knows which run it began with; the panel does not, and takes it all the same.
    shutil.move(reported / "runs", reported / "elsewhere/runs")
    assert finished(panel, reported / "elsewhere").keys() == {"8 VPG", "8 PPO (tuned)"}


@pytest.mark.parametrize("asked", ["8 VPG", "8 PPO (tuned)"])
def test_a_report_of_other_settings_is_not_replaced(panel, reported, trained, asked):
    line = panel.lines[0]
    other = dataclasses.replace(line.config, seeds=3)
    panel = dataclasses.replace(
        panel, lines=(dataclasses.replace(line, config=other), *panel.lines[1:])
    )
    before = (reported / "summary.json").read_bytes()
    with pytest.raises(
        EmbrlError,
        match=r"summary.json, '8 VPG' was run with other settings .*--out.*seeds is 2.* 3 ",
    ):
        reproduce(panel, reported, "", quietly, {asked})
    assert trained == []
    assert (reported / "summary.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda curve: curve["config"].update(seeds="ten"), "seeds is damaged"),
        (lambda curve: curve["config"].update(colour="red"), "unknown entries colour"),
        (lambda curve: curve.pop("random_return"), "is damaged: 'random_return'"),
        (lambda curve: curve.update(wall_s=None), "is damaged"),
    ],
)
def test_damaged_reports_say_what(panel, reported, change, said):
    edit(reported, lambda curves: change(curves[0]))
    with pytest.raises(EmbrlError, match=said) as error:
        finished(panel, reported)
    assert "'8 VPG'" in str(error.value)
    assert "\n" not in str(error.value)
