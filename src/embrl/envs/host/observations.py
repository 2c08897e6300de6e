"""Gymnasium's observations in the forms that embrl understands: indices, or a vector of numbers."""

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError
from embrl.envs.host.leaves import Leaf, leaves

MOST_MIXED = 1024
"""The longest vector that numbers and one-hots together may make."""

NO_BOUND = 1e30
"""Bounds beyond this stand for none: some environments write the largest float32."""


class Observations:
    """From observations of one space to those of another one.

    | original | becomes |
    |---|---|
    | `Box` of 0 to 2 axes, of any numbers | float32 `Box [p]` |
    | `Discrete`, also with a start | `Discrete` from 0 |
    | `MultiDiscrete`, `MultiBinary`, of any axes | `MultiDiscrete`, one axis, from 0 |
    | `Dict`, `Tuple` of `Box` | one `Box`, part after part |
    | `Dict`, `Tuple` of the discrete ones | one `MultiDiscrete` |
    | `Dict`, `Tuple` of both | a `Box` with one-hots, at most 1,024 long |
    """

    def __init__(self, original: spaces.Space) -> None:
        """
        Raises:
            EmbrlError: embrl has no encoder for such observations; the message says which part and
                why.
        """
        self.original = original
        found = leaves(original)
        if not found:
            raise EmbrlError(f"{original}: there is nothing in it to observe")
        self._parts = [(leaf, _form(leaf)) for leaf in found]
        forms = [form for _, form in self._parts]
        sizes = [size for form in forms if isinstance(form, _Indices) for size in form.sizes]
        self._mixed = bool(sizes) and any(isinstance(form, _Numbers) for form in forms)
        if self._mixed and (length := sum(form.length for form in forms)) > MOST_MIXED:
            raise EmbrlError(
                f"{original}: numbers and one-hots of its indices would be a vector of {length:,}: "
                f"embrl takes at most {MOST_MIXED:,} where both stand side by side"
            )
        self._single = isinstance(original, spaces.Discrete)
        self.space = _space(forms, sizes, self._mixed, self._single)
        self.dtype = np.dtype(np.float32 if isinstance(self.space, spaces.Box) else np.int32)
        self.shape: tuple[int, ...] = self.space.shape or ()
        plain = len(found) == 1 and not found[0].path and isinstance(original, spaces.Box)
        self.plain: tuple[int, ...] | None = (original.shape or ()) if plain else None
        """The axes of an original observation that is one array of numbers: rows of such, float32,
        may be collected and converted at once."""
        self._top = np.array(sizes[0] if self._single else sizes, np.int64)

    def __call__(self, observation: Any) -> np.ndarray:
        """float32 or int32 `[..., *shape]` of observations with leading axes in each part.

        Raises:
            EmbrlError: a part has another shape or dtype than the space says.
        """
        if len(self._parts) == 1:
            leaf, form = self._parts[0]
            values = form(leaf, observation if not leaf.path else _part(leaf, observation))
            return values[..., 0] if self._single else values
        values = [
            form.one_hot(leaf, form(leaf, _part(leaf, observation)))
            if self._mixed and isinstance(form, _Indices)
            else form(leaf, _part(leaf, observation))
            for leaf, form in self._parts
        ]
        return np.concatenate(values, -1)

    def fault(self, values: np.ndarray) -> tuple[int, str] | None:
        """What is wrong with converted observations `[B, *shape]`: the first row with a number that
        is not finite or an index out of range, and words for it; None if nothing is.
        """
        if self.dtype.kind == "f":
            wrong = ~np.isfinite(values)
        else:
            wrong = (values < 0) | (values >= self._top)
        if not wrong.any():
            return None
        row, *rest = np.argwhere(wrong)[0].tolist()
        at = f" in coordinate {rest[0]}" if rest else ""
        return row, f"{values[(row, *rest)]}{at} of its observation ({self.original})"


