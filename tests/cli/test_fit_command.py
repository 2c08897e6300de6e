"""`embrl fit` and `embrl inspect` of what it leaves."""

import json

import numpy as np
import pytest

from embrl.cli import main

STEPS = {
    "observations": np.arange(40) % 7,
    "actions": np.arange(40) % 3,
    "rewards": np.zeros(40),
    "next_observations": (np.arange(40) + 1) % 7,
    "terminals": np.zeros(40, bool),
}
FEW = ["--pretrain.gradient-steps", "5", "--pretrain.batch-size", "8"]


@pytest.fixture
def log(tmp_path):
    np.savez(tmp_path / "log.npz", **STEPS)
    return str(tmp_path / "log.npz")


def error_of(capsys, *arguments: str) -> str:
    assert main(["fit", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("embrl: ")
    assert err.count("\n") == 1, err
    return err


def test_a_file_becomes_a_folder_that_inspect_reads_and_draws(capsys, log, tmp_path):
    out = tmp_path / "embedding"
    flags = ["--actions", "5", "--embedding.state-dim", "3", "--out", str(out), *FEW]
    assert main(["fit", log, *flags]) == 0
    said = capsys.readouterr().out
    assert "jsae on log.npz, 40 transitions, Discrete(7), Discrete(5)" in said
    assert "loss on held-out transitions" in said
    manifest = json.loads((out / "embedding.json").read_text())
    assert manifest["action_space"] == {"kind": "Discrete", "sizes": [5]}
    assert manifest["settings"]["embedding"]["state_dim"] == 3
    assert manifest["settings"]["pretrain"]["timesteps"] == 40
    assert main(["inspect", str(out)]) == 0
    assert "After the fit" in capsys.readouterr().out
    assert (out / "figures" / "embedding.png").stat().st_size > 10_000
    assert "already holds an embedding" in error_of(capsys, log, "--out", str(out))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--actions", "2"], "log.npz: action 2 in row 2 is not in Discrete(2)"),
        (["--states", "6"], "observation 6 in row 6 is not in Discrete(6)"),
        (["--actions", "few"], "--actions must be a whole number from 1, got few"),
        (["--spaces", "CartPole-v1"], "must be [4], as in Box"),
        (["--spaces", "CartPole-v1", "--actions", "2"], "--spaces excludes --states and --actions"),
        (["--method", "jsea"], "unknown method 'jsea': did you mean jsae?"),
        (["--method", "none"], "method none has no embedding to fit"),
        (["--pretrain.timesteps", "41"], "got 41"),
        (["--pretrain.timesteps", "many"], "--pretrain.timesteps"),
        (["--objectives", "fame", "1"], "unknown objective 'fame'"),
        (["--rollout.num-envs", "3"], "--rollout.num-envs"),
    ],
)
def test_wrong_flags_are_named(capsys, log, tmp_path, flags, said):
    assert said in error_of(capsys, log, "--out", str(tmp_path / "out"), *flags)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "SOURCE must be an environment"),
        (["gridwrold"], "did you mean gridworld"),
        (["nowhere.npz"], "nowhere.npz does not exist"),
        (["gridworld", "--policy", "nowhere"], "nowhere is not a run folder"),
        (["CartPole-v1", "--policy", "nowhere"], "nowhere is not a run folder"),
        (["gridworld", "--env.actuators", "0"], "env.actuators"),
        (["--from-run", "nowhere", "--out", "there"], "nowhere is not a run folder"),
    ],
)
def test_wrong_sources_are_named(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert said in error_of(capsys, *arguments)


def test_inspect_of_a_damaged_folder_says_so(capsys, tmp_path):
    (tmp_path / "embedding.json").write_text(json.dumps({"format": 9, "kind": "embedding"}))
    assert main(["inspect", str(tmp_path)]) == 2
    assert "format 2, got 9" in capsys.readouterr().err
