"""Conversion between Gymnasium's spaces and embrl's flat arrays: indices, or vectors of numbers."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike

from embrl.core.errors import EmbrlError, WarnOnce
from embrl.core.spaces import digits_of, factors, offset_of

MAX_ACTIONS = 2**20
"""Largest number of actions that combinations of discrete parts may make."""

EXACT = 2**24
"""Largest magnitude up to which float32 represents every integer."""

MAX_MIXED = 1024
"""Largest length of a vector of numbers and one-hot indices together."""

MAX_ROWS = 2**20
"""Largest number of values of all indices of an observation, digits counted."""

NO_BOUND = 1e30
"""Bounds beyond this count as none: some environments write the largest float32."""

IMAGE_SIDE = 16
"""Length of two axes from which an array of bytes from 0 to 255 is an image, not a board."""


class Leaf(NamedTuple):
    """A space without parts, and the keys that lead to it in a composite space."""

    path: tuple[Any, ...]
    space: spaces.Space

    def of(self, value: Any) -> Any:
        """Return the part of `value`, a value of the whole space, that belongs to this leaf."""
        for key in self.path:
            value = value[key]
        return value

    @property
    def keys(self) -> str:
        """The keys as they are written in Python."""
        return "".join(f"[{key!r}]" for key in self.path)

    def __str__(self) -> str:
        return f"{self.space} at {self.keys}" if self.path else str(self.space)


class Numbers(NamedTuple):
    """A part of observations that is numbers, not indices."""

    leaf: Leaf
    names: list[str]
    """Names of its coordinates."""
    offset: np.ndarray | None
    """What is subtracted from them before they become float32, float64 `[p]` (`offset_of`)."""


def leaves(space: spaces.Space, path: tuple[Any, ...] = ()) -> list[Leaf]:
    """Return all leaves of a space, nested or not, in the order of its parts."""
    parts = children(space)
    if parts is None:
        return [Leaf(path, space)]
    return [leaf for key, part in parts for leaf in leaves(part, (*path, key))]


def assembled(space: spaces.Space, values: Iterator[Any]) -> Any:
    """Assemble a value of `space` from the values of its leaves, in their order."""
    parts = children(space)
    if parts is None:
        return next(values)
    if isinstance(space, spaces.Dict):
        return {key: assembled(part, values) for key, part in parts}
    return tuple(assembled(part, values) for _, part in parts)


def unstacked(space: spaces.Space, values: Any, count: int) -> list[Any]:
    """Split batched values, `[count, ...]` in each leaf, into a list of `count` values."""
    parts = children(space)
    if parts is None:
        # Rows of one number each come out as scalars, which a Box without axes does not take.
        scalars = isinstance(space, spaces.Box) and not space.shape
        return [np.asarray(value) for value in values] if scalars else list(values)
    columns = [unstacked(part, values[key], count) for key, part in parts]
    rows = list(zip(*columns, strict=True)) if columns else [()] * count
    if isinstance(space, spaces.Dict):
        keys = [key for key, _ in parts]
        return [dict(zip(keys, row, strict=True)) for row in rows]
    return rows


class Observations:
    """Converter from an environment's observations to embrl's.

    | original | becomes |
    |---|---|
    | `Box` of any axes and numbers, no image | float32 `Box [p]`, from 0 if bounds lie far off |
    | `Discrete`, also with a start | `Discrete` from 0 |
    | `Discrete` of more than 2^16 values | `MultiDiscrete` of its digits, the first one greatest |
    | `MultiDiscrete`, `MultiBinary`, of any axes | `MultiDiscrete`, one axis, from 0 |
    | `Dict`, `Tuple` of `Box` | one `Box`, part after part |
    | `Dict`, `Tuple` of the discrete ones | one `MultiDiscrete` |
    | `Dict`, `Tuple` of both | a `Box` with one-hots, at most 1,024 long |
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
        self._parts = [(leaf, _form(leaf)) for leaf in found]
        forms = [form for _, form in self._parts]
        sizes = [size for form in forms if isinstance(form, _IndexPart) for size in form.sizes]
        self._mixed = bool(sizes) and any(isinstance(form, _NumberPart) for form in forms)
        if self._mixed and (length := sum(form.length for form in forms)) > MAX_MIXED:
            raise EmbrlError(
                f"observations that mix numbers and indices must have a length of at most "
                f"{MAX_MIXED:,}, got a vector of {length:,} for {original}"
            )
        if (rows := sum(sizes)) > MAX_ROWS:
            raise EmbrlError(
                f"the values of all indices of an observation must be at most {MAX_ROWS:,}, got "
                f"{rows:,} for {original}; describe it by fewer indices, or by numbers in a Box"
            )
        alone = found[0].space if without is not None and len(found) == 1 else original
        self._single = isinstance(alone, spaces.Discrete) and len(sizes) == 1
        self.space = _space(forms, sizes, self._mixed, self._single)
        self.dtype = np.dtype(np.float32 if isinstance(self.space, spaces.Box) else np.int32)
        self.shape: tuple[int, ...] = self.space.shape or ()
        plain = isinstance(original, spaces.Box) and offset_of(original) is None
        self.plain: tuple[int, ...] | None = (original.shape or ()) if plain else None
        """Shape of an original observation that is a single array of numbers, else None. Such
        observations may be collected as float32 rows without a call of this converter."""
        self._low, self._high = _finite_bounds(self.space)

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
        values = [
            form.one_hot(leaf, form(leaf, _part(leaf, observation)))
            if self._mixed and isinstance(form, _IndexPart)
            else form(leaf, _part(leaf, observation))
            for leaf, form in self._parts
        ]
        return np.concatenate(values, -1)

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
        wrong = ~np.isfinite(values) if self.dtype.kind == "f" else ~self._inside(values)
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
            index = isinstance(form, _IndexPart) and not self._mixed
            length = len(form.sizes) if isinstance(form, _IndexPart) and index else form.length
            where = f" of {leaf.keys}" if leaf.path else ""
            several = [f"coordinate {at}{where}" for at in range(length)]
            names.append([leaf.keys] if leaf.path and length == 1 else several)
        return names


