"""Gymnasium's spaces: their sizes and bounds, checks of values, and their form in JSON.

Observations are discrete (`Discrete` or `MultiDiscrete`: int32 indices), continuous (a `Box` with
one axis: float32), both (`Tuple(MultiDiscrete, Box)`: float32 rows of indices, then numbers), or
images (a uint8 `Box` with three axes, channels last).
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike

from embrl.core.errors import EmbrlError, SettingError, WarnOnce, told
from embrl.core.images import image_of, is_image
from embrl.core.masks import MaskForms, check_allowed
from embrl.core.products import (
    PartMasks,
    as_space,
    check_parts_allowed,
    check_row,
    product_of,
)

MAX_VALUES = 2**16
"""Largest number of values of an index that has a row for each; larger ones become digits."""

DIGIT = 2**12
"""Largest number of values of a digit."""

COARSE = 2.0**13
"""Magnitude from which precision may matter: float32 keeps such numbers to the nearest 0.001."""

FINER = 16
"""Number of times as many values that an offset makes float32 tell apart, at least."""

LARGEST = float(np.finfo(np.float32).max)
"""The largest float32."""


def array_of(values: Any, what: str) -> np.ndarray:
    """Return values that somebody gave as an array.

    Args:
        values: Numbers, nested in lists or not.
        what: Their name in messages.

    Raises:
        EmbrlError: If they have no shape, as rows of several lengths have none.
    """
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        said = "rows of several lengths" if "inhomogeneous" in str(error) else told(error)
        raise EmbrlError(f"{what} must be an array of numbers, got {said}") from error


def is_continuous(space: spaces.Space) -> bool:
    """Return whether values of the space are vectors of numbers (`Box`), not indices or images."""
    return isinstance(space, spaces.Box) and not is_image(space)


def is_discrete(space: spaces.Space) -> bool:
    """Return whether values of the space are indices alone (`Discrete`, `MultiDiscrete`)."""
    return isinstance(space, spaces.Discrete | spaces.MultiDiscrete)


def numbers_and_factors(space: spaces.Space) -> tuple[spaces.Box | None, tuple[int, ...]]:
    """Return the space of an observation's numbers, if it has any, and the sizes of its factors.

    An image has neither.

    Raises:
        EmbrlError: it is no observation space in embrl's form.
    """
    if is_image(space):
        return None, ()
    if isinstance(space, spaces.Box):
        return space, ()
    if isinstance(space, spaces.Tuple) and (product := product_of(space)) is not None:
        return product.box, product.sizes
    return None, factors(space)


def factors(space: spaces.Space) -> tuple[int, ...]:
    """Return the number of values of each factor of a discrete space.

    `Discrete(1600)` has one factor, `MultiDiscrete([835, 835])` two.

    Raises:
        EmbrlError: the space is of another kind, or does not start at 0.
    """
    match space:
        case spaces.Discrete():
            if int(space.start) != 0:
                raise SettingError("start of a Discrete space", "0", f"{space.start} in {space}")
            return (int(space.n),)
        case spaces.MultiDiscrete() if space.nvec.ndim == 1 and not space.start.any():
            return tuple(int(n) for n in space.nvec)
        case spaces.Box():
            raise SettingError(
                "observation space", "Discrete or one-dimensional MultiDiscrete here", space
            )
        case _:
            raise SettingError(
                "observation space",
                "Discrete or MultiDiscrete, starting at 0, or Box, with one axis at most",
                space,
            )


def dimensions(space: spaces.Space) -> int:
    """Return the number of coordinates of a `Box`.

    Raises:
        EmbrlError: the space is of another kind, does not have exactly one axis, holds integers,
            or leaves a coordinate no room to vary.
    """
    return len(bounds(space)[0])


def bounds(space: spaces.Space) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper bounds of a `Box`.

    Returns:
        Two float32 arrays `[p]`, infinite where there is no bound, or one beyond float32.

    Raises:
        EmbrlError: as `dimensions`.
    """
    if not isinstance(space, spaces.Box):
        raise SettingError("observation space", "a Box here", space)
    if len(space.shape) != 1 or not space.shape[0] or space.dtype.kind != "f":
        raise SettingError("shape of a Box", "one axis, of floats", space)
    with np.errstate(over="ignore"):  # beyond float32 is infinite
        low, high = space.low.astype(np.float32), space.high.astype(np.float32)
    if not (low < high).all():
        at = int(np.argmin(low < high))
        raise SettingError(
            f"lower bound of coordinate {at}",
            f"below its upper bound {high[at]}",
            f"{low[at]} in {space}",
        )
    return low, high


