"""Gymnasium's spaces, reduced to what encoders and prediction heads need to know.

Observations are discrete (`Discrete`, `MultiDiscrete`: int32 indices) or continuous (a `Box` of one
dimension: float32).
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike

from embrl.core.errors import EmbrlError

LARGEST = float(np.finfo(np.float32).max)


def is_continuous(space: spaces.Space) -> bool:
    """Whether observations are numbers (`Box`), not indices."""
    return isinstance(space, spaces.Box)


def factors(space: spaces.Space) -> tuple[int, ...]:
    """How many values each factor of a discrete space has.

    `Discrete(1600)` has one factor, `MultiDiscrete([835, 835])` two.

    Raises:
        EmbrlError: the space is of another kind, or does not count from 0.
    """
    match space:
        case spaces.Discrete():
            if int(space.start) != 0:
                raise EmbrlError(f"{space}: discrete spaces must start at 0, not {space.start}")
            return (int(space.n),)
        case spaces.MultiDiscrete() if space.nvec.ndim == 1 and not space.start.any():
            return tuple(int(n) for n in space.nvec)
        case spaces.Box():
            raise EmbrlError(
                f"{space} has no factors: here observations must be Discrete or "
                "(one-dimensional) MultiDiscrete"
            )
        case _:
            raise EmbrlError(
                f"{space}: observations must be Discrete, (one-dimensional) MultiDiscrete or a "
                "(one-dimensional) Box"
            )


def dimensions(space: spaces.Space) -> int:
    """The length of the observations of a `Box`.

    Raises:
        EmbrlError: the space is of another kind, has more or fewer axes than one, holds whole
            numbers, or leaves a coordinate no room to vary.
    """
    return len(bounds(space)[0])


def bounds(space: spaces.Space) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest observation of a `Box`, float32 `[p]` each; infinite where there
    is no bound, or one beyond float32.

    Raises:
        EmbrlError: as `dimensions`.
    """
    if not isinstance(space, spaces.Box):
        raise EmbrlError(f"{space} is no Box: its observations must be a vector of numbers here")
    if len(space.shape) != 1 or not space.shape[0] or space.dtype.kind != "f":
        raise EmbrlError(f"{space}: a Box of observations must have one axis, of floats")
    with np.errstate(over="ignore"):  # beyond float32 is infinite
        low, high = space.low.astype(np.float32), space.high.astype(np.float32)
    if not (low < high).all():
        at = int(np.argmin(low < high))
        raise EmbrlError(
            f"{space}: coordinate {at} ranges from {low[at]} to {high[at]}: observations must "
            "have bounds, if any, the lower one below the upper"
        )
    return low, high


def action_count(space: spaces.Space) -> int:
    """The number of actions of a `Discrete` space.

    Raises:
        EmbrlError: the space is of another kind.
    """
    if not isinstance(space, spaces.Discrete) or int(space.start) != 0:
        raise EmbrlError(f"{space}: actions must be Discrete, counted from 0")
    return int(space.n)


def state_count(space: spaces.Space) -> int | None:
    """The number of states of a discrete observation space, which is the product of its factors;
    None for a `Box`.
    """
    return None if is_continuous(space) else math.prod(factors(space))


def check_observation(space: spaces.Space, observation: ArrayLike) -> np.ndarray:
    """Observations with any number of leading axes: int32 for a discrete space, float32 for a
    `Box`.

    Raises:
        EmbrlError: the shape does not fit or a value is out of range; the message says which.
    """
    values = np.asarray(observation)
    return _check_numbers(space, values) if is_continuous(space) else _check_indices(space, values)


def check_action(space: spaces.Space, action: ArrayLike) -> np.ndarray:
    """Actions with any number of leading axes: int32 `[...]` or float32 `[..., p]`.

    Raises:
        EmbrlError: the shape does not fit or a value is out of range; the message says which.
    """
    values = np.asarray(action)
    if is_continuous(space):
        wanted = f"numbers [..., {dimensions(space)}]"
        fits = values.dtype.kind in "iuf" and values.shape[-1:] == (dimensions(space),)
    else:
        wanted, fits = "whole numbers", values.dtype.kind in "iu"
    if not fits:
        raise EmbrlError(f"actions of {space} are {wanted}, not {values.dtype}{list(values.shape)}")
    try:
        return check_observation(space, values)
    except EmbrlError as error:
        raise EmbrlError(str(error).replace("observation", "action", 1)) from error


def check_mask(
    space: spaces.Space, mask: ArrayLike, allowed: ArrayLike | None = None
) -> np.ndarray:
    """Which actions may be chosen, bool `[..., n]`, as it is.

    Arguments:
        space: of the actions.
        allowed: which may be chosen at all, bool `[n]`; None: all of them.

    Raises:
        EmbrlError: actions are numbers, or the mask has another form or leaves nothing.
    """
    if is_continuous(space):
        raise EmbrlError(
            f"actions of {space} are numbers, not a list that a mask could pick from: leave the "
            "mask out"
        )
    choices, count = np.asarray(mask), action_count(space)
    if choices.dtype != bool or choices.shape[-1:] != (count,):
        raise EmbrlError(
            f"the mask is {choices.dtype}{list(choices.shape)}: it must be bool[..., {count}]"
        )
    left = choices if allowed is None else choices & np.asarray(allowed)
    if not left.any(-1).all():
        raise EmbrlError("the mask allows no action")
    return choices


