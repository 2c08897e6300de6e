"""Layers of networks."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Affine:
    """`x W + b`."""

    weight: np.ndarray
    """float32 `[inputs, outputs]`."""
    bias: np.ndarray
    """float32 `[outputs]`."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return values @ self.weight + self.bias


@dataclasses.dataclass(frozen=True, eq=False)
class FactorRows:
    """An affine layer on the one-hots of discrete factors: rows are looked up and summed."""

    table: np.ndarray
    """float32 `[values of all factors, outputs]`."""
    bias: np.ndarray
    """float32 `[outputs]`."""
    offsets: np.ndarray
    """Where each factor's rows begin, int32 `[k]`."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return self.table[values + self.offsets].sum(-2) + self.bias


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Row number so and so of a table: what a function of few values comes to."""

    table: np.ndarray
    """float32 `[n, outputs]`."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return self.table[values]


@dataclasses.dataclass(frozen=True, eq=False)
class Tanh:
    """tanh, number by number."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return np.tanh(values)


@dataclasses.dataclass(frozen=True, eq=False)
class Relu:
    """max(0, x), number by number."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return np.maximum(values, np.float32(0.0))


@dataclasses.dataclass(frozen=True, eq=False)
class First:
    """The first outputs of several."""

    count: int

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return values[..., : self.count]


@dataclasses.dataclass(frozen=True, eq=False)
class Rest:
    """What comes after the first so many inputs."""

    begin: int

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return values[..., self.begin :]


@dataclasses.dataclass(frozen=True, eq=False)
class MeanOne:
    """Divided by the mean of the absolute values."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        mean = np.abs(values).mean(-1, keepdims=True)
        return values / np.maximum(mean, np.float32(1e-8))


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """A last axis of length 1: a single factor among several."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values)[..., None]


@dataclasses.dataclass(frozen=True, eq=False)
class Likeliest:
    """The index of the greatest; the lowest among equals."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return values.argmax(-1).astype(np.int32)
