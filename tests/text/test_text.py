"""Encoders of texts, their cache, and tables of texts."""

import sys

import gymnasium
import numpy as np
import pytest

from embrl.core.errors import EmbrlError, UnknownNameError
from embrl.envs.gym.flat_observations import Observations
from embrl.text import cache, encoders, read_texts, text_vectors


@pytest.fixture
def counted(monkeypatch, tmp_path):
    """An encoder `counted` of two numbers, and the batches that it was asked for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = []

    def encode(texts):
        asked.append(len(texts))
        return [[len(text), text.count("a")] for text in texts]

    def registered(version):
        entry = encoders.OwnTextEncoder("counted", encode, version)
        monkeypatch.setitem(encoders.TEXT_ENCODERS._entries, "counted", entry)
        encoders.text_encoder.cache_clear()

    registered("1")
    yield asked, registered
    encoders.text_encoder.cache_clear()


def test_vectors_are_kept_by_content_and_model(counted):
    asked, registered = counted
    texts = ["banana", ""]
    np.testing.assert_array_equal(text_vectors(texts, "counted"), [[6, 3], [0, 0]])
    before = len(asked)
    text_vectors(texts, "counted")
    assert len(asked) == before
    text_vectors(["banan", "a"], "counted")  # the same letters, other texts
    registered("2")
    text_vectors(texts, "counted")
    assert asked[before:].count(2) == 2


def test_a_damaged_cache_is_made_again(counted):
    asked, _ = counted
    found = text_vectors(["tea", "cake"], "counted")
    path = cache.cache_path(["tea", "cake"], encoders.text_encoder("counted"))
    path.write_bytes(path.read_bytes()[:-3])
    np.testing.assert_array_equal(text_vectors(["tea", "cake"], "counted"), found)
    before = len(asked)
    text_vectors(["tea", "cake"], "counted")
    assert len(asked) == before


def test_a_cache_file_of_another_model_is_made_again(counted):
    asked, registered = counted
    texts = ["tea", "cake"]
    found = text_vectors(texts, "counted")
    path = cache.cache_path(texts, encoders.text_encoder("counted"))
    # Of the same shape and copied to the very place, as by hand.
    registered("2")
    newer = cache.cache_path(texts, encoders.text_encoder("counted"))
    path.replace(newer)
    before = len(asked)
    np.testing.assert_array_equal(text_vectors(texts, "counted"), found)
    assert asked[before:] == [2]


@pytest.mark.parametrize("found", [[[1.0]], [[1.0], [np.nan]], [1.0, 2.0], [["a"], ["b"]]])
def test_what_an_encoder_returns_is_checked(found):
    encoder = encoders.TextEncoder("mine", lambda texts: found, size=1)
    with pytest.raises(EmbrlError, match="text encoder mine"):
        encoder(["one", "two"])


def test_a_model_that_is_not_installed_has_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "wordllama", None)
    encoders.text_encoder.cache_clear()
    with pytest.raises(EmbrlError, match=r"wordllama .*pip install 'embrl\[text\]'"):
        text_vectors(["hello"], "wordllama")
    with pytest.raises(UnknownNameError, match="wordllama"):
        text_vectors(["hello"], "wordlama")


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('text\nhello\n"a, b"\n', ["hello", "a, b"]),
        ("hello\nbye\n", ["hello", "bye"]),
        ("id,text\n1,hello\n2,bye\n", ["hello", "bye"]),
        ("\ufefftext\nhello\n", ["hello"]),
    ],
)
def test_texts_of_a_file(tmp_path, content, texts):
    path = tmp_path / "texts.csv"
    path.write_text(content, encoding="utf-8")
    assert read_texts(path, "texts") == texts


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,words\n1,hello\n", "columns text, got id, words"),
        ("id,text\n1,hello\n2, \n", "got none in 2"),
        ("id,text\n1,hello\n2\n", "row 2"),
        ("", "got no rows"),
    ],
)
def test_what_a_file_of_texts_lacks_is_one_line(tmp_path, content, said):
    path = tmp_path / "texts.csv"
    path.write_text(content)
    with pytest.raises(EmbrlError, match=said):
        read_texts(path, "texts")


def test_an_observation_that_is_text_has_the_vector_of_its_encoder(counted):
    space = gymnasium.spaces.Dict(
        said=gymnasium.spaces.Text(20), at=gymnasium.spaces.Box(0, 1, (1,))
    )
    observations = Observations(space, text_encoder="counted")
    assert observations.space.shape == (3,)
    seen = observations({"said": "banana", "at": np.ones(1, np.float32)})
    assert sorted(seen.tolist()) == [1.0, 3.0, 6.0]
    assert Observations(space).space.shape == (1 + encoders.WORDS,)
