"""Random numbers, each for one purpose.

Every function takes its key as `purpose(key, ...)`: no two share random numbers, and evaluating
changes nothing about training.
"""

import enum

import jax
import numpy as np
from jaxtyping import Array, Int

from embrl.core.types import Key


class Purpose(enum.IntEnum):
    """What random numbers are for."""

    COLLECT = 0
    MODEL = 1
    FIT = 2
    LEARNER = 3
    LANES = 4
    IMPROVE = 5
    EVALUATE = 6
    UPDATE = 7
    DECODER = 8
    PLAY = 9


def purpose(key: Key, what: Purpose, index: int | Int[Array, ""] = 0) -> Key:
    """The key for the `index`-th use of `what`."""
    return jax.random.fold_in(jax.random.fold_in(key, what), index)


def host_seed(seed: int, what: Purpose, index: int) -> int:
    """The same for what draws its random numbers on the host: 32 bits from a run's seed."""
    return int(np.random.SeedSequence((seed, what, index)).generate_state(1)[0])
