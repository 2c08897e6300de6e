"""The run folder: what is written is read back, and damage is named."""

import json

import numpy as np
import pytest

from embrl.core.errors import EmbrlError
from embrl.storage.run_folder import COLUMNS, FORMAT, RunFolder

ROW = {
    "seed": 0,
    "timesteps": 100,
    "return_mean": 0.1 + 0.2,
    "return_std": 1.0,
    "greedy_return_mean": -2.0,
    "length_mean": 3.5,
    "episodes": 10,
}


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.write_config({"total_timesteps": 100})
    return folder


def test_a_folder_without_a_run_is_refused(tmp_path, folder):
    assert RunFolder.existing(folder.path).holds_run
    with pytest.raises(EmbrlError, match=r"is not a run folder: it has no config\.json"):
        RunFolder.existing(tmp_path)


def test_later_metrics_are_appended_and_an_incomplete_line_is_replaced(folder):
    rows = [ROW, {**ROW, "seed": 1, "entropy": 1 / 3}]
    folder.write_metrics(rows[:1])
    folder.write_metrics(rows)  # with a new column
    path = folder.path / "metrics.csv"
    inode = path.stat().st_ino
    rows += [{**ROW, "seed": 2}, {**ROW, "seed": 3, "entropy": 0.1}]
    folder.write_metrics(rows)
    assert path.stat().st_ino == inode  # the same file, not a new one
    assert folder.metrics()["seed"].tolist() == [0, 1, 2, 3]
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])  # as if killed
    assert folder.metrics()["seed"].tolist() == [0, 1, 2]
    RunFolder(folder.path).write_metrics(rows)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("config", "said"),
    [({}, r"format 1, .* 2; use embrl 0\.1"), ({"format": 9}, "format 9, .* 2; use a newer embrl")],
)
def test_other_formats_are_refused_with_the_version_that_reads_them(folder, config, said):
    (folder.path / "config.json").write_text(json.dumps(config))
    with pytest.raises(EmbrlError, match=rf"config\.json has {said}"):
        folder.config()


def test_a_run_is_complete_with_its_summary_and_open_again_with_another_target(folder):
    assert not folder.complete
    folder.write_summary({"timesteps": 100})
    folder.set_target(100)
    assert folder.complete
    assert folder.summary() == {"timesteps": 100}
    folder.set_target(200)
    assert not folder.complete
    assert folder.config() == {"format": FORMAT, "total_timesteps": 200}


def test_metrics_are_read_back_bit_for_bit(folder):
    later = {**ROW, "seed": 1, "entropy": 1 / 3}
    folder.write_metrics([ROW, later])
    metrics = folder.metrics()
    assert tuple(metrics) == (*COLUMNS, "entropy")
    assert metrics["timesteps"].dtype == np.int64
    assert metrics["return_mean"].tolist() == [0.1 + 0.2] * 2
    np.testing.assert_array_equal(metrics["entropy"], [np.nan, 1 / 3])
    np.testing.assert_array_equal(folder.seed_metrics()["seed"], [0, 1])


def test_points_of_a_sweep_are_no_seeds(folder):
    folder.write_metrics([{**ROW, "point": point} for point in (0, 1, 2)])
    assert folder.metrics()["point"].tolist() == [0, 1, 2]
    with pytest.raises(EmbrlError, match="3 points of a sweep"):
        folder.seed_metrics()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed,timesteps\n", r"metrics\.csv has no rows"),
        ("seed,timesteps\n0\n", "line 2 has 1 columns, expected 2"),
        ("seed,timesteps\n0,many\n", "column timesteps: "),
        ("seed,times\udcffteps\n0,1\n", r"metrics\.csv is damaged: "),
    ],
)
def test_damaged_metrics_are_named(folder, text, said):
    with pytest.raises(EmbrlError, match=r"metrics\.csv is missing"):
        folder.metrics()
    (folder.path / "metrics.csv").write_text(text, errors="surrogateescape")
    with pytest.raises(EmbrlError, match=said):
        folder.metrics()


@pytest.mark.parametrize("text", ["{}", '{"seeds": 3}', '{"seeds": [null]}', "[]"])
def test_damaged_quality_is_named(folder, text):
    (folder.path / "quality.json").write_text(text)
    with pytest.raises(EmbrlError, match=r"quality\.json is damaged") as caught:
        folder.quality()
    (folder.path / "config.json").write_text(f'{{"format": "{"x" * 9000}"}}')
    with pytest.raises(EmbrlError, match=r"has format xx.* \.\.\. ") as caught:
        folder.config()
    assert len(str(caught.value)) < 2000
