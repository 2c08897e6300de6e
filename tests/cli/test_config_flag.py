"""`embrl train --config`: the settings of another run, with flags on top."""

import dataclasses
import json
from pathlib import Path

import pytest

from embrl.cli import main
from embrl.cli.flags import configured
from embrl.config.run import as_json, load_config
from embrl.storage.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("quick")

FLAGS = [
    *("--env.actuators", "5", "--algorithm", "sac", "--decoder.kind", "wolpertinger"),
    *("--decoder.k", "4", "--objectives", "forward", "1", "reward", "0.5", "--seed", "7"),
    *("--policy.hidden", "32", "--total-timesteps", "50000"),
]


@pytest.fixture
def run(tmp_path):
    """A run folder without results, and its configuration."""
    config, _ = configured("gridworld", FLAGS, "train")
    RunFolder(tmp_path / "run").write_config(as_json(config))
    return tmp_path / "run", config


def test_the_configuration_is_that_of_the_other_run(run, tmp_path):
    folder, config = run
    copy = tmp_path / "mine.json"
    copy.write_text((folder / "config.json").read_text())
    assert config == load_config(RunFolder(folder))
    for place in (folder, folder / "config.json", copy):
        found, _ = configured(None, ["--config", str(place)], "train")
        assert found == config
        found, _ = configured("gridworld", [f"--config={place}"], "train")
        assert found == config


def test_flags_come_on_top(run):
    folder, config = run
    flags = ["--seeds", "10", "--env.bins", "20", "--sac.tau", "0.1", "--out", "NEW"]
    found, own = configured(None, ["--config", str(folder), *flags], "train")
    assert found == dataclasses.replace(
        config,
        seeds=10,
        env=dataclasses.replace(config.env, bins=20),  # type: ignore[type-var]
        hyperparameters=dataclasses.replace(config.hyperparameters, tau=0.1),  # type: ignore[type-var]
    )
    assert own.out == Path("NEW")


def test_its_help_has_its_settings_as_defaults(capsys, run):
    assert main(["train", "--config", str(run[0]), "--help"]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "there are 2^n actions. (default: 5)" in said
    assert "--sac.gamma" in said


@pytest.mark.parametrize(
    ("environment", "flags", "said"),
    [
        (["slot_machine"], [], "ENV must be gridworld"),
        ([], ["--method", "ra"], "--method must be jsae"),
        ([], ["--algorithm", "ppo"], "--algorithm must be sac"),
        ([], ["--settings", "tuned"], "--settings must be left out with --config"),
        ([], ["--ppo.gamma", "0.9"], "ppo.gamma must be left out with algorithm sac"),
        ([], ["--env.actuatorz", "3"], "did you mean --env.actuators"),
    ],
)
def test_what_contradicts_it_is_refused(capsys, run, environment, flags, said):
    assert main(["train", *environment, "--config", str(run[0]), *flags]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1


def test_files_that_are_no_configuration_are_refused(capsys, run, tmp_path):
    folder, config = run
    assert main(["train", "--config", str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err
    assert main(["train", "--config", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err
    (tmp_path / "part.json").write_text(json.dumps({"environment": "gridworld"}))
    assert main(["train", "--config", str(tmp_path / "part.json")]) == 2
    assert "lacks" in capsys.readouterr().err
    several = dataclasses.replace(config, vary={"policy.std": (0.3, 0.6)})
    RunFolder(folder).write_config(as_json(several))
    assert main(["train", "--config", str(folder)]) == 2
    assert "part of a sweep" in capsys.readouterr().err
