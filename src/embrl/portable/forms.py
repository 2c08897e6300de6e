"""Between a library's forms of observations and actions and those of embrl: whole numbers that
begin elsewhere, arrays of other axes, other kinds of numbers.
"""

import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Cast:
    """Another kind of number."""

    dtype: str
    """NumPy's name of it."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # beyond float32 is infinite
            return np.asarray(values).astype(self.dtype)


@dataclasses.dataclass(frozen=True, eq=False)
class Shifted:
    """Counted from elsewhere."""

    by: np.ndarray
    """int64, of the values' own axes."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return values + self.by


@dataclasses.dataclass(frozen=True, eq=False)
class Reshaped:
    """The last axes in another form; leading ones pass."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        lead = values.shape[: values.ndim - len(self.before)]
        return values.reshape((*lead, *self.after))


@dataclasses.dataclass(frozen=True, eq=False)
class Digits:
    """A whole number as digits, the most significant first."""

    sizes: np.ndarray
    """How many values each digit has, int64 `[k]`."""

    @functools.cached_property
    def strides(self) -> np.ndarray:
        """What each digit counts, int64 `[k]`."""
        return np.append(np.cumprod(self.sizes[:0:-1])[::-1], 1).astype(np.int64)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return values[..., None] // self.strides % self.sizes


@dataclasses.dataclass(frozen=True, eq=False)
class Rounded:
    """To whole numbers, halves to even ones."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return np.rint(values)


@dataclasses.dataclass(frozen=True, eq=False)
class Clipped:
    """Into bounds."""

    low: np.ndarray
    """Of the values' own axes and kind."""
    high: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return np.clip(values, self.low, self.high)
