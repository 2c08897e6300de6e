"""Parallel sentences as words of two vocabularies: numbers that are spelled, or a user's file."""

import dataclasses
import functools
import hashlib
import re
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from embrl.core.errors import EmbrlError, require
from embrl.storage.files import as_path
from embrl.text.tables import read_rows

LANGUAGES = {"en": "English", "fr": "French", "es": "Spanish"}
"""Languages that separate the words of a number. Others write compounds (German, Italian)."""

NUMBERS = 10_000
"""Numbers from 0 to one less."""

HELD_OUT_EVERY = 5
"""One sentence of this many, at random, is held out."""

COLUMNS = ("source", "target")
"""Columns of a file of sentences."""

END = 0
"""Index of the end of a sentence, and of places after it."""


@dataclasses.dataclass(frozen=True)
class Parallel:
    """Sentences with the same meaning in two languages; word 0 is the end."""

    source_words: tuple[str, ...]
    target_words: tuple[str, ...]
    source: Int[np.ndarray, "sentences source_length"]
    target: Int[np.ndarray, "sentences target_length"]
    """The last word of each row is an end."""
    held_out: Bool[np.ndarray, " sentences"]
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    """Checksums of what was read, by path."""

    def notes(self) -> tuple[str, ...]:
        """Return what was read, in a line (`embrl.envs.environment.EnvironmentData`)."""
        return (f"{len(self.source):,} pairs of sentences from {', '.join(self.files)}",)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"files": self.files, "sentences": len(self.source)}

    def text(self, words: Any) -> str:
        """Return the sentence that words of the target make, up to its end."""
        kept = []
        for word in np.asarray(words).tolist():
            if word == END:
                break
            kept.append(self.target_words[word])
        return " ".join(kept)

    def source_text(self, words: Any) -> str:
        """Return the sentence that words of the source make."""
        return " ".join(self.source_words[word] for word in np.asarray(words) if word != END)


@functools.lru_cache(maxsize=8)
def spelled_numbers(pair: str) -> Parallel:
    """Return the numbers of a pair of languages, such as `en-fr`.

    Hyphens count as spaces, as in `quatre-vingt-dix`.

    Raises:
        EmbrlError: the pair is unknown, or num2words is not installed.
    """
    first, dash, second = pair.partition("-")
    if not dash or first not in LANGUAGES or second not in LANGUAGES or first == second:
        raise EmbrlError(
            f"env.pair must be two different ones of {', '.join(LANGUAGES)}, as en-fr, got {pair!r}"
        )
    spell = require("num2words", "translation").num2words
    source, target = (
        [spell(number, lang=language).replace(",", "") for number in range(NUMBERS)]
        for language in (first, second)
    )
    return _parallel(source, target, {})


def read_parallel(data: str) -> Parallel:
    """Return the sentences of a CSV file with columns source and target.

    Raises:
        EmbrlError: the file is bad; the message names the row.
    """
    path = as_path(data)
    sentences: tuple[list[str], list[str]] = ([], [])
    for row in read_rows(path, COLUMNS, "env.data"):
        for name, column in zip(COLUMNS, sentences, strict=True):
            text = row.cells[name]
            if not text.strip():
                raise EmbrlError(
                    f"env.data {path} must have a {name} in each row, got none in row "
                    f"{row.number}; fill it in, or leave the row out"
                )
            column.append(text)
    if len(sentences[0]) < HELD_OUT_EVERY:
        raise EmbrlError(
            f"env.data {path} must have at least {HELD_OUT_EVERY} rows, got {len(sentences[0])}"
        )
    return _parallel(*sentences, {data: hashlib.sha256(path.read_bytes()).hexdigest()})


def _parallel(source: list[str], target: list[str], read: dict[str, str]) -> Parallel:
    source_words, rows = _words(source)
    target_words, wanted = _words(target)
    ends = np.zeros((len(wanted), 1), np.int32)
    order = np.random.default_rng(0).permutation(len(rows))
    held_out = np.zeros(len(rows), bool)
    held_out[order[::HELD_OUT_EVERY]] = True
    return Parallel(source_words, target_words, rows, np.append(wanted, ends, 1), held_out, read)


def _words(texts: list[str]) -> tuple[tuple[str, ...], Int[np.ndarray, "sentences length"]]:
    sentences = [[word for word in re.split(r"[\s-]+", text) if word] for text in texts]
    words = ("", *sorted({word for sentence in sentences for word in sentence}))
    places = {word: at for at, word in enumerate(words)}
    rows = np.full((len(texts), max(map(len, sentences))), END, np.int32)
    for row, sentence in zip(rows, sentences, strict=True):
        row[: len(sentence)] = [places[word] for word in sentence]
    return words, rows
