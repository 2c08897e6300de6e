"""Atomic writes: the old file or the new one, whatever happens in between."""

import json

import numpy as np
import pytest

from embrl.core.errors import EmbrlError
from embrl.storage.files import read_json, replacing, replacing_folder, write_json, write_text


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "notes.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:  # noqa: PT012
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    with replacing(path) as file:
        file.write("séance".encode())
        assert path.read_text() == "old"
    assert path.read_text() == "séance"
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "made"
    for content in ("one", "two"):
        with replacing_folder(path) as folder:
            (folder / content).touch()
        assert [each.name for each in path.iterdir()] == [content]
    with pytest.raises(ZeroDivisionError), replacing_folder(path) as folder:  # noqa: PT012
        (folder / "three").touch()
        raise ZeroDivisionError
    assert [each.name for each in path.iterdir()] == ["two"]
    assert [each.name for each in tmp_path.iterdir()] == ["made"]


def test_floats_are_read_back_bit_for_bit(tmp_path):
    values = np.random.default_rng(0).normal(size=50).tolist()
    write_json(tmp_path / "values.json", {"values": values})
    assert read_json(tmp_path / "values.json") == {"values": values}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "values.json", {"values": float("nan")})
    assert read_json(tmp_path / "values.json") == {"values": values}


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "3"])
def test_damaged_json_is_named(tmp_path, text):
    path = tmp_path / "values.json"
    path.write_text(text)
    with pytest.raises(EmbrlError, match=r"values\.json is damaged"):
        read_json(path)
    with pytest.raises(EmbrlError, match=r"other\.json is missing"):
        read_json(tmp_path / "other.json")
    path.write_text(json.dumps({"a": 1}))
    assert read_json(path) == {"a": 1}
