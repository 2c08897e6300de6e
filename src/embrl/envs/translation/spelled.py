"""Numbers spelled in two languages, as words of two vocabularies."""

import dataclasses
import functools
import re
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from embrl.core.errors import EmbrlError, require

LANGUAGES = {"en": "English", "fr": "French", "es": "Spanish"}
"""Languages that separate the words of a number. Others write compounds (German, Italian)."""

NUMBERS = 10_000
"""Numbers from 0 to one less."""

HELD_OUT_EVERY = 5
"""One number of this many, at random, is held out."""

END = 0
"""Index of the end of a sentence, and of places after it."""


@dataclasses.dataclass(frozen=True)
class Parallel:
    """Sentences with the same meaning in two languages; word 0 is the end."""

    source_words: tuple[str, ...]
    target_words: tuple[str, ...]
    source: Int[np.ndarray, "numbers source_length"]
    target: Int[np.ndarray, "numbers target_length"]
    """The last word of each row is an end."""
    held_out: Bool[np.ndarray, " numbers"]

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
    package = require("num2words", "translation")
    source_words, source = _words(package.num2words, first)
    target_words, target = _words(package.num2words, second)
    ends = np.zeros((NUMBERS, 1), np.int32)
    order = np.random.default_rng(0).permutation(NUMBERS)
    held_out = np.zeros(NUMBERS, bool)
    held_out[order[::HELD_OUT_EVERY]] = True
    return Parallel(source_words, target_words, source, np.append(target, ends, 1), held_out)


def _words(spell: Any, language: str) -> tuple[tuple[str, ...], Int[np.ndarray, "numbers length"]]:
    sentences = [
        re.split(r"[\s-]+", spell(number, lang=language).replace(",", ""))
        for number in range(NUMBERS)
    ]
    words = ("", *sorted({word for sentence in sentences for word in sentence}))
    places = {word: at for at, word in enumerate(words)}
    rows = np.full((NUMBERS, max(map(len, sentences))), END, np.int32)
    for row, sentence in zip(rows, sentences, strict=True):
        row[: len(sentence)] = [places[word] for word in sentence]
    return words, rows