class _Numbers:
    def __init__(self, box: spaces.Box) -> None:
        self.shape = box.shape
        self.length = math.prod(box.shape)
        low, high = box.low.astype(np.float64).ravel(), box.high.astype(np.float64).ravel()
        # What cannot vary has no range to be scaled by.
        free = (low >= high) | (np.abs(low) > NO_BOUND) & (np.abs(high) > NO_BOUND)
        self.low = np.where(free | (low < -NO_BOUND), -np.inf, low).astype(np.float32)
        self.high = np.where(free | (high > NO_BOUND), np.inf, high).astype(np.float32)

    def __call__(self, leaf: Leaf, value: Any) -> np.ndarray:
        values = np.asarray(value)
        lead = _lead(leaf, values, self.shape)
        if values.dtype.kind not in "iufb":
            raise EmbrlError(f"an observation of {leaf} is made of {values.dtype}, not of numbers")
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and found by `fault`
            return values.reshape(*lead, self.length).astype(np.float32)


class _Indices:
    def __init__(self, leaf: Leaf, nvec: Any, start: Any) -> None:
        sizes = np.asarray(nvec)
        self.shape = sizes.shape
        self.sizes = [int(size) for size in sizes.ravel()]
        self.start = np.asarray(start).ravel()
        self.length = sum(self.sizes)
        if max(self.sizes) > np.iinfo(np.int32).max:
            raise EmbrlError(f"{leaf}: embrl counts in int32, which does not reach its values")

    def __call__(self, leaf: Leaf, value: Any) -> np.ndarray:
        values = np.asarray(value)
        lead = _lead(leaf, values, self.shape)
        if values.dtype.kind not in "iub":
            raise EmbrlError(f"an observation of {leaf} is {values.dtype}, not whole numbers")
        return (values.reshape(*lead, len(self.sizes)) - self.start).astype(np.int32)

    def one_hot(self, leaf: Leaf, values: np.ndarray) -> np.ndarray:
        if ((values < 0) | (values >= self.sizes)).any():
            raise EmbrlError(f"an observation of {leaf} is out of range: {values.tolist()}")
        hot = [values[..., k, None] == np.arange(size) for k, size in enumerate(self.sizes)]
        return np.concatenate(hot, -1).astype(np.float32)


def _form(leaf: Leaf) -> _Numbers | _Indices:
    match leaf.space:
        case spaces.Box() as box:
            _check_box(leaf, box)
            return _Numbers(box)
        case spaces.Discrete() as space:
            return _Indices(leaf, space.n, space.start)
        case spaces.MultiDiscrete() as space if space.nvec.size:
            return _Indices(leaf, space.nvec, space.start)
        case spaces.MultiBinary() as space if math.prod(space.shape):
            return _Indices(leaf, np.full(space.shape, 2), np.zeros(space.shape, np.int64))
        case _:
            raise EmbrlError(
                f"observations of {leaf} cannot be encoded: embrl knows Box, Discrete, "
                "MultiDiscrete and MultiBinary, and Dict and Tuple of these"
            )


def _check_box(leaf: Leaf, box: spaces.Box) -> None:
    if box.dtype == np.uint8 and len(box.shape) in (2, 3):
        raise EmbrlError(f"observations of {leaf} are images: embrl has no image encoder")
    if len(box.shape) > 2 or not math.prod(box.shape):
        raise EmbrlError(f"observations of {leaf} cannot be encoded: a Box has 0 to 2 axes here")
    if box.dtype.kind not in "iufb":
        raise EmbrlError(f"observations of {leaf} are no numbers")


def _space(
    forms: list[_Numbers | _Indices], sizes: list[int], mixed: bool, single: bool
) -> spaces.Space:
    if single:
        return spaces.Discrete(sizes[0])
    if sizes and not mixed:
        return spaces.MultiDiscrete(sizes)
    low = [form.low if isinstance(form, _Numbers) else np.zeros(form.length) for form in forms]
    high = [form.high if isinstance(form, _Numbers) else np.ones(form.length) for form in forms]
    return spaces.Box(
        np.concatenate(low).astype(np.float32), np.concatenate(high).astype(np.float32)
    )


def _part(leaf: Leaf, observation: Any) -> Any:
    try:
        return leaf.of(observation)
    except (KeyError, IndexError, TypeError) as error:
        raise EmbrlError(f"an observation lacks its part {leaf}") from error


def _lead(leaf: Leaf, values: np.ndarray, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The leading axes."""
    axes = values.ndim - len(shape)
    if axes < 0 or values.shape[axes:] != shape:
        raise EmbrlError(
            f"an observation has shape {list(values.shape)}, not {list(shape)} as its space says: "
            f"{leaf}"
        )
    return values.shape[:axes]
