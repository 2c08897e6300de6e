"""`embrl inspect` on run folders written by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from embrl.cli import main
from embrl.core.errors import EmbrlError
from embrl.embedding import saved as fitted
from embrl.embedding.monitor import MEASURES
from embrl.report.inspection import MONITORING, inspect, inspect_embedding, sentences
from embrl.storage.run_folder import FORMAT

CONFIG = {
    "format": FORMAT,
    "environment": "gridworld",
    "method": "jsae",
    "algorithm": "vpg",
    "seeds": 2,
}

REPORT = {
    "held_out_loss": 2.5,
    "next_state_accuracy": 0.34,
    "next_state_r2": None,
    "states_visited": 1552,
    "states_total": 1600,
    "state_pairs_compared": 1000,
    "state_pairs_coinciding": 0,
    "state_pairs_coinciding_wrongly": 0,
    "state_distance_correlation": 0.3,
    "state_feature_probing": {"x": 0.98, "y": 0.97},
    "state_features_lost": [],
    "action_pairs_compared": 100_000,
    "action_pairs_coinciding": 140,
    "action_pairs_coinciding_wrongly": 30,
    "action_pairs_equal": 244,
    "action_distance_equal": 0.04,
    "action_distance_correlation": 0.99,
}
FINE = {
    "fresh_loss": 8.125,
    "reference_loss": 2.5,
    "surprise": 0.005,
    "surprise_fraction": 0.01,
    "unseen_fraction": 0.02,
    "reference_unseen_fraction": 0.01,
    "phi_drift": 0.0,
    "phi_rank": 4.5,
    "g_drift": 0.0,
    "g_rank": 2.0,
    "dead_fraction": 0.0,
    "colliding_fraction": 0.4,
}


def write_run(
    path: Path,
    reports: list[dict[str, Any]] | None,
    measures: list[dict[str, float]] | None,
    **config: Any,
) -> Path:
    """A run whose seeds have these reports, and these measures at their last evaluation."""
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(CONFIG | config))
    if reports is not None:
        seeds = [{"seed": seed, **report} for seed, report in enumerate(reports)]
        (path / "quality.json").write_text(json.dumps({"seeds": seeds}))
    if measures is not None:
        lines = [",".join(("seed", "timesteps", "return_mean", *MEASURES))]
        for timesteps, stale in ((30_000, True), (37_500, True), (45_000, False)):
            for seed, last in enumerate(measures):
                now = last if not stale else dict.fromkeys(last, 0.9)
                now = {} if timesteps == 30_000 else now
                values = [seed, timesteps, -1.0, *(now.get(name, "") for name in MEASURES)]
                lines.append(",".join(map(str, values)))
        (path / "metrics.csv").write_text("\n".join(lines) + "\n")
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["inspect", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def wrong(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["inspect", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("embrl: ")
    assert err.count("\n") == 1
    return err


def test_a_fine_run(capsys, tmp_path):
    out = said(capsys, str(write_run(tmp_path / "run", [REPORT, REPORT], [FINE, FINE])))
    assert "No problems found." in out
    assert "45k environment steps" in out
    rows = {line.split("  ")[0].strip(): line.split() for line in out.splitlines() if line}
    assert rows["loss on new transitions"][-2:] == ["8.12", "8.12"]
    assert rows["states visited"][-3:] == ["0.97", "0.97", "1"]
    assert rows["y recovered from X"][-3:-1] == ["0.97", "0.97"]
    assert rows["action pairs that coincide"][4:6] == ["0.0014", "0.0014"]
    assert "explained" not in out  # no box, so no R^2


def test_a_long_list_of_lost_features_is_cut(tmp_path):
    blind = REPORT | {"state_features_lost": [f"pixel {at}" for at in range(144)]}
    (found,) = sentences(inspect(write_run(tmp_path / "run", [blind], [FINE])))
    assert "lost pixel 0, pixel 1, " in found
    assert "pixel 7 and 136 others: less" in found


def test_features_that_online_updates_brought_back_or_lost(capsys, tmp_path):
    blind = REPORT | {"state_features_lost": ["y", "speed"]}
    later = "state_feature_probing_after_training"
    reports = [blind | {later: {"x": 0.9, "y": 0.31}}, REPORT | {later: {"x": 0.1, "y": 0.9}}]
    run = write_run(tmp_path / "run", reports, [FINE, FINE])
    found = sentences(inspect(run))
    assert len(found) == 3
    assert found[0].startswith("In seed 0, the state embedding has lost speed: ")
    assert "lost y; online updates" in found[1]
    assert found[2].startswith("In seed 1, online updates have lost x: ")
    rows = [line.split() for line in said(capsys, str(run)).splitlines() if "m X  " in line]
    assert [row[0] for row in rows] == ["x", "y", "x", "y"]
    assert rows[2][-3:] == ["0.9", "0.1", "1"]


def test_what_is_wrong_is_said_with_the_seeds(capsys, tmp_path):
    blind = REPORT | {"state_features_lost": ["y", "speed"]}
    crowded = REPORT | {"state_pairs_coinciding_wrongly": 10, "state_pairs_coinciding": 10}
    stale = FINE | {"surprise": 0.4}
    run = write_run(tmp_path / "run", [blind, crowded, REPORT], [stale, stale, stale])
    found = sentences(inspect(run))
    assert len(found) == 3
    assert found[0].startswith("In seed 0, the state embedding has lost y and speed")
    assert found[1].startswith("In seed 1, many different states coincide")
    assert found[2].startswith("In all seeds, ")
    assert "predict" in found[2]
    assert "No problems found" not in said(capsys, str(run))
    [one] = sentences(inspect(run, seed=2))
    assert "predict" in one


def test_only_the_newest_measures_count(tmp_path):
    run = write_run(tmp_path / "run", [REPORT], [FINE])
    assert sentences(inspect(run)) == ["No problems found."]  # it was stale before


def test_many_seeds_are_summed_up(capsys, tmp_path):
    reports = [REPORT | {"held_out_loss": float(loss)} for loss in range(1, 8)]
    out = said(capsys, str(write_run(tmp_path / "run", reports, [FINE] * 7)))
    assert "highest" in out
    [line] = [line for line in out.splitlines() if "loss on held-out transitions" in line]
    assert line.split()[-4:] == ["4", "1", "7", "low"]


def test_pairs_that_nobody_can_judge(tmp_path):
    report = REPORT | {"action_pairs_coinciding": 5000, "action_pairs_coinciding_wrongly": None}
    [found] = sentences(inspect(write_run(tmp_path / "run", [report], [FINE])))
    assert "the environment does not say" in found


def test_runs_of_an_older_version(capsys, tmp_path):
    report = {name: value for name, value in REPORT.items() if "feature" not in name}
    run = write_run(tmp_path / "run", [report, report], None)
    columns = "seed,timesteps,return_mean\n0,30000,-1.0\n1,30000,-1.0\n"
    (run / "metrics.csv").write_text(columns)
    out = said(capsys, str(run))
    assert "No problems found." in out
    assert "older version, which did not test for lost features" in out
    assert "There is no monitoring" in out


def test_an_embedding_from_another_run_has_no_report(capsys, tmp_path):
    out = said(capsys, str(write_run(tmp_path / "run", None, [FINE, FINE])))
    assert "There is no quality.json" in out
    assert "No problems found." in out


def test_a_method_without_an_embedding_says_so(capsys, tmp_path):
    out = said(capsys, str(write_run(tmp_path / "run", None, None, method="none")))
    assert "Method none has no embedding." in out
    assert "No problems found" not in out


def test_bad_input_is_one_line(capsys, tmp_path):
    assert "is not a run folder" in wrong(capsys, str(tmp_path))
    begun = write_run(tmp_path / "begun", None, None)
    assert "has no measures yet" in wrong(capsys, str(begun))
    run = write_run(tmp_path / "run", [REPORT, REPORT], [FINE, FINE])
    assert ", got 2" in wrong(capsys, str(run), "--seed", "2")
    assert "--seed must be from 0 to 1" in wrong(capsys, str(run), "--seed", "-1")
    assert "--seed" in wrong(capsys, str(run), "--seed", "first")
    (run / "quality.json").write_text('{"seeds": [{}]}')
    assert "quality.json is damaged" in wrong(capsys, str(run))
    (run / "quality.json").write_text("{")
    assert "quality.json is damaged" in wrong(capsys, str(run))


def test_there_is_help(capsys):
    assert "usage: embrl inspect" in said(capsys, "--help")


def test_every_measure_is_explained():
    assert MONITORING.keys() == set(MEASURES)


@pytest.mark.parametrize("name", ["seed", "timesteps"])
def test_an_embedding_whose_source_is_damaged_is_named(name, monkeypatch) -> None:
    manifest = {"source": {name: "a" * 5000}, "quality": {}}
    monkeypatch.setattr(fitted, "read_manifest", lambda _: manifest)
    with pytest.raises(
        EmbrlError, match=rf"embedding\.json: source\.{name} must be a whole number"
    ):
        inspect_embedding("some")
