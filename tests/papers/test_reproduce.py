"""A tiny panel from end to end."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embrl.config.run import as_json
from embrl.core.errors import EmbrlError
from embrl.papers.panel import Panel
from embrl.papers.reproduce import reproduce
from embrl.training.loop import Progress, ignore_progress


def quietly(*_: Any):
    return ignore_progress


def lasting(out: Path) -> dict[str, Any]:
    """summary.json without what depends on the clock."""
    summary = json.loads((out / "summary.json").read_text())
    del summary["wall_s"]
    for curve in summary["curves"]:
        del curve["wall_s"]
    return summary


@pytest.mark.slow
def test_an_interrupted_panel_goes_on_to_the_same_summary(panel: Panel, tmp_path: Path) -> None:
    reproduce(panel, tmp_path / "whole", "embrl reproduce figx", quietly)
    seen: list[str] = []

    def watch(line, at, of):
        assert of == 2

        def show(progress: Progress) -> None:
            seen.append(f"{at} {line.label} {progress.done}")
            if len(seen) in (2, 7):  # in the first line, and in the second
                raise KeyboardInterrupt

        return show

    out = tmp_path / "parts"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            reproduce(panel, out, "embrl reproduce figx", watch)
        assert not (out / "summary.json").exists()
    reproduce(panel, out, "embrl reproduce figx", watch)
    assert seen[1].startswith("1 8 VPG")
    assert seen[6].startswith("2 8 PPO (tuned)")

    assert lasting(out) == lasting(tmp_path / "whole")
    assert (out / "curves.csv").read_bytes() == (tmp_path / "whole/curves.csv").read_bytes()
    _check_schema(lasting(out))
    _check_files(out)

    times = len(seen)
    reproduce(panel, out, "embrl reproduce figx", watch)  # complete: nothing is trained again
    assert len(seen) == times
    assert lasting(out) == lasting(tmp_path / "whole")


def _check_schema(summary: dict[str, Any]) -> None:
    assert summary["figure"] == "figx"
    assert summary["deviations"] == ["It is tiny."]
    assert [curve["label"] for curve in summary["curves"]] == [
        "8 VPG",
        "8 PPO (tuned)",
    ]
    for curve in summary["curves"]:
        assert curve["env"] == "gridworld"
        assert curve["seeds"] == len(curve["final_return_per_seed"]) == 2
        assert curve["timesteps"] == 600
        assert curve["budget"] == 650
        for name in ("final_return", "auc", "timesteps_to_half"):
            low, high = curve[f"{name}_ci95"]
            assert low <= curve[f"{name}_mean"] <= high
        assert curve["final_return_worst"] == min(curve["final_return_per_seed"])
        assert np.isfinite([curve["random_return"], curve["best_known_return"]]).all()
    assert [claim["claim"] for claim in summary["claims"]] == ["VPG above PPO", "level"]
    assert summary["claims"][1]["holds"]
    vpg, ppo = summary["curves"]
    assert (vpg["algorithm"], ppo["algorithm"]) == ("vpg", "ppo")
    first = summary["claims"][0]
    assert first["difference"] == pytest.approx(vpg["auc_mean"] - ppo["auc_mean"])
    assert first["holds"] == (first["ci95"][0] > 0)


def _check_files(out: Path) -> None:
    with (out / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["label", "seed", "timesteps", "return_mean"]
    assert {(row["label"], row["seed"]) for row in rows} == {
        (label, seed) for label in ("8 VPG", "8 PPO (tuned)") for seed in "01"
    }
    assert (out / "figx.png").read_bytes().startswith(b"\x89PNG")
    text = (out / "README.md").read_text()
    for part in ("embrl reproduce figx", "figx.png", "VPG above PPO", "It is tiny."):
        assert part in text
    assert str(out) not in text + (out / "summary.json").read_text()
    assert sorted(path.name for path in (out / "runs").iterdir()) == [
        "8-ppo-tuned",
        "8-vpg",
    ]


def test_other_settings_need_another_folder(panel: Panel, tmp_path: Path) -> None:
    line = panel.lines[0]
    other = dataclasses.replace(line.config, seeds=line.config.seeds + 1)
    (tmp_path / "runs/8-vpg").mkdir(parents=True)
    (tmp_path / "runs/8-vpg/config.json").write_text(json.dumps(as_json(other)))
    with pytest.raises(EmbrlError, match="8-vpg holds another run"):
        reproduce(panel, tmp_path, "", quietly)