def difference(has: spaces.Space, needs: spaces.Space) -> str | None:
    """Where two spaces differ: which dimension, what it is, and what it would have to be; None if
    they are the same.
    """
    if has == needs:
        return None
    if type(has) is not type(needs):
        return f"it is {has}, and must be {needs}"
    if is_continuous(has):
        mine, other = bounds(has), bounds(needs)
        if len(mine[0]) != len(other[0]):
            return f"it has {len(mine[0])} numbers, and must have {len(other[0])}"
        differ = (mine[0] != other[0]) | (mine[1] != other[1])
        if not differ.any():
            return f"it is of {has.dtype}, and must be of {needs.dtype}"
        at = int(np.argmax(differ))
        return (
            f"number {at} is {mine[0][at]:g} to {mine[1][at]:g}, and must be "
            f"{other[0][at]:g} to {other[1][at]:g}"
        )
    here, there = factors(has), factors(needs)
    if len(here) != len(there):
        return f"it has {len(here)} factors, and must have {len(there)}"
    at = next(index for index, (a, b) in enumerate(zip(here, there, strict=True)) if a != b)
    what = "it" if isinstance(has, spaces.Discrete) else f"factor {at}"
    return f"{what} has {here[at]} values, and must have {there[at]}"


def to_json(space: spaces.Space) -> dict[str, Any]:
    """A space of observations (or discrete actions) in plain values; null where a `Box` has no
    bound, as JSON has no infinity.
    """
    if is_continuous(space):
        low, high = bounds(space)
        return {"kind": "Box", "low": _finite(low), "high": _finite(high)}
    kind = "Discrete" if isinstance(space, spaces.Discrete) else "MultiDiscrete"
    return {"kind": kind, "sizes": list(factors(space))}


def from_json(value: dict[str, Any], where: str | Path) -> spaces.Space:
    """The space that `to_json` wrote into the file `where`; a `Box` comes back as float32.

    Raises:
        EmbrlError: it says something else.
    """
    match value:
        case {"kind": "Discrete", "sizes": [int(n)]} if n > 0:
            return spaces.Discrete(n)
        case {"kind": "MultiDiscrete", "sizes": [*sizes]} if sizes and all(
            isinstance(n, int) and n > 0 for n in sizes
        ):
            return spaces.MultiDiscrete(sizes)
        case {"kind": "Box", "low": [*low], "high": [*high]} if (
            0 < len(low) == len(high)
            and all(
                bound is None or (isinstance(bound, int | float) and abs(bound) <= LARGEST)
                for bound in low + high
            )
            and np.all(_bounds(low, -math.inf) < _bounds(high, math.inf))
        ):
            return spaces.Box(_bounds(low, -math.inf), _bounds(high, math.inf))
        case _:
            raise EmbrlError(f"{where} describes no space that is known here: {value}")


def _finite(values: np.ndarray) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _bounds(values: list[float | None], otherwise: float) -> np.ndarray:
    return np.array([otherwise if value is None else value for value in values], np.float32)


def _check_indices(space: spaces.Space, values: np.ndarray) -> np.ndarray:
    sizes = factors(space)
    if values.dtype.kind not in "iu":
        raise EmbrlError(f"observations of {space} are whole numbers, not {values.dtype}")
    if isinstance(space, spaces.MultiDiscrete):
        _check_last_axis(space, values, len(sizes))
    top = sizes[0] if isinstance(space, spaces.Discrete) else np.array(sizes)
    _refuse(space, values, (values < 0) | (values >= top))
    return values.astype(np.int32)


def _check_numbers(space: spaces.Space, values: np.ndarray) -> np.ndarray:
    low, high = bounds(space)
    if values.dtype.kind not in "iuf":
        raise EmbrlError(f"observations of {space} are numbers, not {values.dtype}")
    _check_last_axis(space, values, len(low))
    # Compared in float32, as rounding may move a value across a bound that is not rounded too.
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    fits = (low <= rounded) & (rounded <= high) & np.isfinite(rounded)
    _refuse(space, values, ~fits)  # and so NaN
    return rounded


def _check_last_axis(space: spaces.Space, values: np.ndarray, length: int) -> None:
    if values.shape[-1:] != (length,):
        raise EmbrlError(
            f"observations of {space} end in an axis of {length}, not {list(values.shape)}"
        )


def _refuse(space: spaces.Space, values: np.ndarray, wrong: np.ndarray) -> None:
    """Names the first value that is wrong, if there is one."""
    if wrong.any():
        where = np.argwhere(wrong)[0].tolist()
        at = f" at {where}" if where else ""
        raise EmbrlError(f"observation {values[tuple(where)]}{at} is not in {space}")
