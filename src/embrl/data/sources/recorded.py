"""Recorded transitions, and checks that recorded values belong to their spaces."""

import dataclasses
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError, SettingError
from embrl.core.types import Transition
from embrl.envs.gym.flatten import assembled, leaves


@dataclasses.dataclass(frozen=True, eq=False)
class Recorded:
    """Recorded transitions in embrl's form: NumPy arrays, all finite and inside their spaces."""

    name: str
    """Name of the file or data set."""
    transitions: Transition
    """`[T, B, ...]`, T rows in time and B parallel environments."""
    observation_space: gymnasium.Space
    """`Discrete`, `MultiDiscrete` or `Box`, with one axis at most."""
    action_space: gymnasium.Space
    """`Discrete` or `Box`."""
    lacks: tuple[str, ...] = ()
    """Columns that were not recorded and are all zeros: `reward`, `terminated`."""
    about: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Further information on the data, as plain values."""

    @property
    def timesteps(self) -> int:
        """Number of transitions."""
        return int(np.size(self.transitions.reward))

    def first(self, timesteps: int) -> "Recorded":
        """Return the first transitions, in whole rows: at least `timesteps` of them.

        Raises:
            EmbrlError: there are fewer.
        """
        if timesteps > self.timesteps:
            raise SettingError(
                "pretrain.timesteps",
                f"at most {self.timesteps}, the number of transitions of {self.name}",
                timesteps,
            )
        num_envs = self.transitions.reward.shape[1]
        rows = -(-timesteps // num_envs)
        some = Transition(*(column[:rows] for column in self.transitions))
        return dataclasses.replace(self, transitions=some)


# Checks of values


def row_of(row: int) -> str:
    """Return the name of a row in messages."""
    return f"row {row}"


@dataclasses.dataclass(frozen=True)
class Where:
    """Place of values, for messages."""

    name: str
    """Name of the file or data set."""
    row: Callable[[int], str] = row_of
    """Returns the name of a row."""

    def wrong(self, what: str, values: np.ndarray, faults: np.ndarray, why: str) -> EmbrlError:
        """Return an error about the first fault.

        Args:
            what: name of the values.
            values: `[N, ...]`.
            faults: bool `[N, ...]`.
            why: end of the message.
        """
        row, *rest = np.argwhere(faults)[0].tolist()
        at = f", column {np.ravel_multi_index(rest, values.shape[1:])}" if rest else ""
        value = values[(row, *rest)]
        return EmbrlError(f"{self.name}: {what} {value} in {self.row(row)}{at} {why}")


def inferred(where: Where, what: str, values: np.ndarray) -> spaces.Space:
    """Return the space of values, as far as they tell.

    Integers count from 0 to the largest one present; other numbers are a `Box` without bounds.

    Args:
        where: place of the values.
        what: their name.
        values: `[N, ...]`.

    Raises:
        EmbrlError: the values are not numbers, or integers below 0.
    """
    if values.dtype.kind not in "biuf":
        raise SettingError(f"{where.name}: {what}", "numbers", values.dtype)
    if values.dtype.kind == "f":
        shape = values.shape[1:] or (1,)
        return spaces.Box(-np.inf, np.inf, shape, np.float32)
    if values.dtype.kind == "i" and (values < 0).any():
        raise where.wrong(what, values, values < 0, "is below 0; count from 0")
    counts = values.astype(np.int64).max(0) + 1
    return spaces.Discrete(int(counts)) if values.ndim == 1 else spaces.MultiDiscrete(counts)


def checked(where: Where, what: str, space: spaces.Space, values: Any) -> Any:
    """Check that values are in a space.

    Args:
        where: place of the values.
        what: their name.
        space: of one value.
        values: structured as the space, with a leading axis `[N]` in each leaf.

    Returns:
        The values, in the dtypes that embrl's conversions expect.

    Raises:
        EmbrlError: a leaf has another shape, or a value is not in the space or not finite.
    """
    try:
        found = [
            _checked(where, what, leaf.space, np.asarray(leaf.of(values))) for leaf in leaves(space)
        ]
    except (KeyError, IndexError, TypeError) as error:
        raise EmbrlError(f"{where.name}: {what} does not fit {space}: {error}") from error
    return assembled(space, iter(found))


def finite(where: Where, what: str, values: Any) -> np.ndarray:
    """Return values as float32 `[N]`.

    Raises:
        EmbrlError: one is not finite, or they are not numbers.
    """
    numbers = np.asarray(values)
    if numbers.dtype.kind not in "biuf":
        raise SettingError(f"{where.name}: {what}", "numbers", numbers.dtype)
    _refuse_infinite(where, what, numbers)
    return numbers.astype(np.float32)


def flags(where: Where, what: str, values: Any) -> np.ndarray:
    """Return values as bool `[N]`.

    Raises:
        EmbrlError: one is neither true nor false, nor 1 or 0.
    """
    given = np.asarray(values)
    if given.dtype.kind not in "biuf":
        raise SettingError(f"{where.name}: {what}", "true or false", given.dtype)
    odd = (given != 0) & (given != 1)
    if odd.any():
        raise where.wrong(what, given, odd, "is neither 0 nor 1")
    return given.astype(bool)


def _checked(where: Where, what: str, space: spaces.Space, values: np.ndarray) -> np.ndarray:
    """Check the values of one leaf."""
    if values.dtype.kind not in "biuf":
        raise SettingError(f"{where.name}: {what}", "numbers", values.dtype)
    shape = space.shape or ()
    if shape == (1,) and values.ndim == 1:
        values = values[:, None]  # a column of numbers is a vector with one coordinate
    elif not shape and values.shape[1:] == (1,):
        values = values[:, 0]
    if values.shape[1:] != shape:
        raise SettingError(
            f"{where.name}: shape of {what} in each row",
            f"{list(shape)}, as in {space}",
            list(values.shape[1:]),
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
        raise where.wrong(what, values, broken, f"is not an integer, which {space} needs")
    return values.astype(np.int64)


def _refuse_infinite(where: Where, what: str, values: np.ndarray) -> None:
    """Raise an error if a value is not finite in float32."""
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            faults = ~np.isfinite(values.astype(np.float32))
        if faults.any():
            raise where.wrong(what, values, faults, "is not finite")