def action_count(space: spaces.Space) -> int:
    """Return the number of actions of a `Discrete` space.

    Raises:
        EmbrlError: the space is of another kind.
    """
    if not isinstance(space, spaces.Discrete) or int(space.start) != 0:
        raise SettingError("action space", "Discrete, starting at 0", space)
    return int(space.n)


def state_count(space: spaces.Space) -> int | None:
    """Return the number of states of an observation space: the product of its factors.

    None where it has numbers or is an image.
    """
    box, sizes = numbers_and_factors(space)
    return math.prod(sizes) if box is None and sizes else None


def digits_of(count: int) -> list[int]:
    """Return the sizes of the digits of an index below `count`; one where it has no digits.

    They are as few as `DIGIT` allows, and alike: 10^7 values have two of 3,163.
    """
    if count <= MAX_VALUES:
        return [count]
    number = next(n for n in range(2, 64) if DIGIT**n >= count)
    base = next(b for b in range(round(count ** (1 / number)) - 2, DIGIT + 1) if b**number >= count)
    return [base] * number


def offset_of(box: spaces.Box) -> np.ndarray | None:
    """Return what is subtracted from numbers before they become float32, which would round it away.

    These are the lower bounds of coordinates whose bounds lie beyond `COARSE`, and so near each
    other that float32 tells `FINER` times as many values apart once they begin at 0.

    Returns:
        float64 `[*shape]`, 0 for other coordinates; None where all are 0.
    """
    if box.dtype.itemsize < 4 or box.dtype == np.float32:
        return None
    low, high = box.low.astype(np.float64), box.high.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        far, width = np.maximum(np.abs(low), np.abs(high)), high - low
        finer = np.spacing(far.astype(np.float32)) > FINER * np.spacing(width.astype(np.float32))
        lost = (far >= COARSE) & np.isfinite(width) & (width > 0.0) & finer
        offset = np.where(lost, low, 0.0)
    return offset if offset.any() else None


def check_observation(
    space: spaces.Space, observation: ArrayLike, warn: WarnOnce | None = None
) -> np.ndarray:
    """Check observations.

    Args:
        space: the observation space.
        observation: observations with any number of leading axes.
        warn: warns of numbers outside the bounds of a `Box`, which are then taken as they are, as
            in training; None: they are refused.

    Returns:
        The observations as int32 for a discrete space, bytes for images, else float32.

    Raises:
        EmbrlError: the shape does not fit or a value is out of range; the message says which.
    """
    values = array_of(observation, "observation")
    if is_image(space):
        return _check_image(space, values)
    if is_continuous(space):
        return _check_numbers(space, values, warn)
    if isinstance(space, spaces.Tuple) and (product := product_of(space)) is not None:
        rows = check_row(product, values, "observation")
        assert product.box is not None
        numbers = _check_numbers(product.box, rows[..., len(product.sizes) :], warn)
        return np.concatenate([rows[..., : len(product.sizes)], numbers], -1)
    return _check_indices(space, values)


def check_action(space: spaces.Space, action: ArrayLike) -> np.ndarray:
    """Check actions.

    Args:
        space: the action space.
        action: actions with any number of leading axes.

    Returns:
        The actions as int32 `[...]` or float32 `[..., p]`; of several parts, a row each
        (`embrl.core.products`).

    Raises:
        EmbrlError: the shape does not fit or a value is out of range; the message says which.
    """
    values = array_of(action, "action")
    if (product := product_of(space)) is not None:
        return check_row(product, values)
    if is_continuous(space):
        wanted = f"numbers [..., {dimensions(space)}]"
        fits = values.dtype.kind in "iuf" and values.shape[-1:] == (dimensions(space),)
    else:
        wanted, fits = "integers", values.dtype.kind in "iu"
    if not fits:
        raise SettingError(f"actions of {space}", wanted, f"{values.dtype}{list(values.shape)}")
    try:
        return check_observation(space, values)
    except EmbrlError as error:
        raise EmbrlError(str(error).replace("observation", "action", 1)) from error


