"""Transitions that were recorded, and the spaces that they are of."""

import dataclasses
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError
from embrl.core.types import Transition
from embrl.envs.gym.flatten import assembled, leaves


@dataclasses.dataclass(frozen=True, eq=False)
class Recorded:
    """NumPy arrays in embrl's forms, checked: no number that is not finite, nothing out of its
    space.
    """

    name: str
    """For messages, and for the record."""
    transitions: Transition
    """`[T, B, ...]`: T rows in time, B lanes."""
    observation_space: gymnasium.Space
    """`Discrete`, `MultiDiscrete` or `Box`, of one axis at most."""
    action_space: gymnasium.Space
    """`Discrete` or `Box`."""
    lacks: tuple[str, ...] = ()
    """Columns that nobody recorded, and that hold nothing but zeros: `reward`, `terminated`."""
    about: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What else is to be known of it, in plain values."""

    @property
    def timesteps(self) -> int:
        """Transitions, of all lanes."""
        return int(np.size(self.transitions.reward))

    def first(self, timesteps: int) -> "Recorded":
        """As many of them, or a few more to fill all lanes.

        Raises:
            EmbrlError: there are not as many.
        """
        if timesteps > self.timesteps:
            raise EmbrlError(
                f"pretrain.timesteps must be at most {self.timesteps}, the transitions of {self.name}, "
                f"got {timesteps}"
            )
        lanes = self.transitions.reward.shape[1]
        rows = -(-timesteps // lanes)
        some = Transition(*(column[:rows] for column in self.transitions))
        return dataclasses.replace(self, transitions=some)


# DOC Whether recorded values are of their space; and, where nobody says, of which space they are.


def row_of(row: int) -> str:
    """How messages call a row."""
    return f"row {row}"


@dataclasses.dataclass(frozen=True)
class Where:
    """What messages say of a value's place."""

    name: str
    """Of the file or data set."""
    row: Callable[[int], str] = row_of

    def wrong(self, what: str, values: np.ndarray, faults: np.ndarray, why: str) -> EmbrlError:
        """An error about the first of `faults`, bool like `values`, `[N, ...]`."""
        row, *rest = np.argwhere(faults)[0].tolist()
        at = f", column {np.ravel_multi_index(rest, values.shape[1:])}" if rest else ""
        value = values[(row, *rest)]
        return EmbrlError(f"{self.name}: {what} {value} in {self.row(row)}{at} {why}")


def inferred(where: Where, what: str, values: np.ndarray) -> spaces.Space:
    """The space of values `[N, ...]`, as far as they tell: whole numbers count from 0 to the
    greatest that there is, others are a `Box` without bounds.

    Raises:
        EmbrlError: they are no numbers, or whole ones below 0.
    """
    if values.dtype.kind not in "biuf":
        raise EmbrlError(f"{where.name}: {what} is made of {values.dtype}, not of numbers")
    if values.dtype.kind == "f":
        shape = values.shape[1:] or (1,)
        return spaces.Box(-np.inf, np.inf, shape, np.float32)
    if values.dtype.kind == "i" and (values < 0).any():
        raise where.wrong(what, values, values < 0, "is below 0: whole numbers count from 0")
    counts = values.astype(np.int64).max(0) + 1
    return spaces.Discrete(int(counts)) if values.ndim == 1 else spaces.MultiDiscrete(counts)


def checked(where: Where, what: str, space: spaces.Space, values: Any) -> Any:
    """Values of `space`, with a leading axis `[N]` in each leaf, in the dtypes that embrl's
    conversions take.

    Raises:
        EmbrlError: a leaf has another shape, or a value is not in the space or not finite.
    """
    try:
        found = [
            _checked(where, what, leaf.space, np.asarray(leaf.of(values))) for leaf in leaves(space)
        ]
    except (KeyError, IndexError, TypeError) as error:
        raise EmbrlError(f"{where.name}: {what} is not made as {space} says: {error}") from error
    return assembled(space, iter(found))


def finite(where: Where, what: str, values: Any) -> np.ndarray:
    """float32 `[N]`.

    Raises:
        EmbrlError: one is not finite, or they are no numbers.
    """
    numbers = np.asarray(values)
    if numbers.dtype.kind not in "biuf":
        raise EmbrlError(f"{where.name}: {what} is made of {numbers.dtype}, not of numbers")
    _refuse_infinite(where, what, numbers)
    return numbers.astype(np.float32)


def flags(where: Where, what: str, values: Any) -> np.ndarray:
    """Bool `[N]`.

    Raises:
        EmbrlError: one is neither true nor false, nor 1 or 0.
    """
    given = np.asarray(values)
    if given.dtype.kind not in "biuf":
        raise EmbrlError(f"{where.name}: {what} is made of {given.dtype}, not of true and false")
    odd = (given != 0) & (given != 1)
    if odd.any():
        raise where.wrong(what, given, odd, "is neither 0 nor 1")
    return given.astype(bool)


def _checked(where: Where, what: str, space: spaces.Space, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "biuf":
        raise EmbrlError(f"{where.name}: {what} is made of {values.dtype}, not of numbers")
    shape = space.shape or ()
    if shape == (1,) and values.ndim == 1:
        values = values[:, None]  # a column of numbers is a vector of one
    elif not shape and values.shape[1:] == (1,):
        values = values[:, 0]
    if values.shape[1:] != shape:
        raise EmbrlError(
            f"{where.name}: {what} is {list(values.shape[1:])} in each row, and {space} says "
            f"{list(shape)}"
        )
    _refuse_infinite(where, what, values)
    match space:
        case spaces.Box():
            low, high = space.low.astype(np.float32), space.high.astype(np.float32)
            rounded = values.astype(np.float32)
            outside = (rounded < low) | (rounded > high)
        case spaces.Discrete():
            outside = (values < space.start) | (values >= space.start + space.n)
        case spaces.MultiDiscrete():
            outside = (values < space.start) | (values >= space.start + space.nvec)
        case _:
            outside = (values < 0) | (values > 1)
    if outside.any():
        raise where.wrong(what, values, outside, f"is not in {space}")
    if isinstance(space, spaces.Box):
        return values
    broken = values != np.floor(values)
    if broken.any():
        raise where.wrong(what, values, broken, f"is no whole number, as {space} says")
    return values.astype(np.int64)


def _refuse_infinite(where: Where, what: str, values: np.ndarray) -> None:
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            faults = ~np.isfinite(values.astype(np.float32))
        if faults.any():
            raise where.wrong(what, values, faults, "is no finite number")
