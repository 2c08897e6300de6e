"""Checks of recorded values, and the spaces that they tell."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError, SettingError, WarnOnce
from embrl.envs.gym.leaf_kinds import IMAGE_SIDE
from embrl.envs.gym.leaves import assembled, leaves


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


MANY_IDS = 2**16
"""Number of values up to which integers are taken for indices, however few of them occur."""

BRIGHT = 128
"""Areas of bytes, some of which are this large, are images; boards have smaller codes."""

SPARSE = 10
"""Beyond `MANY_IDS`, integers of which one in so many occurs are no indices but identifiers."""


def inferred(where: Where, what: str, values: np.ndarray) -> spaces.Space:
    """Return the space of values, as far as they tell.

    Integers count from 0 to the largest one present, other numbers are a `Box` without bounds.

    Args:
        where: place of the values.
        what: their name.
        values: `[N, ...]`.

    Raises:
        EmbrlError: the values are not numbers, integers below 0, identifiers that are far apart,
            or look like something else than they would be taken for.
    """
    kind = values.dtype.kind
    if kind not in "biuf":
        first = f", as {str(values.ravel()[0])!r} in {where.row(0)}" if values.size else ""
        raise SettingError(
            f"{where.name}: {what}",
            "numbers",
            f"{values.dtype}{first}",
            "number them from 0, as by numpy.unique(values, return_inverse=True)",
        )
    if what == "action" and _is_one_hot(values):
        raise SettingError(
            f"{where.name}: {what}",
            "indices",
            f"one-hot rows of {values.shape[1]}, from {where.row(0)} on",
            f"save argmax(-1) of them, or give {what}_space",
        )
    if kind == "f":
        if values.ndim == 1 and _is_whole(values):
            raise SettingError(
                f"{where.name}: {what}",
                "integers, or [N, 1] if they are continuous",
                f"whole numbers as {values.dtype}, as {values[0]} in {where.row(0)}",
                f"convert them, or give {what}_space",
            )
        shape = values.shape[1:] or (1,)
        return spaces.Box(-np.inf, np.inf, shape, np.float32)
    sides = sum(length >= IMAGE_SIDE for length in values.shape[1:])
    if values.dtype == np.uint8 and sides >= 2 and values.max(initial=0) >= BRIGHT:
        if what == "action":
            image = f"images, {' x '.join(map(str, values.shape[1:]))} bytes"
            raise SettingError(f"{where.name}: {what}", "indices or numbers", image)
        return spaces.Box(0, 255, values.shape[1:], np.uint8)
    if kind == "i" and (values < 0).any():
        why = "is below 0; count from 0, and leave out rows that only fill up"
        raise where.wrong(what, values, values < 0, why)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]  # a column of indices
    counts = [_counted(where, what, column) for column in values.reshape(len(values), -1).T]
    if values.ndim == 1:
        return spaces.Discrete(counts[0])
    return spaces.MultiDiscrete(np.reshape(counts, values.shape[1:]))


def _counted(where: Where, what: str, indices: np.ndarray) -> int:
    """Return how many indices there are, as far as the largest one tells."""
    count = int(indices.max()) + 1
    if count > MANY_IDS and count > SPARSE * (occurring := len(np.unique(indices))):
        row = int(indices.argmax())
        raise SettingError(
            f"{where.name}: {what}",
            "an index that counts from 0",
            f"{count - 1} in {where.row(row)}, as one of {occurring:,} different ones",
            f"number them, as by numpy.unique(values, return_inverse=True), or give {what}_space",
        )
    return count


def _is_one_hot(values: np.ndarray) -> bool:
    if values.ndim != 2 or values.shape[1] < 2 or len(values) < 2:
        return False
    return bool(((values == 0) | (values == 1)).all() and (values.sum(-1) == 1).all())


def _is_whole(values: np.ndarray) -> bool:
    with np.errstate(invalid="ignore"):
        return bool(len(values) and (values >= 0).all() and (values == np.floor(values)).all())


def checked(
    where: Where, what: str, space: spaces.Space, values: Any, warn: WarnOnce | None = None
) -> Any:
    """Check that values are in a space.

    Args:
        where: place of the values.
        what: their name.
        space: of one value.
        values: structured as the space, with a leading axis `[N]` in each leaf.
        warn: warns of numbers outside their bounds, which are then taken; actions are clipped to
            these, as environments do. None: they are refused.

    Returns:
        The values, in the dtypes that embrl's conversions expect.

    Raises:
        EmbrlError: a leaf has another shape, or a value is not in the space or not finite.
    """
    try:
        found = [
            _checked(where, what, leaf.space, np.asarray(leaf.of(values)), warn)
            for leaf in leaves(space)
        ]
    except (KeyError, IndexError, TypeError) as error:
        raise EmbrlError(f"{where.name}: {what} does not fit {space}: {error}") from error
    return assembled(space, iter(found))


def finite(where: Where, what: str, values: Any) -> np.ndarray:
    """Return values as float32 `[N]`.

    Raises:
        EmbrlError: one is not finite, or they are not numbers.
    """
    numbers = _column(where, what, values)
    if numbers.dtype.kind not in "biuf":
        raise SettingError(f"{where.name}: {what}", "numbers", numbers.dtype)
    _refuse_infinite(where, what, numbers)
    return numbers.astype(np.float32)


def flags(where: Where, what: str, values: Any) -> np.ndarray:
    """Return values as bool `[N]`.

    Raises:
        EmbrlError: one is neither true nor false, nor 1 or 0.
    """
    given = _column(where, what, values)
    if given.dtype.kind not in "biuf":
        raise SettingError(f"{where.name}: {what}", "true or false", given.dtype)
    odd = (given != 0) & (given != 1)
    if odd.any():
        raise where.wrong(what, given, odd, "is neither 0 nor 1")
    return given.astype(bool)


def _column(where: Where, what: str, values: Any) -> np.ndarray:
    """Return values with one number a row, `[N]` or `[N, 1]`, as `[N]`."""
    column = np.asarray(values)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise SettingError(f"{where.name}: shape of {what}", "[N] or [N, 1]", list(column.shape))
    return column


def _checked(
    where: Where, what: str, space: spaces.Space, values: np.ndarray, warn: WarnOnce | None
) -> np.ndarray:
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
            if outside.any() and warn is not None:
                clips = what == "action"
                taken = "clipped to them" if clips else "taken as it is"
                why = f"is outside the bounds of {space}; it is {taken}, and so are others"
                warn("action" if clips else "outside", str(where.wrong(what, values, outside, why)))
                return np.clip(values, space.low, space.high) if clips else values
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
