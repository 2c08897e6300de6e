"""Random streams: one for each use of random numbers.

Every function derives its key with `stream_key(key, ...)`, so that no two uses share random
numbers, and evaluation does not change training.
"""

import enum

import jax
import numpy as np
from jaxtyping import Array, Int

from embrl.core.types import Key


class RngStream(enum.IntEnum):
    """Uses of random numbers in a run."""

    COLLECT = 0
    EMBEDDING = 1
    PRETRAIN = 2
    LEARNER = 3
    RESET = 4
    ITERATE = 5
    EVALUATE = 6
    UPDATE = 7
    DECODER = 8
    PLAY = 9
    SCORE = 10
    IMITATE = 11


def stream_key(key: Key, stream: RngStream, index: int | Int[Array, ""] = 0) -> Key:
    """Return the key for the `index`-th use of a stream."""
    return jax.random.fold_in(jax.random.fold_in(key, stream), index)


def host_seed(seed: int, stream: RngStream, index: int) -> int:
    """Return a 32-bit seed for the `index`-th use of a stream on the host."""
    return int(np.random.SeedSequence((seed, stream, index)).generate_state(1)[0])
