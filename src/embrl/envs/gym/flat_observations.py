"""Conversion of an environment's observations to embrl's: indices, numbers, or rows of both."""

import math
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError, WarnOnce
from embrl.core.products import as_space, dtype_of, shape_of
from embrl.core.spaces import array_of, digits_of, numbers_and_factors, offset_of
from embrl.envs.gym.leaves import Leaf, leaves

MAX_ROWS = 2**20
"""Largest number of values of all indices of an observation, digits counted."""

NO_BOUND = 1e30
"""Bounds beyond this count as none: some environments write the largest float32."""

TEXT = 32
"""Length of the vector of a text's words."""

IMAGE_SIDE = 16
"""Length of two axes from which an array of bytes from 0 to 255 is an image, not a board."""


class Numbers(NamedTuple):
    """A part of observations that is numbers, not indices."""

    leaf: Leaf
    names: list[str]
    """Names of its coordinates."""
    offset: np.ndarray | None
    """What is subtracted from them before they become float32, float64 `[p]` (`offset_of`)."""


class Observations:
    """Converter from an environment's observations to embrl's.

    | original | becomes |
    |---|---|
    | `Box` of any axes and numbers, no image | float32 `Box [p]`, from 0 if bounds lie far off |
    | `Discrete`, also with a start | `Discrete` from 0 |
    | `Discrete` of more than 2^16 values | `MultiDiscrete` of its digits, the first one greatest |
    | `MultiDiscrete`, `MultiBinary`, of any axes | `MultiDiscrete`, one axis, from 0 |
    | `Text`, and spaces of text as MiniGrid's missions | 32 numbers: which words occur |
    | `Dict`, `Tuple` of `Box` | one `Box`, part after part |
    | `Dict`, `Tuple` of the discrete ones | one `MultiDiscrete` |
    | `Dict`, `Tuple` of both | a row, all indices before all numbers (`embrl.core.products`) |
    """

    def __init__(self, original: spaces.Space, without: tuple[Any, ...] | None = None) -> None:
        """Build the converter.

        Args:
            original: The environment's observation space.
            without: Keys that lead to a part that is left out, such as a mask of actions; None:
                nothing is. A part that is all there is stays.

        Raises:
            EmbrlError: If embrl has no encoder for such observations; the message says which part
                and why.
        """
        self.original = original
        self.warn = WarnOnce()
        """Warnings about what the environment returns."""
        self.strict = False
        """True to refuse observations outside their bounds, instead of a warning."""
        found = leaves(original)
        if without is not None:
            found = [leaf for leaf in found if leaf.path[: len(without)] != without] or found
        if not found:
            raise EmbrlError(f"observation space must not be empty, got {original}")
        parts = [(leaf, _form(leaf)) for leaf in found]
        self._parts = sorted(parts, key=lambda part: isinstance(part[1], _NumberPart))
        forms = [form for _, form in self._parts]
        sizes = [size for form in forms if isinstance(form, _IndexPart) for size in form.sizes]
        if (rows := sum(sizes)) > MAX_ROWS:
            raise EmbrlError(
                f"the values of all indices of an observation must be at most {MAX_ROWS:,}, got "
                f"{rows:,} for {original}; describe it by fewer indices, or by numbers in a Box"
            )
        alone = found[0].space if without is not None and len(found) == 1 else original
        self._single = isinstance(alone, spaces.Discrete) and len(sizes) == 1
        self.space = _space(forms, sizes, self._single)
        self.dtype, self.shape = dtype_of(self.space), shape_of(self.space)
        plain = isinstance(original, spaces.Box) and offset_of(original) is None
        self.plain: tuple[int, ...] | None = (original.shape or ()) if plain else None
        """Shape of an original observation that is a single array of numbers, else None. Such
        observations may be collected as float32 rows without a call of this converter."""
        self._low, self._high = _finite_bounds(self.space)
        box, found_sizes = numbers_and_factors(self.space)
        self._index = np.arange(len(self._low)) < len(found_sizes) if box else np.True_

    def __call__(self, observation: Any) -> np.ndarray:
        """Convert one observation, or many with leading axes in each part.

        Returns:
            The observations, float32 or int32 `[..., *shape]`.

        Raises:
            EmbrlError: If a part has another shape or dtype than its space.
        """
        if len(self._parts) == 1:
            leaf, form = self._parts[0]
            values = form(leaf, observation if not leaf.path else _part(leaf, observation))
            return values[..., 0] if self._single else values
        values = [form(leaf, _part(leaf, observation)) for leaf, form in self._parts]
        if len({value.shape[:-1] for value in values}) > 1:
            raise EmbrlError(
                "parts of an observation must have the same leading axes, got "
                f"{[list(value.shape[:-1]) for value in values]}"
            )
        return np.concatenate(values, -1, dtype=self.dtype)

    def check(self, values: np.ndarray, who: Callable[[int], str], when: str) -> None:
        """Check converted observations; warn once of finite numbers outside their bounds.

        Args:
            values: `[B, *shape]`.
            who: Returns the name of the environment of a row.
            when: End of the message, as `at step 3`.

        Raises:
            EmbrlError: If a number is not finite or an index out of range, or, where `strict`, a
                number is outside its bounds.
        """
        if self._inside(values).all():
            return
        if fault := self.fault(values):
            row, words = fault
            raise EmbrlError(f"{who(row)} gave {words} {when}")
        row, at = np.argwhere(~self._inside(values))[0].tolist()
        said = (
            f"{who(row)} gave {values[row, at]:g} in {self.coordinates[at]} of its observation"
            f"{when and ' '}{when}, outside {self._low[at]:g} to {self._high[at]:g}"
        )
        if self.strict:
            raise EmbrlError(f"{said}; widen its observation_space, or leave out strict")
        self.warn("outside", f"{said}; it is taken as it is, and so are others")

    def fault(self, values: np.ndarray) -> tuple[int, str] | None:
        """Find the first number that is not finite, or index out of range.

        Args:
            values: Converted observations, `[B, *shape]`.

        Returns:
            The row and a description of the fault; None if there is none.
        """
        wrong = ~np.isfinite(values) | (self._index & ~self._inside(values))
        if not wrong.any():
            return None
        row, *rest = np.argwhere(wrong)[0].tolist()
        at = f" in {self.coordinates[rest[0]]}" if rest else ""
        return row, f"{values[(row, *rest)]}{at} of its observation ({self.original})"

    def _inside(self, values: np.ndarray) -> np.ndarray:
        return (values >= self._low) & (values <= self._high)

    @property
    def numbers(self) -> list["Numbers"]:
        """Parts that are numbers, not indices."""
        return [
            Numbers(leaf, names, form.offset)
            for (leaf, form), names in zip(self._parts, self._names(), strict=True)
            if isinstance(form, _NumberPart)
        ]

    @property
    def coordinates(self) -> list[str]:
        """Names of the coordinates, or of the indices, of a converted observation."""
        return [name for names in self._names() for name in names]

    def _names(self) -> list[list[str]]:
        names: list[list[str]] = []
        for leaf, form in self._parts:
            length = len(form.sizes) if isinstance(form, _IndexPart) else form.length
            where = f" of {leaf.keys}" if leaf.path else ""
            several = [f"coordinate {at}{where}" for at in range(length)]
            names.append([leaf.keys] if leaf.path and length == 1 else several)
        return names


