import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from run_outcome import outcome

from embrl.core.errors import EmbrlError
from embrl.training import kept_programs
from embrl.training.loop import train


@pytest.fixture(scope="module")
def stopped(tiny, tmp_path_factory):
    """A run interrupted after pre-training. Copy it before changing anything."""
    folder = tmp_path_factory.mktemp("stopped") / "run"

    def interrupt(progress):
        if progress.stage == "training":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny(), folder, on_progress=interrupt, save_every=0.0)
    return folder


def test_the_same_configuration_gives_the_same_run(tiny, trained, tmp_path):
    kept_programs.forget()  # so that it is traced again, too
    again = train(tiny(), tmp_path / "again")
    assert outcome(again.path) == outcome(trained.path)


@pytest.mark.slow
def test_the_same_configuration_without_embedding_gives_the_same_run(tiny, tmp_path):
    first, second = (train(tiny("none"), tmp_path / name) for name in "ab")
    assert outcome(first.path) == outcome(second.path)


@pytest.mark.slow
def test_another_seed_gives_another_run(tiny, tmp_path):
    first = train(tiny(), tmp_path / "a")
    second = train(tiny(seed=1), tmp_path / "b")
    assert outcome(first.path)["metrics"] != outcome(second.path)["metrics"]


def test_samples_count_pretraining_and_stay_within_the_budget(trained):
    metrics = trained.metrics()
    assert metrics["timesteps"].reshape(-1, 2).tolist() == [[s, s] for s in (600, 800, 1000, 1200)]
    assert metrics["episodes"].reshape(-1, 2)[:, 0].tolist() == [5, 5, 5, 10]
    assert metrics["seed"].reshape(-1, 2).tolist() == [[0, 1]] * 4
    assert np.isnan(metrics["actor_loss"][:2]).all()
    assert np.isfinite(metrics["actor_loss"][2:]).all()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["jsae", "none"])
def test_a_run_stopped_at_any_chunk_goes_on_to_the_same_result(tiny, tmp_path, method):
    whole = train(tiny(method), tmp_path / "whole")
    steps: list[int] = []
    train(
        tiny(method), tmp_path / "count", on_progress=lambda progress: steps.append(progress.done)
    )
    # Every other chunk: some are of pre-training, some of the policy.
    for stop in range(0, len(steps), 2):
        folder, seen = tmp_path / f"stopped-{stop}", []

        def interrupt(progress, seen=seen, stop=stop):
            seen.append(progress)
            if len(seen) > stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(tiny(method), folder, on_progress=interrupt, save_every=0.0)
        assert not (folder / "summary.json").exists()
        train(tiny(method), folder, resume=True)
        assert outcome(folder) == outcome(whole.path)


def test_a_run_stopped_in_pretraining_goes_on_to_the_same_result(tiny, trained, tmp_path):
    seen = []

    def interrupt(progress):
        assert progress.stage == "pre-training"
        seen.append(progress)
        if len(seen) > 2:  # what the second showed is saved by then
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny(), tmp_path / "stopped", on_progress=interrupt, save_every=0.0)
    train(tiny(), tmp_path / "stopped", resume=True)
    assert outcome(tmp_path / "stopped") == outcome(trained.path)


@pytest.mark.slow
def test_a_killed_process_leaves_a_run_that_resumes_to_the_same_result(tmp_path):
    flags = [
        *("gridworld", "--env.actuators", "3", "--env.bins", "10", "--seeds", "2"),
        *(
            "--total-timesteps",
            "40000",
            "--pretrain.timesteps",
            "3000",
            "--pretrain.gradient-steps",
            "100",
        ),
        *("--evaluation.every", "1500"),
    ]
    command = [sys.executable, "-m", "embrl", "train", *flags, "--out"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    process = subprocess.Popen([*command, str(tmp_path / "killed")], stdout=subprocess.DEVNULL)
    metrics = tmp_path / "killed" / "metrics.csv"
    for _ in range(2000):
        if metrics.exists() and metrics.read_text().count("\n") > 6:
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "summary.json").exists()
    subprocess.run(
        [sys.executable, "-m", "embrl", "train", "--resume", "--out", str(tmp_path / "killed")],
        check=True,
        capture_output=True,
    )
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")


def test_resuming_a_complete_run_changes_nothing(tiny, trained, tmp_path):
    folder = shutil.copytree(trained.path, tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    train(tiny(), folder, resume=True)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_with_another_run_is_refused_and_left_alone(tiny, trained, tmp_path):
    folder = shutil.copytree(trained.path, tmp_path / "run")
    before = outcome(folder)
    with pytest.raises(EmbrlError, match="already holds a run"):
        train(tiny(), folder)
    with pytest.raises(EmbrlError, match="seeds is 2 there and 3 here"):
        train(_with(tiny(), seeds=3), folder, resume=True)
    assert outcome(folder) == before


def _with(config, **changes):
    return dataclasses.replace(config, **changes)


def test_a_folder_with_something_else_is_refused(tiny, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(EmbrlError, match="not a run folder"):
        train(tiny(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("state.safetensors", lambda data: data[: len(data) // 2], "is damaged"),
        ("state.safetensors", lambda data: data[:-8] + b"\0" * 7 + b"\1", "is damaged"),
        ("manifest.json", lambda data: data[:-20], "is damaged"),
        ("manifest.json", lambda data: data.replace(b'"format": 2', b'"format": 9'), "format 9"),
    ],
)
def test_a_damaged_checkpoint_is_named_in_one_line(tiny, stopped, tmp_path, name, damage, message):
    folder = shutil.copytree(stopped, tmp_path / "run")
    path = next((folder / "checkpoint").glob("[0-9]*")) / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(EmbrlError, match=message) as error:
        train(tiny(), folder, resume=True)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_numbers_that_are_no_longer_finite_stop_the_run_with_the_reason(tiny, tmp_path):
    config = tiny()
    hyper = dataclasses.replace(config.hyperparameters, actor_lr=1e30, std_lr=1e30)
    config = _with(config, hyperparameters=hyper)
    with pytest.raises(EmbrlError, match="not finite"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        (None, {"total_timesteps": 650}, "total_timesteps must be at least 700.*got 650"),
        (None, {"seeds": 0}, "seeds must be .*got 0"),
        (None, {"seed": -1}, "seed must be .*got -1"),
        (None, {"method": "jsea"}, "unknown method 'jsea': did you mean jsae"),
        ("rollout", {"num_envs": 7}, r"rollout.num_envs \(7\), got 100"),
        ("rollout", {"sticky_action_prob": 1.0}, "rollout.sticky_action_prob must be .*got 1.0"),
        ("evaluation", {"every": 150}, "evaluation.every must be .*got 150"),
        ("evaluation", {"final_episodes": 7}, "evaluation.final_episodes must be .*got 7"),
        ("pretrain", {"batch_size": 0}, "pretrain.batch_size must be .*got 0"),
        ("pretrain", {"held_out": 1.0}, "pretrain.held_out must be .*got 1.0"),
        ("embedding", {"action_dim": 0}, "embedding.action_dim must be .*got 0"),
        ("hyperparameters", {"gamma": float("nan")}, "vpg.gamma must be .*got nan"),
    ],
)
def test_settings_that_do_not_fit_are_named(tiny, tmp_path, section, changes, message):
    config = tiny()
    if section is not None:
        changes = {section: dataclasses.replace(getattr(config, section), **changes)}
    with pytest.raises(EmbrlError, match=message):
        train(_with(config, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
