"""What a run keeps of its environment, and what it says of data that have changed or moved."""

import dataclasses
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from embrl.config.defaults import default_config
from embrl.config.run import RunConfig, as_json, check_same, load_config
from embrl.core.errors import EmbrlError, EmbrlWarning
from embrl.envs import configure
from embrl.envs.gym import HostEnvironment
from embrl.storage.run_folder import RunFolder
from embrl.training.environment_record import (
    EnvironmentRecord,
    at_kept_paths,
    built,
    check_unchanged,
    environment_of,
    keep_paths,
)

pytestmark = pytest.mark.usefixtures("quick")

ROWS = "user,ts,item,price\n" + "".join(
    f"u{i % 4},2020-01-01 00:{i:02},{item},2\n" for i, item in enumerate("abacabacabacabad")
)


def config(log: Path) -> RunConfig:
    env: Any = configure("recommender", data=str(log), top_items=3)
    return default_config("recommender", env, total_timesteps=5_000)


@pytest.fixture
def run(tmp_path: Path) -> tuple[RunFolder, Path]:
    """A run that has begun, and its log."""
    pytest.importorskip("polars", reason="pip install 'embrl[data]'")
    (tmp_path / "log.csv").write_text(ROWS)
    folder = RunFolder(tmp_path / "run")
    begun = config(tmp_path / "log.csv")
    folder.start({"versions": {}, **as_json(begun)})
    EnvironmentRecord.of(begun.env.build()).write(folder)
    return folder, tmp_path / "log.csv"


def test_names_of_items_and_the_log_s_checksum_are_kept(run):
    folder, log = run
    found = EnvironmentRecord.read(folder)
    assert found.action_names == ("a", "b", "c")
    assert found.data is not None
    assert list(found.data["files"]) == [str(log)]
    assert [len(sum_) for sum_ in found.checksums] == [64]
    assert found.data["columns"]["item"] == "item"
    environment_of(folder, load_config(folder))  # nothing has changed


def test_a_log_with_more_purchases_is_said_and_not_resumed(run):
    folder, log = run
    log.write_text(ROWS + "u1,2020-01-02,a,2\n")
    with pytest.warns(EmbrlWarning, match="log.csv has changed since .*run was trained on it"):
        env = environment_of(folder, load_config(folder))
    with pytest.raises(EmbrlError, match=r"log.csv must be as it was when .*run began"):
        check_unchanged(folder, env, resumed=True)


def test_a_log_in_which_actions_mean_other_items_is_refused(run):
    folder, log = run
    log.write_text(ROWS.replace(",b,", ",x,"))
    with pytest.raises(EmbrlError, match=r"trained on, got others, in which action 1 is x, not b"):
        environment_of(folder, load_config(folder))


def test_a_log_that_has_moved_is_said_and_may_be_named_anew(run):
    folder, log = run
    moved = log.rename(log.with_name("moved.csv"))
    with pytest.raises(EmbrlError, match=r"--resume --env.data FILE"):
        environment_of(folder, load_config(folder))
    with pytest.raises(EmbrlError, match=r"existing file, got .*log.csv$"):
        built(load_config(folder), None)  # a new run has none that could have moved
    wanted, found = config(moved), load_config(folder)
    check_same(at_kept_paths(wanted, found, folder), found, "run holds another run")
    keep_paths(folder, wanted)
    assert environment_of(folder, load_config(folder)).action_names == ("a", "b", "c")
    other = dataclasses.replace(wanted, env=dataclasses.replace(wanted.env, alpha=2.0))  # type: ignore[type-var]
    with pytest.raises(EmbrlError, match="holds another run: env is"):
        check_same(at_kept_paths(other, found, folder), found, "run holds another run")


class Meanings(gymnasium.Env):
    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2, start=1)

    def get_action_meanings(self) -> list[str]:
        return ["NOOP", "FIRE"]


class Named(Meanings):
    action_names = ("left", "right", "too many")


def test_an_environment_of_gymnasiums_may_name_its_actions(tmp_path: Path):
    env = HostEnvironment.of(Meanings)
    assert EnvironmentRecord.of(env) == EnvironmentRecord(("NOOP", "FIRE"))
    assert HostEnvironment.of(Named).action_names is None  # of other actions than it has
    nothing = EnvironmentRecord.of(HostEnvironment.of(lambda: gymnasium.make("CartPole-v1")))
    nothing.write(RunFolder(tmp_path))
    assert not list(tmp_path.iterdir())
    assert EnvironmentRecord.read(RunFolder(tmp_path)) == nothing == EnvironmentRecord()


def test_a_damaged_record_is_named(tmp_path: Path):
    for text in ("{", '{"action_names": [1]}', '{"data": 3}'):
        (tmp_path / "environment.json").write_text(text)
        with pytest.raises(EmbrlError, match=r"environment.json is damaged"):
            EnvironmentRecord.read(RunFolder(tmp_path))