def _finite_bounds(space: spaces.Space) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest value of each coordinate; float32's own without bounds."""
    box, sizes = numbers_and_factors(space)
    counts = np.array(sizes, np.int64)
    if box is None:
        counts = counts[0] if isinstance(space, spaces.Discrete) else counts
        return np.zeros_like(counts), counts - 1
    largest = np.finfo(np.float32).max
    low, high = np.maximum(box.low, -largest), np.minimum(box.high, largest)
    return np.append(np.zeros(len(counts), np.float32), low), np.append(counts - 1, high)


class _NumberPart:
    def __init__(self, box: spaces.Box) -> None:
        self.shape = box.shape
        self.length = math.prod(box.shape)
        low, high = box.low.astype(np.float64).ravel(), box.high.astype(np.float64).ravel()
        offset = offset_of(box)
        self.offset = None if offset is None else offset.ravel()
        if self.offset is not None:
            low, high = low - self.offset, high - self.offset
        # A number that cannot vary in float32 has no range to be scaled by.
        with np.errstate(over="ignore"):
            free = low.astype(np.float32) >= high.astype(np.float32)
        free |= (np.abs(low) > NO_BOUND) & (np.abs(high) > NO_BOUND)
        self.low = np.where(free | (low < -NO_BOUND), -np.inf, low).astype(np.float32)
        self.high = np.where(free | (high > NO_BOUND), np.inf, high).astype(np.float32)

    def __call__(self, leaf: Leaf, value: Any) -> np.ndarray:
        values = array_of(value, f"an observation of {leaf}")
        lead = _lead(leaf, values, self.shape)
        if values.dtype.kind not in "iufb":
            raise EmbrlError(f"an observation of {leaf} must be numeric, got {values.dtype}")
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and found by `fault`
            values = values.reshape(*lead, self.length)
            if self.offset is not None:
                values = values.astype(np.float64) - self.offset
            return values.astype(np.float32)


