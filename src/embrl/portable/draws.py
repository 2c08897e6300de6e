"""Choices by chance, from noise that is passed in: the same noise, the same choice."""

import dataclasses
import math
from typing import Protocol

import numpy as np


class Draw(Protocol):
    """A random step: a frozen dataclass, as a `Step` is."""

    @property
    def normal(self) -> int:
        """How many standard normal numbers one choice takes."""
        ...

    @property
    def uniform(self) -> int:
        """How many uniform ones, in [0, 1)."""
        ...

    def __call__(self, values: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """
        Arguments:
            noise: float32 `[..., normal + uniform]`.
        """
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Gaussian:
    """e ~ N(mu, diag(std^2)), with one std for each axis."""

    std: np.ndarray
    """float32 `[d]`."""
    bounded: bool
    """Whether mu is the tanh of what comes in."""

    uniform = 0

    @property
    def normal(self) -> int:
        return len(self.std)

    def __call__(self, values: np.ndarray, noise: np.ndarray) -> np.ndarray:
        mean = np.tanh(values) if self.bounded else values
        return mean + self.std * noise


@dataclasses.dataclass(frozen=True, eq=False)
class SquashedGaussian:
    """e = tanh(z), z ~ N(mu, diag(std^2)); mu and log std come in side by side."""

    count: int
    """Of e's axes, d."""
    least: float
    """log std is at least that."""
    most: float
    """And at most that."""

    uniform = 0

    @property
    def normal(self) -> int:
        return self.count

    def __call__(self, values: np.ndarray, noise: np.ndarray) -> np.ndarray:
        mean, log_std = values[..., : self.count], values[..., self.count :]
        std = np.exp(np.clip(log_std, np.float32(self.least), np.float32(self.most)))
        return np.tanh(mean + std * noise)


@dataclasses.dataclass(frozen=True, eq=False)
class Categorical:
    """a ~ softmax(logits), by one uniform number."""

    count: int
    """Of actions, n."""

    normal = 0
    uniform = 1

    def __call__(self, values: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """As `embrl.core.nn.categorical_sample`: block by block, as sums over many actions
        at once would round otherwise.
        """
        side = block_side(self.count)
        weights = np.exp(values - values.max(-1, keepdims=True))
        padding = [(0, 0)] * (weights.ndim - 1) + [(0, side * side - self.count)]
        blocks = np.pad(weights, padding).reshape(*weights.shape[:-1], side, side)
        sums = blocks.sum(-1)
        block, rest = _pass(sums, noise[..., 0] * sums.sum(-1))
        inside = np.take_along_axis(blocks, block[..., None, None], -2)[..., 0, :]
        return (block * side + _pass(inside, rest)[0]).astype(np.int32)


@dataclasses.dataclass(frozen=True, eq=False)
class ByDistance:
    """P(a | e), the softmax of -||g(a) - e||^2 / temperature, by one uniform number."""

    table: np.ndarray
    """float32 `[n, d]`."""
    cold: float
    """The temperature's inverse."""

    normal = 0
    uniform = 1

    def __call__(self, values: np.ndarray, noise: np.ndarray) -> np.ndarray:
        distance = np.zeros((*values.shape[:-1], len(self.table)), np.float32)
        for axis in range(self.table.shape[1]):
            distance += (values[..., axis, None] - self.table[:, axis]) ** 2
        beyond = distance - distance.min(-1, keepdims=True)
        with np.errstate(over="ignore"):  # then it is impossible, as it should be
            logits = -beyond * np.float32(self.cold)
        return Categorical(len(self.table))(logits, noise)


def block_side(n: int) -> int:
    """Blocks, and actions in each."""
    return math.isqrt(n - 1) + 1


def _pass(weights: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First index whose running sum exceeds target, and what of target is left inside it."""
    running = weights.cumsum(-1)
    positions = np.arange(weights.shape[-1])
    # Rounding can leave target at the whole sum: then the last possible entry stands.
    last = np.where(weights > 0, positions, 0).max(-1)
    index = np.minimum((running <= target[..., None]).sum(-1), last)
    before = np.take_along_axis(running - weights, index[..., None], -1)[..., 0]
    return index, np.maximum(target - before, np.float32(0.0))
