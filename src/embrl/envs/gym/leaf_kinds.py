"""Kinds of leaves of observations, and how values of each become indices, numbers or images."""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError
from embrl.core.spaces import array_of, digits_of, offset_of
from embrl.envs.gym.leaves import Leaf
from embrl.text.encoders import text_encoder

NO_BOUND = 1e30
"""Bounds beyond this count as none: some environments write the largest float32."""

KNOWN_TEXTS = 2**14
"""Texts whose vectors are remembered: most environments say few different ones."""

IMAGE_SIDE = 16
"""Length of two axes from which an array of bytes from 0 to 255 is an image, not a board."""

PLANE_SIDE = 8
"""The same, of three axes of flags, or of floats from 0 to 1."""


class NumberPart:
    """Numbers of a `Box`, as float32."""

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


class IndexPart:
    """Indices, as int32 from 0; of many values, their digits."""

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


class TextPart(NumberPart):
    """Vectors of a text, by an encoder with a frozen model (`embrl.text`)."""

    def __init__(self, encoder: str) -> None:
        self._encode = text_encoder(encoder)
        bound = 1.0 if encoder == "words" else np.inf
        low = 0.0 if encoder == "words" else -bound
        super().__init__(spaces.Box(low, bound, (self._encode.size,), np.float32))
        self.shape = ()
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, leaf: Leaf, value: Any) -> np.ndarray:
        texts = np.asarray(value, dtype=object)
        if not all(isinstance(text, str) for text in texts.flat):
            raise EmbrlError(f"an observation of {leaf} must be text, got {type(value).__name__}")
        new = sorted({text for text in texts.flat if text not in self._known})
        if new:
            if len(self._known) + len(new) > KNOWN_TEXTS:
                self._known, new = {}, sorted(set(texts.flat))
            self._known |= dict(zip(new, self._encode(new), strict=True))
        found = [self._known[text] for text in texts.flat]
        return np.reshape(found, (*texts.shape, self.length)).astype(np.float32)


class ImagePart:
    """Images as bytes, channels last; frames that are stacked are channels."""

    def __init__(self, box: spaces.Box) -> None:
        self.shape = box.shape
        self.sizes: list[int] = []
        floats = box.dtype.kind == "f"
        self.levels = 255 if floats else int(box.high.max())
        self.pictured = box.dtype == np.uint8 and self.levels == 255
        """True for bytes as a camera has them, not planes."""
        self.scale = 255.0 if floats else 1.0
        rows, columns = _sides(box.shape)
        others = [axis for axis in range(len(box.shape)) if axis not in (rows, columns)]
        self.axes = (rows, columns, *others)
        channels = math.prod(box.shape[axis] for axis in others)
        self.after = (box.shape[rows], box.shape[columns], channels)
        self.space = spaces.Box(0, self.levels, self.after, np.uint8)

    def __call__(self, leaf: Leaf, value: Any) -> np.ndarray:
        values = array_of(value, f"an observation of {leaf}")
        lead = _lead(leaf, values, self.shape)
        if values.dtype.kind not in "iufb":
            raise EmbrlError(f"an observation of {leaf} must be numeric, got {values.dtype}")
        if values.dtype != np.uint8 or self.levels < 255:
            values = values * self.scale if self.scale != 1.0 else values
            low, high = (values.min(), values.max()) if values.size else (0, 0)
            if not (low >= 0 and high <= self.levels):
                wrong = low if not low >= 0 else high
                raise EmbrlError(
                    f"pixels of {leaf} must be from 0 to {self.levels / self.scale:g}, got "
                    f"{wrong / self.scale:g}; clip them, or say the right bounds in its space"
                )
            values = np.rint(values).astype(np.uint8)
        at = len(lead)
        moved = values.transpose((*range(at), *(at + axis for axis in self.axes)))
        return moved.reshape(*lead, *self.after)


def _sides(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the axes of rows and columns: the two neighbours that are longest."""
    at = max(range(len(shape) - 1), key=lambda axis: min(shape[axis], shape[axis + 1]))
    return at, at + 1


def _image_in(leaf: Leaf, text: str) -> ImagePart | None:
    del text
    if not isinstance(leaf.space, spaces.Box) or not _is_image(leaf.space):
        return None
    return ImagePart(leaf.space)


def _numbers_of(leaf: Leaf, text: str) -> NumberPart | None:
    del text
    if not isinstance(leaf.space, spaces.Box):
        return None
    _check_box(leaf, leaf.space)
    return NumberPart(leaf.space)


def _categories_of(leaf: Leaf, text: str) -> IndexPart | None:
    del text
    match leaf.space:
        case spaces.Discrete() as space:
            return IndexPart(space.n, space.start)
        case spaces.MultiDiscrete() as space if space.nvec.size:
            return IndexPart(space.nvec, space.start)
        case spaces.MultiBinary() as space if math.prod(space.shape):
            return IndexPart(np.full(space.shape, 2), np.zeros(space.shape, np.int64))
        case _:
            return None


def _text_of(leaf: Leaf, text: str) -> TextPart | None:
    return TextPart(text) if getattr(leaf.space.dtype, "kind", "") == "U" else None


Form: TypeAlias = NumberPart | IndexPart | ImagePart

LEAF_KINDS: dict[str, Callable[[Leaf, str], Form | None]] = {
    "image": _image_in,
    "numbers": _numbers_of,
    "categories": _categories_of,
    "text": _text_of,
}
"""Kinds of leaves by name: functions of a leaf and a text encoder's name that return the leaf's
form, or None for another kind's."""


def form_of(leaf: Leaf, alone: bool = True, text: str = "words") -> Form:
    """Return how values of a leaf are converted.

    Args:
        leaf: the leaf.
        alone: whether it is all of an observation; else planes of flags are numbers.
        text: name of the encoder of texts (`embrl.text`).

    Raises:
        EmbrlError: If embrl has no kind for it.
    """
    for kind in LEAF_KINDS.values():
        found = kind(leaf, text)
        if found is not None and (alone or not isinstance(found, ImagePart) or found.pictured):
            return found
    raise EmbrlError(
        "observation space must consist of Box, Discrete, MultiDiscrete, MultiBinary and Text, or "
        f"Dict and Tuple of these, got {leaf}"
    )


def _check_box(leaf: Leaf, box: spaces.Box) -> None:
    if not math.prod(box.shape):
        raise EmbrlError(f"a Box of observations must have no empty axis, got {leaf}")
    if box.dtype.kind not in "iufb":
        raise EmbrlError(f"observations must be numeric, got {leaf}")


def _is_image(box: spaces.Box) -> bool:
    """Return whether a box holds an image: no board of codes, nor a matrix of numbers."""
    if len(box.shape) < 2 or box.dtype.kind not in "uifb":
        return False
    side = min(box.shape[axis] for axis in _sides(box.shape))
    if box.dtype == np.uint8 and bool((box.high == 255).any()):
        return side >= IMAGE_SIDE
    planes = len(box.shape) >= 3 and side >= PLANE_SIDE
    within = bool((box.low == 0).all()) and bool((box.high == 1).all())
    return planes and within


def _lead(leaf: Leaf, values: np.ndarray, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the lengths of the leading axes."""
    axes = values.ndim - len(shape)
    if axes < 0 or values.shape[axes:] != shape:
        raise EmbrlError(
            f"an observation of {leaf} must have shape {list(shape)}, got {list(values.shape)}"
        )
    return values.shape[:axes]