def check_mask(
    space: spaces.Space,
    mask: ArrayLike,
    allowed: ArrayLike | None = None,
    lead: tuple[int, ...] | None = None,
) -> np.ndarray:
    """Check a mask of the actions that may be chosen.

    Args:
        space: the action space.
        mask: flags `[..., n]` of any kind of number; of actions with several parts, in a form of
            `embrl.core.products.PartMasks`.
        allowed: bool `[n]`, the actions that are not excluded; None: all of them.
        lead: leading axes of the result; None: those of the mask.

    Returns:
        The mask, bool `[..., n]`.

    Raises:
        EmbrlError: actions are continuous, or the mask has another form or allows no action.
    """
    if is_continuous(space):
        raise SettingError("mask", "None where actions are continuous", "one", "leave it out")
    if (product := product_of(space)) is not None:
        flags = PartMasks(product)(mask, lead or ())
        return check_parts_allowed(product, flags)
    lead = array_of(mask, "mask").shape[:-1] if lead is None else lead
    flags = MaskForms((action_count(space),))(mask, lead)
    return check_allowed(flags, allowed)


def difference(has: spaces.Space, needs: spaces.Space) -> str | None:
    """Describe the first difference between two spaces.

    Args:
        has: the space that there is.
        needs: the space that is required.

    Returns:
        The coordinate or factor, its value, and the value that it must have; None if the spaces
        are the same.
    """
    if has == needs:
        return None
    if type(has) is not type(needs) or isinstance(has, spaces.Tuple) or is_image(has):
        return f"it is {has}, and must be {needs}"
    if is_continuous(has):
        mine, other = bounds(has), bounds(needs)
        if len(mine[0]) != len(other[0]):
            return f"it has {len(mine[0])} coordinates, and must have {len(other[0])}"
        differ = (mine[0] != other[0]) | (mine[1] != other[1])
        if not differ.any():
            return f"it has dtype {has.dtype}, and must have {needs.dtype}"
        at = int(np.argmax(differ))
        return (
            f"coordinate {at} is {mine[0][at]:g} to {mine[1][at]:g}, and must be "
            f"{other[0][at]:g} to {other[1][at]:g}"
        )
    here, there = factors(has), factors(needs)
    if len(here) != len(there):
        return f"it has {len(here)} factors, and must have {len(there)}"
    at = next(index for index, (a, b) in enumerate(zip(here, there, strict=True)) if a != b)
    what = "it" if isinstance(has, spaces.Discrete) else f"factor {at}"
    return f"{what} has {here[at]} values, and must have {there[at]}"


def to_json(space: spaces.Space) -> dict[str, Any]:
    """Return an observation or action space as plain values.

    A missing bound of a `Box` is null, as JSON has no infinity.
    """
    if (image := image_of(space)) is not None:
        return {"kind": "Image", "shape": list(image.shape), "levels": image.levels}
    if is_continuous(space):
        low, high = bounds(space)
        return {"kind": "Box", "low": _finite(low), "high": _finite(high)}
    if isinstance(space, spaces.Tuple) and (product := product_of(space)) is not None:
        numbers = to_json(space.spaces[1])
        return {"kind": "Tuple", "sizes": list(product.sizes), "numbers": numbers}
    kind = "Discrete" if isinstance(space, spaces.Discrete) else "MultiDiscrete"
    return {"kind": kind, "sizes": list(factors(space))}


def from_json(value: dict[str, Any], where: str | Path) -> spaces.Space:
    """Return the space that `to_json` wrote; a `Box` is read back as float32.

    Args:
        value: the plain values.
        where: their file, for messages.

    Raises:
        EmbrlError: the values describe no such space.
    """
    match value:
        case {"kind": "Discrete", "sizes": [int(n)]} if n > 0:
            return spaces.Discrete(n)
        case {"kind": "MultiDiscrete", "sizes": [*sizes]} if sizes and all(
            isinstance(n, int) and n > 0 for n in sizes
        ):
            return spaces.MultiDiscrete(sizes)
        case {"kind": "Image", "shape": [int(h), int(w), int(c)], "levels": int(top)} if (
            min(h, w, c) > 0 and 0 < top < 256
        ):
            return spaces.Box(0, top, (h, w, c), np.uint8)
        case {"kind": "Tuple", "sizes": [*sizes], "numbers": dict(numbers)}:
            indices = from_json({"kind": "MultiDiscrete", "sizes": sizes}, where)
            box = from_json(numbers, where)
            assert isinstance(indices, spaces.MultiDiscrete)
            if not isinstance(box, spaces.Box):
                raise EmbrlError(f"{where} describes no known space: {value}")
            return as_space(tuple(int(n) for n in indices.nvec), box)
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
            raise EmbrlError(f"{where} describes no known space: {value}")


