"""Conversion of an environment's observations to embrl's: indices, numbers, both, or images."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError, WarnOnce
from embrl.core.images import is_image
from embrl.core.products import as_space, dtype_of, shape_of
from embrl.core.spaces import numbers_and_factors, offset_of
from embrl.envs.gym.leaf_kinds import Form, ImagePart, IndexPart, NumberPart, form_of
from embrl.envs.gym.leaves import Leaf, leaves

MAX_ROWS = 2**20
"""Largest number of values of all indices of an observation, digits counted."""


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
    | `Box` of bytes to 255, with two axes of 16 or more | an image: uint8, channels last |
    | `Box` of flags or of floats from 0 to 1, with three axes, two of 8 or more | the same |
    | `Box` of any other axes and numbers | float32 `Box [p]`, from 0 if bounds lie far off |
    | `Discrete`, also with a start | `Discrete` from 0 |
    | `Discrete` of more than 2^16 values | `MultiDiscrete` of its digits, the first one greatest |
    | `MultiDiscrete`, `MultiBinary`, of any axes | `MultiDiscrete`, one axis, from 0 |
    | `Text`, and spaces of text as MiniGrid's missions | the vector of a text encoder |
    | `Dict`, `Tuple` of `Box` | one `Box`, part after part |
    | `Dict`, `Tuple` of the discrete ones | one `MultiDiscrete` |
    | `Dict`, `Tuple` of both | a row, all indices before all numbers (`embrl.core.products`) |
    """

    def __init__(
        self,
        original: spaces.Space,
        without: tuple[Any, ...] | None = None,
        text_encoder: str = "words",
    ) -> None:
        """Build the converter.

        Args:
            original: The environment's observation space.
            without: Keys that lead to a part that is left out, such as a mask of actions; None:
                nothing is. A part that is all there is stays.
            text_encoder: Name of the encoder of texts (`embrl.text`).

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
        parts = [(leaf, form_of(leaf, len(found) == 1, text_encoder)) for leaf in found]
        self.image = next((form for _, form in parts if isinstance(form, ImagePart)), None)
        """The conversion of images; None of other observations."""
        if self.image is not None and len(parts) > 1:
            image = next(leaf for leaf, form in parts if form is self.image)
            raise EmbrlError(
                f"an image must be all of an observation, got {image} among {len(parts)} parts; "
                "leave the others out (gymnasium.wrappers.FilterObservation), or give it features"
            )
        self._parts = sorted(parts, key=lambda part: isinstance(part[1], NumberPart))
        forms = [form for _, form in self._parts]
        sizes = [size for form in forms if isinstance(form, IndexPart) for size in form.sizes]
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
        plain &= self.image is None
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
        if self.image is not None or self._inside(values).all():
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
        if self.image is not None:
            return None  # what is no image was refused by the converter
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
            if isinstance(form, NumberPart)
        ]

    @property
    def coordinates(self) -> list[str]:
        """Names of the coordinates, or of the indices, of a converted observation."""
        return [name for names in self._names() for name in names]

    def _names(self) -> list[list[str]]:
        names: list[list[str]] = []
        for leaf, form in self._parts:
            if isinstance(form, ImagePart):  # pixels have no names
                names.append([])
                continue
            length = form.length if isinstance(form, NumberPart) else len(form.sizes)
            where = f" of {leaf.keys}" if leaf.path else ""
            several = [f"coordinate {at}{where}" for at in range(length)]
            names.append([leaf.keys] if leaf.path and length == 1 else several)
        return names


def _finite_bounds(space: spaces.Space) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest value of each coordinate; float32's own without bounds."""
    box, sizes = numbers_and_factors(space)
    if is_image(space):
        return np.zeros(1), np.full(1, 255)
    counts = np.array(sizes, np.int64)
    if box is None:
        counts = counts[0] if isinstance(space, spaces.Discrete) else counts
        return np.zeros_like(counts), counts - 1
    largest = np.finfo(np.float32).max
    low, high = np.maximum(box.low, -largest), np.minimum(box.high, largest)
    return np.append(np.zeros(len(counts), np.float32), low), np.append(counts - 1, high)


def _space(forms: list[Form], sizes: list[int], single: bool) -> spaces.Space:
    if isinstance(forms[0], ImagePart):
        return forms[0].space
    if single:
        return spaces.Discrete(sizes[0])
    numbers = [form for form in forms if isinstance(form, NumberPart)]
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