class _IndexPart:
    def __init__(self, nvec: Any, start: Any) -> None:
        self.shape = np.shape(nvec)
        self.start = np.asarray(start).ravel()
        counts = [int(count) for count in np.ravel(nvec)]
        found = [digits_of(count) for count in counts]
        self.sizes = [size for sizes in found for size in sizes]
        self._counts = np.array(counts, np.int64)
        self._digits = found if len(self.sizes) > len(counts) else None

    def __call__(self, leaf: Leaf, value: Any) -> np.ndarray:
        values = array_of(value, f"an observation of {leaf}")
        lead = _lead(leaf, values, self.shape)
        if values.dtype.kind not in "iub":
            raise EmbrlError(f"an observation of {leaf} must be integers, got {values.dtype}")
        index = values.reshape(*lead, len(self._counts)) - self.start
        if self._digits is None:
            return index.astype(np.int32)
        # What is out of range keeps a digit out of range, by which `fault` finds it.
        wrong = (index < 0) | (index >= self._counts)
        columns = []
        for at, sizes in enumerate(self._digits):
            rest, digits = np.where(wrong, 0, index)[..., at], []
            # Not `np.unravel_index`, which refuses sizes whose product is beyond int64.
            for size in reversed(sizes):
                rest, digit = np.divmod(rest, size)
                digits.insert(0, digit)
            columns.append(np.where(wrong[..., at, None], -1, np.stack(digits, -1)))
        return np.concatenate(columns, -1).astype(np.int32)


class _TextPart(_NumberPart):
    """Words of a text, each a place that its checksum names: 1 where a word occurs."""

    def __init__(self) -> None:
        super().__init__(spaces.Box(0.0, 1.0, (TEXT,), np.float32))
        self.shape = ()

    def __call__(self, leaf: Leaf, value: Any) -> np.ndarray:
        texts = np.asarray(value, dtype=object)
        if not all(isinstance(text, str) for text in texts.flat):
            raise EmbrlError(f"an observation of {leaf} must be text, got {type(value).__name__}")
        found = np.zeros((texts.size, TEXT), np.float32)
        for row, text in zip(found, texts.flat, strict=True):
            for word in text.lower().split():
                row[zlib.crc32(word.encode()) % TEXT] = 1.0
        return found.reshape((*texts.shape, TEXT))


def _numbers_of(leaf: Leaf) -> _NumberPart | None:
    if not isinstance(leaf.space, spaces.Box):
        return None
    _check_box(leaf, leaf.space)
    return _NumberPart(leaf.space)


def _categories_of(leaf: Leaf) -> _IndexPart | None:
    match leaf.space:
        case spaces.Discrete() as space:
            return _IndexPart(space.n, space.start)
        case spaces.MultiDiscrete() as space if space.nvec.size:
            return _IndexPart(space.nvec, space.start)
        case spaces.MultiBinary() as space if math.prod(space.shape):
            return _IndexPart(np.full(space.shape, 2), np.zeros(space.shape, np.int64))
        case _:
            return None


def _text_of(leaf: Leaf) -> _TextPart | None:
    return _TextPart() if getattr(leaf.space.dtype, "kind", "") == "U" else None


LEAF_KINDS: dict[str, Callable[[Leaf], _NumberPart | _IndexPart | None]] = {
    "numbers": _numbers_of,
    "categories": _categories_of,
    "text": _text_of,
}
"""Kinds of leaves by name: functions that return a leaf's form, or None for another kind's."""


def _form(leaf: Leaf) -> _NumberPart | _IndexPart:
    for kind in LEAF_KINDS.values():
        if (found := kind(leaf)) is not None:
            return found
    raise EmbrlError(
        "observation space must consist of Box, Discrete, MultiDiscrete, MultiBinary and Text, or "
        f"Dict and Tuple of these, got {leaf}"
    )


def _check_box(leaf: Leaf, box: spaces.Box) -> None:
    if _is_image(box):
        raise EmbrlError(
            f"observations must not be images, got {leaf}; embrl has no image encoder: give it "
            "features, or a small image as one vector (gymnasium.wrappers.FlattenObservation)"
        )
    if not math.prod(box.shape):
        raise EmbrlError(f"a Box of observations must have no empty axis, got {leaf}")
    if box.dtype.kind not in "iufb":
        raise EmbrlError(f"observations must be numeric, got {leaf}")


def _is_image(box: spaces.Box) -> bool:
    """Return whether a box holds bytes that use their range, over an area: no board of flags."""
    sides = sum(length >= IMAGE_SIDE for length in box.shape)
    return box.dtype == np.uint8 and sides >= 2 and bool((box.high == 255).any())


def _space(forms: list[_NumberPart | _IndexPart], sizes: list[int], single: bool) -> spaces.Space:
    if single:
        return spaces.Discrete(sizes[0])
    numbers = [form for form in forms if isinstance(form, _NumberPart)]
    if not numbers:
        return spaces.MultiDiscrete(sizes)
    low, high = (
        np.concatenate(side) for side in zip(*((n.low, n.high) for n in numbers), strict=True)
    )
    box = spaces.Box(low, high)
    return as_space(tuple(sizes), box) if sizes else box


def _part(leaf: Leaf, observation: Any) -> Any:
    try:
        return leaf.of(observation)
    except (KeyError, IndexError, TypeError) as error:
        raise EmbrlError(f"an observation lacks its part {leaf}") from error


def _lead(leaf: Leaf, values: np.ndarray, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the lengths of the leading axes."""
    axes = values.ndim - len(shape)
    if axes < 0 or values.shape[axes:] != shape:
        raise EmbrlError(
            f"an observation of {leaf} must have shape {list(shape)}, got {list(values.shape)}"
        )
    return values.shape[:axes]
