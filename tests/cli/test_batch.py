import json
from typing import Any

import pytest

from embrl.cli import main
from embrl.cli.batch import read_runs
from embrl.core.errors import EmbrlError
from embrl.executors import tasks
from embrl.storage.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("quick")

DEFAULTS = """
[defaults]
environment = "gridworld"
method = "none"
seeds = 2
total_timesteps = 300
policy.hidden = [8]
env = { actuators = 3, bins = 6, step_limit = 10 }
rollout = { steps_per_update = 100, num_envs = 10 }
evaluation = { every = 100, episodes = 2, final_episodes = 2 }
"""


def test_settings_of_a_run_stand_over_the_defaults(tmp_path):
    path = tmp_path / "runs.toml"
    path.write_text(
        DEFAULTS
        + """
[[runs]]
name = "a"
[[runs]]
name = "b"
method = "jsae"
algorithm = "vpg"
env.actuators = 4
vpg.actor_lr = 2e-3
objectives = { forward = 1, reward = 0.5 }
pretrain = { timesteps = 100, gradient-steps = 10 }
"""
    )
    runs: dict[str, Any] = read_runs(path)
    assert list(runs) == ["a", "b"]
    assert (runs["a"].method, runs["a"].env.actuators, runs["a"].policy.hidden) == ("none", 3, (8,))
    b = runs["b"]
    assert (b.method, b.algorithm, b.env.actuators, b.env.bins) == ("jsae", "vpg", 4, 6)
    assert b.hyperparameters.actor_lr == 2e-3
    assert b.objectives == {"forward": 1.0, "reward": 0.5}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "one or more tables"),
        ("runs = 3", "one or more tables"),
        ("x = [", "must be a TOML file"),
        ("seeds = 3\n[[runs]]\nname = 'a'", r"only \[defaults\] and \[\[runs\]\], got seeds"),
        ("[[runs]]\nenvironment = 'gridworld'", "run 1: name must be .*got None"),
        ("[[runs]]\nname = '../a'", "run 1: name must be"),
        ("[[runs]]\nname = 'a'", "run 1: environment must be a name, got None"),
        ("[[runs]]\nname = 'a'\nenvironment = 'gridwrld'", "did you mean gridworld"),
        ("[[runs]]\nname = 'a'\nenvironment = 'gridworld'\nsedes = 3", "unknown flag '--sedes'"),
        ("[[runs]]\nname = 'a'\nenvironment = 'gridworld'\nout = 'x'", "out must be left out"),
        ("[[runs]]\nname = 'a'\nenvironment = 'gridworld'\nseeds = 1979-05-27", "value must be"),
        (
            "[defaults]\nenvironment = 'gridworld'\n[[runs]]\nname = 'a'\n[[runs]]\nname = 'a'",
            "run 2: name must differ",
        ),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "runs.toml"
    path.write_text(content)
    with pytest.raises(EmbrlError, match=said):
        read_runs(path)


def test_a_run_that_fails_is_missing_and_the_rest_goes_on(tmp_path, capsys, monkeypatch):
    path, out = tmp_path / "runs.toml", tmp_path / "out"
    path.write_text(DEFAULTS + "[[runs]]\nname = 'a'\nseed = 1\n[[runs]]\nname = 'b'")
    whole = tasks.KINDS["run"]

    def failing(spec, folder, heard):
        if folder.name == "a":
            raise ZeroDivisionError("of a plugin")
        whole(spec, folder, heard)

    monkeypatch.setitem(tasks.KINDS._entries, "run", failing)
    assert main(["batch", str(path), "--out", str(out), "--retries", "1"]) == 2
    assert "1 of 2 tasks are missing (a: ZeroDivisionError" in capsys.readouterr().err
    found = json.loads((out / "tasks.json").read_text())["tasks"]
    assert [(each["state"], each["attempts"]) for each in found] == [("missing", 2), ("done", 1)]
    monkeypatch.undo()
    assert main(["batch", str(path), "--out", str(out)]) == 0
    assert RunFolder(out / "a").complete
    assert "| a | done |" in (out / "table.md").read_text()
