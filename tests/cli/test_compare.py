"""`embrl compare` from end to end, on a panel and a run written by hand."""

import csv
import json
from pathlib import Path

import pytest

from embrl.cli import main
from embrl.storage.run_folder import COLUMNS, RunFolder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """A panel of two curves and a run of a third, on the same environment."""
    panel = tmp_path / "fig3"
    panel.mkdir()
    curves = [
        {"label": label, "env": "gridworld", "random_return": -1.0, "best_known_return": 0.9}
        for label in ("VPG", "VPG + RA")
    ]
    (panel / "summary.json").write_text(json.dumps({"figure": "3", "curves": curves}))
    rows = [
        f"{label},{seed},{samples},{gain * samples / 100 + 0.01 * seed}"
        for label, gain in [("VPG", 0.2), ("VPG + RA", 0.5)]
        for seed in range(4)
        for samples in (50, 100)
    ]
    (panel / "curves.csv").write_text("\n".join(["label,seed,samples,return_mean", *rows]) + "\n")
    run = RunFolder(tmp_path / "mine")
    run.write_config({"environment": "gridworld", "method": "jsae", "algorithm": "ppo"})
    run.write_metrics(
        [
            dict.fromkeys(COLUMNS, 0) | {"seed": seed, "timesteps": samples, "return_mean": 0.8}
            for seed in range(4)
            for samples in (20, 100)
        ]
    )
    run.write_summary({"random_return": -1.0, "best_known_return": 0.9})
    return str(panel), str(run.path)


def test_a_panel_and_a_run_against_a_baseline(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = tmp_path / "out"
    assert main(["compare", *folders, "--baseline", "VPG", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "against VPG" in said
    names = ["table.md", "table.csv", "curves.png", "seeds.png"]
    assert said.splitlines()[-4:] == [str(out / name) for name in names]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    with (out / "table.csv").open() as file:
        plain, ra, mine = csv.DictReader(file)
    assert [row["label"] for row in (plain, ra, mine)] == ["VPG", "VPG + RA", "PPO + JSAE"]
    assert plain["final_difference"] == ""
    assert float(ra["final_difference"]) == pytest.approx(0.3)
    assert float(mine["improvement"]) == 1.0
    # From -1 to .8 in 20 samples, then .8 for 80.
    assert float(mine["auc"]) == pytest.approx((-0.1 * 20 + 0.8 * 80) / 100)
    assert "| PPO + JSAE | +0.585" in (out / "table.md").read_text()


def test_of_two_the_first_is_the_baseline(folders, capsys):
    assert main(["compare", folders[0]]) == 0
    assert "against VPG" in capsys.readouterr().out


def test_of_three_none_is(folders, capsys):
    assert main(["compare", *folders]) == 0
    assert "against" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vp", "baseline must match one curve, got 'vp', which matches 2: 'VPG', 'VPG + RA'"),
        ("VPG + AR", "got 'VPG + AR'"),
    ],
)
def test_a_baseline_that_does_not_fit_is_one_line(folders, capsys, name, said):
    assert main(["compare", *folders, "--baseline", name]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_a_damaged_panel_is_one_line(folders, capsys):
    (Path(folders[0]) / "curves.csv").write_text("label,seed\n")
    assert main(["compare", *folders]) == 2
    err = capsys.readouterr().err
    assert "curves.csv has no column samples" in err
    assert err.count("\n") == 1