def _finite_bounds(space: spaces.Space) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest value of each coordinate; float32's own without bounds."""
    if isinstance(space, spaces.Box):
        largest = np.finfo(np.float32).max
        return np.maximum(space.low, -largest), np.minimum(space.high, largest)
    counts = np.array(factors(space), np.int64)
    counts = counts[0] if isinstance(space, spaces.Discrete) else counts
    return np.zeros_like(counts), counts - 1


class _NumberPart:
    def __init__(self, box: spaces.Box) -> None:
        self.shape = box.shape
        self.length = math.prod(box.shape)
        low, high = box.low.astype(np.float64).ravel(), box.high.astype(np.float64).ravel()
        offset = offset_of(box)
        self.offset = None if offset is None else offset.ravel()
        if self.offset is not None:
            low, high = low - self.offset, high - self.offset
        # A number that cannot vary has no range to be scaled by.
        free = (low >= high) | (np.abs(low) > NO_BOUND) & (np.abs(high) > NO_BOUND)
        self.low = np.where(free | (low < -NO_BOUND), -np.inf, low).astype(np.float32)
        self.high = np.where(free | (high > NO_BOUND), np.inf, high).astype(np.float32)

    def __call__(self, leaf: Leaf, value: Any) -> np.ndarray:
        values = np.asarray(value)
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
        self.length = sum(self.sizes)
        self._counts = np.array(counts, np.int64)
        self._digits = found if len(self.sizes) > len(counts) else None

    def __call__(self, leaf: Leaf, value: Any) -> np.ndarray:
        values = np.asarray(value)
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
            digits = np.stack(np.unravel_index(np.where(wrong, 0, index)[..., at], sizes), -1)
            columns.append(np.where(wrong[..., at, None], -1, digits))
        return np.concatenate(columns, -1).astype(np.int32)

    def one_hot(self, leaf: Leaf, values: np.ndarray) -> np.ndarray:
        if ((values < 0) | (values >= self.sizes)).any():
            raise EmbrlError(f"an observation of {leaf} must be in range, got {values.tolist()}")
        hot = [values[..., k, None] == np.arange(size) for k, size in enumerate(self.sizes)]
        return np.concatenate(hot, -1).astype(np.float32)


