"""Runs that go on to more samples than they were begun with."""

import dataclasses
import shutil

import numpy as np
import pytest

from embrl.cli.main import main
from embrl.config.run import as_json
from embrl.core.errors import EmbrlError
from embrl.embedding.quality import PROBED_AGAIN
from embrl.storage.run_folder import FORMAT
from embrl.training.loop import train

pytestmark = pytest.mark.usefixtures("quick")


def to(config, samples, **update):
    online = {"every": 1, "gradient_steps": 2} | update
    update = dataclasses.replace(config.online, **online)
    return dataclasses.replace(config, total_timesteps=samples, online=update)


@pytest.fixture(scope="module")
def short(tiny, tmp_path_factory):
    """A complete run that ends between two evaluations. Copy it before changing anything."""
    return train(to(tiny(), 900), tmp_path_factory.mktemp("short") / "run")


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def learned(folder):
    return next(folder.path.glob("checkpoint/*/state.safetensors")).read_bytes()


def test_a_complete_run_goes_on_to_what_a_longer_one_had_learned(tiny, short, tmp_path):
    whole = train(to(tiny(), 1_200), tmp_path / "whole")
    copy = shutil.copytree(short.path, tmp_path / "run")
    assert main(["train", "--resume", "--total-timesteps", "1200", "--out", str(copy)]) == 0
    folder = type(short)(copy)
    assert learned(folder) == learned(whole)
    # Where it was to end it had an evaluation more; then it goes back to the grid.
    samples = folder.metrics()["timesteps"].reshape(-1, 2)[:, 0]
    assert samples.tolist() == [600, 800, 900, 1_000, 1_200]
    assert whole.metrics()["timesteps"].reshape(-1, 2)[:, 0].tolist() == [600, 800, 1_000, 1_200]
    for name in ("return_mean", "actor_loss"):
        mine, its = (run.metrics()[name].reshape(-1, 2) for run in (folder, whole))
        np.testing.assert_array_equal(np.delete(mine, 2, 0)[[0, 1, 3]], its[[0, 1, 3]])
    for mine, its in zip(folder.quality(), whole.quality(), strict=True):
        assert mine[PROBED_AGAIN] == its[PROBED_AGAIN]
        assert its[PROBED_AGAIN].keys() >= {"x", "y"}
    assert folder.config() == whole.config()
    assert folder.summary()["timesteps"] == 1_200
    assert folder.summary()["final_return_per_seed"] == whole.summary()["final_return_per_seed"]


def test_going_on_to_no_more_than_was_taken_is_refused(tiny, short):
    before = files(short.path)
    with pytest.raises(EmbrlError, match=r"total_timesteps must be greater than 900.*got 800"):
        train(to(tiny(), 800), short.path, resume=True)
    assert files(short.path) == before


def test_a_run_under_way_may_end_sooner(tiny, tmp_path):
    def interrupt(progress):
        if progress.stage == "training":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(to(tiny(), 1_200), tmp_path, on_progress=interrupt, save_every=0.0)
    folder = train(to(tiny(), 900), tmp_path, resume=True)
    assert folder.summary()["timesteps"] == folder.config()["total_timesteps"] == 900
    assert folder.metrics()["episodes"].tolist()[-2:] == [10, 10]


@pytest.mark.parametrize(
    ("update", "why"),
    [
        ({"every": 1, "schedule": "linear"}, "online.schedule linear"),
        ({"every": 1, "until": 0.5}, "online.until 0.5"),
    ],
)
def test_what_was_set_for_the_end_of_a_run_does_not_go_past_it(tiny, short, tmp_path, update, why):
    copy = shutil.copytree(short.path, tmp_path / "run")
    config = to(tiny(), 900, **update)
    type(short)(copy).write_config({"format": FORMAT, **as_json(config)})
    before = files(copy)
    with pytest.raises(EmbrlError, match=f"2,000 timesteps: {why}.*900"):
        train(dataclasses.replace(config, total_timesteps=2_000), copy, resume=True)
    assert files(copy) == before


def test_a_damaged_checkpoint_leaves_the_complete_run_as_it_is(tiny, short, tmp_path):
    copy = shutil.copytree(short.path, tmp_path / "run")
    state = next(copy.glob("checkpoint/*/state.safetensors"))
    state.write_bytes(state.read_bytes()[:-100])
    before = files(copy)
    with pytest.raises(EmbrlError, match="is damaged"):
        train(to(tiny(), 1_200), copy, resume=True)
    assert files(copy) == before
