import dataclasses
import importlib
import json
import sys
from collections import Counter

import numpy as np
import pytest
from tensorboardX.event_file_writer import EventsWriter

from embrl.config.defaults import default_config
from embrl.core.errors import EmbrlError
from embrl.envs import configure
from embrl.fitting.fit import embedding_of_run, fit
from embrl.report import tensorboard_log
from embrl.report.logs import LOGS, make_callbacks
from embrl.report.tensorboard_log import (
    TensorBoardLog,
    points_of_actions,
    points_of_states,
    write_projector,
)
from embrl.training.loop import train

MESSAGES = importlib.import_module("tensorboardX.proto.event_pb2")


def events(folder):
    """All events of a folder, read by their lengths alone."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            found.append(MESSAGES.Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def scalars(folder, tag="evaluation/return_mean"):
    """Step and value of each event with this tag."""
    return [
        (event.step, value.simple_value)
        for event in events(folder)
        for value in event.summary.value
        if value.tag == tag
    ]


@pytest.fixture(scope="module")
def config(tiny):
    return tiny()


@pytest.fixture(scope="module")
def resumed(config, tmp_path_factory):
    """A run that failed and was resumed, and the wall times of its log before."""
    out = tmp_path_factory.mktemp("resumed") / "run"

    def interrupt(progress):
        # Two evaluations after the only checkpoint, which is of the one after pre-training.
        if progress.stage == "training" and progress.done == 1_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            config,
            out,
            on_progress=interrupt,
            save_every=1e9,  # however slow the machine
            callback=make_callbacks("tensorboard"),
        )
    before = {event.step: event.wall_time for event in events(out / "tensorboard/mean")}
    assert [step for step, _ in scalars(out / "tensorboard/mean")] == [600, 800]
    with (next((out / "tensorboard/seed_0").glob("events*"))).open("ab") as file:
        file.write(b"\x40\0\0\0")  # as a process that was killed while it wrote
    callbacks = make_callbacks(["tensorboard", "tensorboard"])
    assert len(callbacks) == 1
    return train(config, out, resume=True, callback=callbacks), before


def test_a_resumed_run_has_each_evaluation_once(resumed):
    folder, _ = resumed
    returns = folder.metrics()["return_mean"].reshape(-1, 2)
    steps = [600, 800, 1000, 1200]
    for name, values in (
        ("seed_0", returns[:, 0]),
        ("seed_1", returns[:, 1]),
        ("mean", returns.mean(axis=1)),
    ):
        found = scalars(folder.path / "tensorboard" / name)
        assert [step for step, _ in found] == steps
        np.testing.assert_allclose([value for _, value in found], values, rtol=1e-6)


def test_evaluations_keep_their_time_when_a_run_is_resumed(resumed):
    folder, before = resumed
    after = {event.step: event.wall_time for event in events(folder.path / "tensorboard/mean")}
    assert after[600] == before[600]
    assert after[800] > before[800]  # it was taken again, as there was no checkpoint of it


def test_an_open_tensorboard_is_told_to_forget_the_older_file(resumed):
    first, second, *_ = events(resumed[0].path / "tensorboard/mean")
    assert first.file_version == "brain.Event:2"
    assert second.session_log.status == MESSAGES.SessionLog.START


def test_every_metric_is_logged_in_its_group(resumed):
    folder, _ = resumed
    columns = folder.metrics().keys() - {"seed", "timesteps", "episodes"}
    tags = Counter(
        value.tag
        for event in events(folder.path / "tensorboard/seed_0")
        for value in event.summary.value
    )
    assert {tag.partition("/")[2] for tag in tags} == columns
    assert tags["evaluation/greedy_return_mean"] == 4
    assert tags["learning/actor_loss"] == tags["embedding/surprise"] == 3  # nothing before learning


def test_the_configuration_is_there_as_text(resumed, config):
    (text,) = [
        value
        for event in events(resumed[0].path / "tensorboard/mean")
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "text"
    ]
    said = json.loads(text.tensor.string_val[0])
    assert said["environment"] == "gridworld"
    assert said["embedding"]["state_dim"] == config.embedding.state_dim


def test_the_projector_has_the_embedding_of_a_seed_with_what_the_environment_knows(resumed, config):
    folder, _ = resumed
    logged, env = folder.path / "tensorboard/seed_0", config.env.build()
    embedding = embedding_of_run(folder.path, 0)
    states = np.loadtxt(logged / "states.tsv", delimiter="\t")
    np.testing.assert_allclose(states, embedding.phi(np.arange(100)), rtol=1e-5)
    actions = np.loadtxt(logged / "actions.tsv", delimiter="\t")
    np.testing.assert_allclose(actions, embedding.g(np.arange(8)), rtol=1e-5)
    header, *rows = (logged / "states-labels.tsv").read_text().splitlines()
    assert header.split("\t") == ["state", "x", "y"]
    places = np.array([row.split("\t")[1:] for row in rows], float)
    np.testing.assert_allclose(places, env.state_coordinates(np.arange(100)), rtol=1e-5)
    header, *rows = (logged / "actions-labels.tsv").read_text().splitlines()
    assert header.split("\t") == ["action", "effect_1", "effect_2"]
    effects, known = np.array([row.split("\t")[1:] for row in rows], float), env.action_effects()
    np.testing.assert_allclose(effects, np.asarray(known), rtol=1e-5, atol=1e-6)
    said = (logged / "projector_config.pbtxt").read_text()
    for name in ("states.tsv", "states-labels.tsv", "actions.tsv", "actions-labels.tsv"):
        assert f'"{name}"' in said
    assert not (folder.path / "tensorboard/seed_1/projector_config.pbtxt").exists()


def test_records_are_those_of_another_writer(tmp_path, monkeypatch):
    log = TensorBoardLog()
    writer = EventsWriter(str(tmp_path / "events"))
    event = MESSAGES.Event(wall_time=1.5, step=3)
    event.summary.value.add(tag="a", simple_value=0.25)
    event.summary.value.add(tag="b", simple_value=-1.0)
    writer.write_event(event)
    writer.close()
    (path,) = tmp_path.iterdir()
    theirs = path.read_bytes()
    assert theirs.endswith(log._format.scalars({"a": 0.25, "b": -1.0}, 3, 1.5))
    version, found = log._format.read(theirs)
    assert (version.file_version, found) == ("brain.Event:2", event)
    # What is cut off or damaged ends a file, and loses nothing before it.
    assert len(list(log._format.read(theirs[:-1]))) == 1
    damaged = bytearray(theirs)
    damaged[-6] ^= 1
    assert len(list(log._format.read(bytes(damaged)))) == 1


def test_a_run_without_embedding_has_no_projector(config, tmp_path):
    plain = default_config("gridworld", config.env, "none")
    plain = dataclasses.replace(
        plain,
        seeds=1,
        total_timesteps=400,
        rollout=config.rollout,
        evaluation=config.evaluation,
    )
    folder = train(plain, tmp_path / "run", callback=TensorBoardLog())
    log = folder.path / "tensorboard"
    assert [step for step, _ in scalars(log / "seed_0")] == [0, 200, 400]
    assert scalars(log / "mean") == scalars(log / "seed_0")
    assert not list(log.rglob("*.tsv"))


def test_continuous_states_and_actions_are_labelled_with_their_coordinates():
    embedding = fit(
        "Pendulum-v1",
        timesteps=300,
        pretrain={"gradient_steps": 4, "batch_size": 16},
        decoder={"gradient_steps": 4},
        rollout={"num_envs": 4, "steps_per_update": 100, "buffer_size": 1_000},
    )
    env = configure("Pendulum-v1").build()
    states, actions = points_of_states(embedding, env), points_of_actions(embedding, env)
    assert states is not None
    assert actions is not None
    assert list(states.labels) == ["o_1", "o_2", "o_3"]
    assert list(actions.labels) == ["a_1"]
    observations = np.stack(list(states.labels.values()), axis=1)
    np.testing.assert_allclose(states.points, embedding.phi(observations), rtol=1e-5)
    np.testing.assert_allclose(np.abs(observations[:, :2]) <= 1, True)
    values = np.stack(list(actions.labels.values()), axis=1)
    np.testing.assert_allclose(actions.points, embedding.g(values), rtol=1e-5)


def test_the_projector_gets_no_more_points_than_it_shows(resumed, config, monkeypatch):
    monkeypatch.setattr(tensorboard_log, "MAX_PROJECTED", 10)
    embedding = embedding_of_run(resumed[0].path, 0)
    states = points_of_states(embedding, config.env.build())
    assert states is not None
    assert states.labels["state"].tolist() == list(range(0, 100, 10))
    assert len(states.points) == 10


def test_a_single_column_of_labels_has_no_header(tmp_path):
    points = tensorboard_log.ProjectedPoints("a", np.eye(2), {"action": np.arange(2)})
    write_projector(tmp_path, [points])
    assert (tmp_path / "a-labels.tsv").read_text() == "0\n1\n"


def test_what_is_not_installed_is_said_in_one_line_before_training(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(EmbrlError, match=r"pip install 'embrl\[tensorboard\]'") as error:
        make_callbacks("tensorboard")
    assert "\n" not in str(error.value)


def test_an_unknown_log_is_refused_with_the_nearest_name():
    with pytest.raises(EmbrlError, match="did you mean tensorboard"):
        make_callbacks(["tensorbord"])
    assert list(LOGS) == ["tensorboard"]