def _form(leaf: Leaf) -> _NumberPart | _IndexPart:
    match leaf.space:
        case spaces.Box() as box:
            _check_box(leaf, box)
            return _NumberPart(box)
        case spaces.Discrete() as space:
            return _IndexPart(space.n, space.start)
        case spaces.MultiDiscrete() as space if space.nvec.size:
            return _IndexPart(space.nvec, space.start)
        case spaces.MultiBinary() as space if math.prod(space.shape):
            return _IndexPart(np.full(space.shape, 2), np.zeros(space.shape, np.int64))
        case _:
            raise EmbrlError(
                "observation space must consist of Box, Discrete, MultiDiscrete and MultiBinary, "
                f"or Dict and Tuple of these, got {leaf}"
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


def _space(
    forms: list[_NumberPart | _IndexPart], sizes: list[int], mixed: bool, single: bool
) -> spaces.Space:
    if single:
        return spaces.Discrete(sizes[0])
    if sizes and not mixed:
        return spaces.MultiDiscrete(sizes)
    low = [form.low if isinstance(form, _NumberPart) else np.zeros(form.length) for form in forms]
    high = [form.high if isinstance(form, _NumberPart) else np.ones(form.length) for form in forms]
    return spaces.Box(
        np.concatenate(low).astype(np.float32), np.concatenate(high).astype(np.float32)
    )


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


class Actions:
    """Converter between an environment's actions and embrl's.

    | original | becomes |
    |---|---|
    | `Discrete`, also with a start | `Discrete` from 0 |
    | `MultiDiscrete`, `MultiBinary` | `Discrete` of all combinations, at most 2^20 |
    | `Box` of any axes, of floats or whole numbers | float32 `Box [n]` of what can vary |
    | `Dict`, `Tuple` of one of these kinds | the same of all parts |

    Combinations are numbered like digits: the first part is the most significant.
    """

    def __init__(self, original: spaces.Space) -> None:
        """Build the converter.

        Args:
            original: The environment's action space.

        Raises:
            EmbrlError: If embrl has no policy for such actions; the message says which part and
                why.
        """
        self.original = original
        found = leaves(original)
        if not found:
            raise EmbrlError(f"action space must not be empty, got {original}")
        boxes = [isinstance(leaf.space, spaces.Box) for leaf in found]
        if any(boxes) and not all(boxes):
            raise EmbrlError(
                f"actions must be all continuous or all discrete, got {original}, which mixes both"
            )
        form = _VectorActions if all(boxes) else _IndexActions
        self._form = form(original, found)
        self.space: spaces.Box | spaces.Discrete = self._form.space

    @property
    def parts(self) -> list[tuple[Leaf, tuple[int, ...]]]:
        """Leaves of discrete actions, with the numbers of values of their parts; else empty."""
        return self._form.parts if isinstance(self._form, _IndexActions) else []

    def to_original(self, actions: ArrayLike) -> Any:
        """Convert embrl's actions to the environment's.

        Args:
            actions: int32 `[...]` or float32 `[..., n]`.

        Returns:
            The environment's actions, with the leading axes of `actions` in each leaf. Continuous
            ones are clipped to the bounds and, for integer spaces, rounded.

        Raises:
            EmbrlError: If an index is out of range, or vectors have another length.
        """
        return assembled(self.original, iter(self._form.taken_apart(np.asarray(actions))))

    def from_original(self, actions: Any) -> np.ndarray:
        """Convert the environment's actions, with leading axes in each leaf, to embrl's.

        Returns:
            int32 `[...]` or float32 `[..., n]`.
        """
        return self._form.put_together(actions)


class _IndexActions:
    def __init__(self, original: spaces.Space, found: list[Leaf]) -> None:
        self._leaves = found
        shapes_and_starts = [_digits(leaf) for leaf in found]
        self.parts = [
            (leaf, tuple(int(n) for n in nvec.ravel()))
            for leaf, (nvec, _) in zip(found, shapes_and_starts, strict=True)
        ]
        self._parts = [(nvec.shape, start) for nvec, start in shapes_and_starts]
        self._sizes = [int(n) for nvec, _ in shapes_and_starts for n in nvec.ravel()]
        self._ends = list(itertools.accumulate(nvec.size for nvec, _ in shapes_and_starts))
        count = math.prod(self._sizes)
        if count > MAX_ACTIONS:
            shown = f"{count:,}" if count < 10**15 else f"about 10^{math.log10(count):.0f}"
            raise EmbrlError(
                f"the number of actions, all combinations counted, must be at most "
                f"{MAX_ACTIONS:,}, got {shown} for {original}; describe them by fewer values, or "
                "by a Box of numbers, which are rounded"
            )
        self.space = spaces.Discrete(count)

    def taken_apart(self, actions: np.ndarray) -> list[Any]:
        if actions.dtype.kind not in "iu":
            raise EmbrlError(f"actions of {self.space} must be integers, got {actions.dtype}")
        wrong = (actions < 0) | (actions >= self.space.n)
        if wrong.any():
            raise EmbrlError(f"action must be in {self.space}, got {actions[wrong][0]}")
        if isinstance(self._leaves[0].space, spaces.Discrete) and len(self._leaves) == 1:
            return [(actions.astype(np.int64) + self._parts[0][1])[()]]  # as below, but faster
        digits = np.unravel_index(actions, self._sizes)
        values, begin = [], 0
        for leaf, (shape, start), end in zip(self._leaves, self._parts, self._ends, strict=True):
            value = np.stack(digits[begin:end], -1).reshape((*actions.shape, *shape)) + start
            values.append(value.astype(leaf.space.dtype)[()])
            begin = end
        return values

    def put_together(self, actions: Any) -> np.ndarray:
        digits: list[np.ndarray] = []
        for leaf, (shape, start) in zip(self._leaves, self._parts, strict=True):
            value = np.asarray(leaf.of(actions)).astype(np.int64) - start
            lead = value.shape[: value.ndim - len(shape)]
            digits += list(np.moveaxis(value.reshape((*lead, -1)), -1, 0))
        return np.asarray(np.ravel_multi_index(tuple(digits), self._sizes)).astype(np.int32)


class _VectorActions:
    def __init__(self, original: spaces.Space, found: list[Leaf]) -> None:
        self._leaves = found
        self._boxes = [_checked_box(leaf) for leaf in found]
        self._ends = list(itertools.accumulate(math.prod(box.shape) for box in self._boxes))
        low = np.concatenate([box.low.ravel().astype(np.float64) for box in self._boxes])
        high = np.concatenate([box.high.ravel().astype(np.float64) for box in self._boxes])
        if not low.size:
            raise EmbrlError(f"action space must not be empty, got {original}")
        with np.errstate(over="ignore"):  # beyond float32 is infinite
            self._low, high = low.astype(np.float32), high.astype(np.float32)
        self._varies = self._low < high
        if not self._varies.any():
            raise EmbrlError(
                f"action space must leave something to choose, got {original}, in which every "
                "lower bound is an upper bound; widen one"
            )
        self.space = spaces.Box(self._low[self._varies], high[self._varies])

    def taken_apart(self, actions: np.ndarray) -> list[Any]:
        if actions.shape[-1:] != self.space.shape:
            raise EmbrlError(
                f"actions of {self.space} must end in an axis of {self.space.shape[0]}, got shape "
                f"{list(actions.shape)}"
            )
        if not self._varies.all():
            chosen = actions
            actions = np.tile(self._low, (*chosen.shape[:-1], 1))
            actions[..., self._varies] = chosen
        values, begin = [], 0
        for box, end in zip(self._boxes, self._ends, strict=True):
            value = actions[..., begin:end].reshape((*actions.shape[:-1], *box.shape))
            value = np.rint(value) if box.dtype.kind in "iu" else value.astype(np.float64)
            values.append(np.asarray(np.clip(value, box.low, box.high)).astype(box.dtype))
            begin = end
        return values

    def put_together(self, actions: Any) -> np.ndarray:
        values = []
        for leaf, box in zip(self._leaves, self._boxes, strict=True):
            value = np.asarray(leaf.of(actions))
            lead = value.shape[: value.ndim - len(box.shape)]
            values.append(value.reshape((*lead, math.prod(box.shape))).astype(np.float32))
        return np.concatenate(values, -1)[..., self._varies]


def _digits(leaf: Leaf) -> tuple[np.ndarray, Any]:
    """Return the number of values of each part, in the leaf's shape, and their start."""
    match leaf.space:
        case spaces.Discrete() as space:
            return np.asarray(int(space.n)), int(space.start)
        case spaces.MultiDiscrete() as space if space.nvec.size:
            return space.nvec, space.start
        case spaces.MultiBinary() as space if math.prod(space.shape):
            return np.full(space.shape, 2), 0
        case _:
            raise EmbrlError(
                "action space must consist of Discrete, MultiDiscrete and MultiBinary, or of Box, "
                f"or be a Dict or Tuple of one of these kinds, got {leaf}"
            )


def _checked_box(leaf: Leaf) -> spaces.Box:
    box = leaf.space
    assert isinstance(box, spaces.Box)
    if box.dtype.kind not in "iuf":
        raise EmbrlError(f"actions must be numeric, got {leaf}")
    if box.dtype.kind in "iu":
        bounds = np.abs(np.stack([box.low, box.high]).astype(np.float64))
        most = bounds.max(initial=0.0)
        if most > EXACT:
            raise EmbrlError(
                f"integer actions must have bounds of at most {EXACT:,}, where float32 is exact, "
                f"got up to {most:.3g} in {leaf}"
            )
    return box


def children(space: spaces.Space) -> list[tuple[Any, spaces.Space]] | None:
    """Return the parts of a composite space with their keys; None for a space without parts."""
    match space:
        case spaces.Dict():
            return list(space.spaces.items())
        case spaces.Tuple():
            return list(enumerate(space.spaces))
        case _:
            return None
