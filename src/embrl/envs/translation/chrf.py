"""chrF of a sentence in JAX: F-score of character n-grams (Popovic 2015), as sacrebleu has it."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

ORDER, BETA = 6, 2.0
"""Longest n-grams, and weight of recall: sacrebleu's defaults."""


class ChrF(eqx.Module):
    """chrF between sentences of a vocabulary, 0 to 1; spaces do not count."""

    letters: Int[Array, "words longest"]
    """Characters of each word, from 1; 0 after its end."""
    lengths: Int[Array, " words"]

    def __init__(self, words: Sequence[str]) -> None:
        """Number the characters of a vocabulary; word 0 is the end of a sentence."""
        alphabet = sorted({letter for word in words for letter in word})
        places = {letter: at for at, letter in enumerate(alphabet, start=1)}
        table = np.zeros((len(words), max(map(len, words))), np.int32)
        for row, word in zip(table, words, strict=True):
            row[: len(word)] = [places[letter] for letter in word]
        self.letters = jnp.asarray(table)
        self.lengths = jnp.asarray([len(word) for word in words], jnp.int32)

    def __call__(self, written: Int[Array, " n"], wanted: Int[Array, " k"]) -> Float[Array, ""]:
        """Return the score of a sentence against the one wanted; both end with the first word 0."""
        hypothesis, length = self._characters(written)
        reference, wanted_length = self._characters(wanted)
        precision, recall, counted = jnp.float32(0), jnp.float32(0), jnp.float32(0)
        # Whether the n-grams that begin at two characters are the same.
        letters, wanted_letters = _equal(hypothesis, hypothesis), _equal(hypothesis, reference)
        same, found = letters, wanted_letters
        for order in range(1, ORDER + 1):
            if order > 1:
                same = same & jnp.roll(letters, (1 - order, 1 - order), (0, 1))
                found = found & jnp.roll(wanted_letters, (1 - order, 1 - order), (0, 1))
            have = jnp.maximum(length - order + 1, 0)
            need = jnp.maximum(wanted_length - order + 1, 0)
            matches = _matches(same, have, found, need)
            counts = ((have > 0) & (need > 0)).astype(jnp.float32)
            precision += counts * matches / jnp.maximum(have, 1)
            recall += counts * matches / jnp.maximum(need, 1)
            counted += counts
        precision, recall = precision / jnp.maximum(counted, 1), recall / jnp.maximum(counted, 1)
        both = BETA**2 * precision + recall
        return jnp.where(both > 0, (1 + BETA**2) * precision * recall / jnp.maximum(both, 1e-9), 0)

    def _characters(self, words: Int[Array, " n"]) -> tuple[Int[Array, " chars"], Int[Array, ""]]:
        """Return the characters of a sentence without spaces, and how many they are."""
        ended = jnp.cumsum(words == 0) > 0
        lengths = jnp.where(ended, 0, self.lengths[words])
        starts = jnp.cumsum(lengths) - lengths
        longest = self.letters.shape[1]
        size = len(words) * longest
        at = starts[:, None] + jnp.arange(longest, dtype=jnp.int32)
        inside = jnp.arange(longest, dtype=jnp.int32) < lengths[:, None]
        at = jnp.where(inside, at, size)  # dropped
        found = jnp.zeros(size, jnp.int32)
        return found.at[at].set(self.letters[words], mode="drop"), lengths.sum()


def _equal(one: Int[Array, " n"], two: Int[Array, " k"]) -> Bool[Array, "n k"]:
    return one[:, None] == two[None]


def _matches(same: Array, have: Array, found: Array, need: Array) -> Float[Array, ""]:
    """Return how many n-grams both have, each as often as in the one that has it less often."""
    here = jnp.arange(same.shape[0]) < have
    there = jnp.arange(found.shape[1]) < need
    number = jnp.tril(same & here[None], -1).sum(1)  # of equal ones before it
    count = (found & there[None]).sum(1)
    return jnp.where(here & (number < count), 1.0, 0.0).sum()
