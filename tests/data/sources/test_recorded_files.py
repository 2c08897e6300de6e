"""Files and data sets, written here and read back."""

import sys
import zipfile

import numpy as np
import pytest
from gymnasium import spaces

from embrl.core.errors import EmbrlError
from embrl.data.sources import Given, looks_recorded, read

OBSERVATIONS = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
COLUMNS = {
    "observation": OBSERVATIONS,
    "action": np.array([0, 1, 2]),
    "reward": np.array([0.0, 1.0, 2.0]),
    "next_observation": OBSERVATIONS + 2.0,
    "terminated": np.array([False, False, True]),
    "truncated": np.zeros(3, bool),
}


def test_npz(tmp_path):
    np.savez(tmp_path / "log.npz", **COLUMNS, metadata=np.array([1]))
    found = read(tmp_path / "log.npz")
    np.testing.assert_array_equal(found.transitions.observation[:, 0], OBSERVATIONS)
    assert found.name == "log.npz"
    assert found.lacks == ()
    assert looks_recorded(str(tmp_path / "not there.npz"))
    assert not looks_recorded("CartPole-v1")


def test_pickles_and_damage_are_refused(tmp_path):
    np.savez(tmp_path / "pickled.npz", **{**COLUMNS, "action": np.array([{}, {}, {}])})
    with pytest.raises(
        EmbrlError, match=r"pickled.npz: action must be numbers, got Python objects"
    ):
        read(tmp_path / "pickled.npz")
    np.savez(tmp_path / "log.npz", **COLUMNS)
    whole = (tmp_path / "log.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EmbrlError, match=r"half\.npz cannot be read"):
        read(tmp_path / "half.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(EmbrlError, match=r"text\.npz cannot be read"):
        read(tmp_path / "text.npz")
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, OBSERVATIONS)
    with pytest.raises(EmbrlError, match=r"one\.npz holds a single array"):
        read(tmp_path / "one.npz")
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    with pytest.raises(EmbrlError, match="has no column observation"):
        read(tmp_path / "empty.npz")
    with pytest.raises(EmbrlError, match=r"nowhere\.npz does not exist"):
        read(tmp_path / "nowhere.npz")
    (tmp_path / "log.csv").write_text("")
    with pytest.raises(EmbrlError, match=r"source must be a file that ends in .npz, .parquet"):
        read(tmp_path / "log.csv")


def test_parquet_in_lists_and_spread_over_columns(tmp_path):
    polars = pytest.importorskip("polars")
    lists = {name: values.tolist() for name, values in COLUMNS.items()}
    polars.DataFrame(lists).write_parquet(tmp_path / "lists.parquet")
    spread = {
        **{f"observations_{at}": OBSERVATIONS[:, at] for at in range(2)},
        **{f"next_obs_{at}": OBSERVATIONS[:, at] + 2.0 for at in range(2)},
        "action": COLUMNS["action"],
        "rewards": COLUMNS["reward"],
        "terminals": COLUMNS["terminated"],
    }
    polars.DataFrame(spread).write_parquet(tmp_path / "spread.parquet")
    one, two = read(tmp_path / "lists.parquet"), read(tmp_path / "spread.parquet")
    for mine, other in zip(one.transitions, two.transitions, strict=True):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_array_equal(one.transitions.observation[:, 0], OBSERVATIONS)
    assert one.action_space == two.action_space == spaces.Discrete(3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"observation": [[0.0], [1.0, 2.0], [3.0]]},
            "length of observation in row 1 must be 1, .* got 2",
        ),
        ({"action": [0, None, 1]}, "action in row 1 is empty"),
        ({"action": ["a", "b", "c"]}, "action must be numbers, got String"),
        ({"observation_0": [0.0, 1.0, 2.0]}, "has both observation and observation_0"),
    ],
)
def test_parquet_says_what_is_wrong(tmp_path, changes, said):
    polars = pytest.importorskip("polars")
    table = {name: values.tolist() for name, values in COLUMNS.items()} | changes
    polars.DataFrame(table).write_parquet(tmp_path / "log.parquet")
    with pytest.raises(EmbrlError, match=said):
        read(tmp_path / "log.parquet")


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("polars", "log.parquet", r"polars .*pip install 'embrl\[data\]'"),
        ("minari", "minari:a/b-v0", r"minari .*pip install 'embrl\[minari\]'"),
    ],
)
def test_a_missing_package_is_named_with_its_command(monkeypatch, module, source, said):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EmbrlError, match=said):
        read(source)


def test_a_folder_that_is_no_data_set(tmp_path):
    with pytest.raises(EmbrlError, match=r"is not a Minari data set: it has no metadata\.json"):
        read(tmp_path)


@pytest.fixture
def minari_folder(tmp_path, monkeypatch):
    """Two episodes of a data set with composite observations."""
    minari = pytest.importorskip("minari")
    pytest.importorskip("h5py")
    episode = pytest.importorskip("minari.data_collector").EpisodeBuffer
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    space = spaces.Dict({"at": spaces.Discrete(9), "speed": spaces.Discrete(4)})
    episodes = [
        episode(
            id=number,
            observations={"at": list(range(length + 1)), "speed": [1] * (length + 1)},
            actions=[number + 1] * length,
            rewards=[1.0] * length,
            terminations=[False] * (length - 1) + [number == 0],
            truncations=[False] * (length - 1) + [number == 1],
        )
        for number, length in enumerate([3, 5])
    ]
    minari.create_dataset_from_buffers(
        "embrl/test-v0", episodes, observation_space=space, action_space=spaces.Discrete(3, start=1)
    )
    return tmp_path / "embrl" / "test-v0"


@pytest.mark.filterwarnings("ignore")
def test_minari_by_folder_and_by_id(minari_folder):
    one, two = read(minari_folder), read("minari:embrl/test-v0")
    for mine, other in zip(one.transitions, two.transitions, strict=True):
        np.testing.assert_array_equal(mine, other)
    found = one.transitions
    assert one.name == two.name == "embrl/test-v0"
    assert one.observation_space == spaces.MultiDiscrete([9, 4])
    assert one.action_space == spaces.Discrete(3)
    assert found.observation[:, 0, 0].tolist() == [0, 1, 2, 0, 1, 2, 3, 4]
    assert found.next_observation[:, 0, 0].tolist() == [1, 2, 3, 1, 2, 3, 4, 5]
    assert found.action[:, 0].tolist() == [0] * 3 + [1] * 5
    assert np.flatnonzero(found.terminated).tolist() == [2]
    assert np.flatnonzero(found.truncated).tolist() == [7]


@pytest.mark.filterwarnings("ignore")
def test_minari_says_which_step_of_which_episode(minari_folder):
    with pytest.raises(EmbrlError, match="action 2 in step 0 of episode 1 is not in"):
        read(minari_folder, Given(action_space=spaces.Discrete(1, start=1)))
    with pytest.raises(
        EmbrlError, match=r"unknown Minari data set 'embrl/other-v0'; .* embrl/test-v0"
    ):
        read("minari:embrl/other-v0")