def _finite(values: np.ndarray) -> list[float | None]:
    """Return bounds as plain values, None for infinite ones."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _bounds(values: list[float | None], otherwise: float) -> np.ndarray:
    """Return the bounds that `_finite` wrote."""
    return np.array([otherwise if value is None else value for value in values], np.float32)


def _check_indices(space: spaces.Space, values: np.ndarray) -> np.ndarray:
    """Check values of a discrete space, and return them as int32."""
    sizes = factors(space)
    if values.dtype.kind not in "iu":
        raise SettingError(f"observations of {space}", "integers", values.dtype)
    if isinstance(space, spaces.MultiDiscrete):
        _check_last_axis(space, values, len(sizes))
    top = sizes[0] if isinstance(space, spaces.Discrete) else np.array(sizes)
    _refuse(space, values, (values < 0) | (values >= top))
    return values.astype(np.int32)


def _check_image(space: spaces.Space, values: np.ndarray) -> np.ndarray:
    """Check images, and return them as bytes."""
    shape = space.shape or ()
    if values.dtype.kind not in "iub" or values.shape[-3:] != shape:
        raise SettingError(
            f"images of shape {list(shape)}",
            "whole numbers [height, width, channels]",
            f"{values.dtype}{list(values.shape)}",
        )
    image = image_of(space)
    assert image is not None
    if values.size and not 0 <= values.min() <= values.max() <= image.levels:
        raise SettingError(
            "pixels", f"from 0 to {image.levels}", f"{values.min()} to {values.max()}"
        )
    return values.astype(np.uint8)


def _check_numbers(space: spaces.Space, values: np.ndarray, warn: WarnOnce | None) -> np.ndarray:
    """Check values of a `Box`, and return them as float32."""
    low, high = bounds(space)
    if values.dtype.kind not in "iuf":
        raise SettingError(f"observations of {space}", "numbers", values.dtype)
    _check_last_axis(space, values, len(low))
    # Compared in float32: rounding may move a value across a bound that is not rounded, too.
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    fits = (low <= rounded) & (rounded <= high)  # NaN fits nowhere
    if warn is None or not np.isfinite(rounded).all():
        _refuse(space, values, ~(fits & np.isfinite(rounded)))
    elif not fits.all():
        *where, at = np.argwhere(~fits)[0].tolist()
        warn("outside", outside_bounds("observation", values[(*where, at)], at, low[at], high[at]))
    return rounded


def outside_bounds(what: str, value: Any, at: Any, low: Any, high: Any) -> str:
    """Return the warning that a number outside its bounds is taken as it is.

    Args:
        what: what it is, as `observation`.
        value: the number.
        at: its coordinate.
        low: the lower bound.
        high: the upper bound.
    """
    return (
        f"{what} {value:g} in coordinate {at} is outside {low:g} to {high:g}; it is taken as it "
        "is, and so are others"
    )


def _check_last_axis(space: spaces.Space, values: np.ndarray, length: int) -> None:
    """Check the length of the last axis."""
    if values.shape[-1:] != (length,):
        several = any(math.prod(values.shape[axis:]) == length for axis in range(values.ndim - 1))
        advice = "policies take an environment's own form with run.policy(environment=...)"
        raise SettingError(
            f"last axis of observations of {space}",
            f"{length}",
            f"shape {list(values.shape)}",
            advice if several else "",
        )


def _refuse(space: spaces.Space, values: np.ndarray, wrong: np.ndarray) -> None:
    """Raise an error that names the first wrong value, if there is one."""
    if wrong.any():
        where = np.argwhere(wrong)[0].tolist()
        at = f" at {where}" if where else ""
        raise EmbrlError(f"observation {values[tuple(where)]}{at} is not in {space}")


def names_of(names: tuple[str, ...] | None, actions: Any, first: Any = 0) -> Any:
    """Return what actions are called.

    Args:
        names: names of all actions; None where they have none.
        actions: actions, with any axes.
        first: the first action.

    Returns:
        A name, or an array of names.

    Raises:
        EmbrlError: the actions have no names, or there is no such action.
    """
    if names is None:
        raise EmbrlError("the actions of this environment have no names; use their numbers")
    at = array_of(actions, "action")
    indices = at.dtype.kind in "iu"
    at = at - first if indices else at
    if not indices or (at.size and not 0 <= at.min() <= at.max() < len(names)):
        raise SettingError("action", f"an index from {first} to {first + len(names) - 1}", actions)
    return names[int(at)] if at.ndim == 0 else np.array(names)[at]
