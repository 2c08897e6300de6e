"""Values with several parts: how a flat row of them is divided, and masks of parts.

An action of a product is one row: the indices of its k discrete parts, then its p numbers. Without
numbers it is int32 `[k]`, of `MultiDiscrete(sizes)`; with numbers float32 `[k + p]`, of
`Tuple(MultiDiscrete(sizes), Box)`. Indices up to 2^24 are exact in float32. Observations of both
indices and numbers are such rows, too.
"""

import dataclasses
import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError, SettingError
from embrl.core.images import Image, is_image
from embrl.core.masks import as_flags, instead_of_masked, library, open_if_empty

Values: TypeAlias = Any
"""An array of NumPy or JAX."""

MAX_SIZE = 2**24
"""Largest number of values of a part beside numbers: float32 is exact up to there."""


@dataclasses.dataclass(frozen=True)
class Mixed:
    """Size of a row of discrete factors and numbers: indices first, then numbers."""

    sizes: tuple[int, ...]
    """Number of values of each factor."""
    numbers: int
    """Length of the vector of numbers."""


@dataclasses.dataclass(frozen=True)
class Ring:
    """Size of a vector that begins with readings around a circle, as the beams of a lidar."""

    readings: int
    numbers: int
    """Length of what follows."""


InputSize: TypeAlias = int | tuple[int, ...] | Mixed | Image
"""Size of a network's input: of a vector, of discrete factors, of a row of both, or of an image."""

LayerSize: TypeAlias = InputSize | Ring
"""The same of its first layer, which may know that a vector begins with readings around a circle.
"""


def fan_in_of(inputs: LayerSize) -> int:
    """Return the number of inputs that are not 0: one for each factor, and all numbers."""
    match inputs:
        case int():
            return inputs
        case Mixed():
            return len(inputs.sizes) + inputs.numbers
        case Image():
            return inputs.pixels
        case Ring():
            return inputs.readings + inputs.numbers
        case _:
            return len(inputs)


class Product(NamedTuple):
    """Parts of an action."""

    sizes: tuple[int, ...]
    """Number of values of each discrete part."""
    low: tuple[float, ...] = ()
    """Lower bounds of the numbers, float32."""
    high: tuple[float, ...] = ()
    """Upper bounds of the numbers."""

    @property
    def numbers(self) -> int:
        """Number of numbers, p."""
        return len(self.low)

    @property
    def box(self) -> spaces.Box | None:
        """Space of the numbers; None where there are none."""
        if not self.low:
            return None
        return spaces.Box(np.array(self.low, np.float32), np.array(self.high, np.float32))

    @property
    def length(self) -> int:
        """Length of a row, k + p."""
        return len(self.sizes) + self.numbers

    @property
    def values(self) -> int:
        """Number of values of all discrete parts together."""
        return sum(self.sizes)

    @property
    def combinations(self) -> int:
        """Number of combinations of the discrete parts."""
        return math.prod(self.sizes)

    @property
    def dtype(self) -> np.dtype:
        """Kind of number of a row."""
        return np.dtype(np.float32 if self.low else np.int32)

    @property
    def offsets(self) -> np.ndarray:
        """Places of the first values of parts among all values, int32 `[k]`."""
        return np.cumsum((0, *self.sizes[:-1]), dtype=np.int32)

    @property
    def widest(self) -> int:
        """Number of values of the largest part."""
        return max(self.sizes)

    @property
    def places(self) -> np.ndarray:
        """Places of the values of each part, int32 `[k, widest]`, cut to the last of the part."""
        columns = np.arange(self.widest, dtype=np.int32)
        last = np.asarray(self.sizes, np.int32)[:, None] - 1
        return self.offsets[:, None] + np.minimum(columns, last)

    @property
    def exists(self) -> np.ndarray:
        """Flags of the places that are values of the part, bool `[k, widest]`."""
        return np.arange(self.widest) < np.asarray(self.sizes)[:, None]

    def split(self, rows: Values) -> tuple[Values, Values]:
        """Return indices, int32 `[..., k]`, and numbers, `[..., p]`, of rows."""
        k = len(self.sizes)
        return rows[..., :k].astype(np.int32), rows[..., k:]

    def joined(self, indices: Values, numbers: Values | None) -> Values:
        """Return rows of indices `[..., k]` and numbers `[..., p]`; None where p is 0."""
        if not self.low or numbers is None:
            return indices.astype(np.int32)
        whole = indices.astype(np.float32)
        return library(whole).concatenate([whole, numbers.astype(np.float32)], -1)

    def by_part(self, flags: Values) -> Values:
        """Return flags of all values, `[..., values]`, as `[..., k, widest]`; False beyond."""
        return flags[..., self.places] & self.exists

    def flat(self, flags: Values) -> Values:
        """Return flags of each part, `[..., k, widest]`, as those of all values."""
        whole = flags.reshape((*flags.shape[:-2], -1))
        return whole[..., np.flatnonzero(self.exists.ravel())]

    def open_if_empty(self, mask: Values) -> Values:
        """Return a mask in which all values of a part are allowed where none of it is."""
        parts = self.by_part(mask)
        return self.flat(open_if_empty(parts))

    def has_empty(self, mask: Values) -> Values:
        """Return where a mask leaves a part without a value, bool `[...]`."""
        return ~self.by_part(mask).any(-1).all(-1)

    def instead_of_masked(self, rows: Values, uniform: Values, mask: Values) -> Values:
        """Replace the indices of parts that are masked by random ones that are not.

        Args:
            rows: actions, `[..., k + p]`.
            uniform: uniform random numbers, `[..., k]`.
            mask: `[..., values]`.
        """
        indices, numbers = self.split(rows)
        indices = instead_of_masked(indices, uniform, self.by_part(mask))
        return self.joined(indices, numbers)


def product_of(space: spaces.Space) -> Product | None:
    """Return the parts of an action space in embrl's form; None where it has one part.

    Raises:
        EmbrlError: it is a `MultiDiscrete` or a `Tuple` of another form.
    """
    match space:
        case spaces.MultiDiscrete():
            return Product(_sizes(space))
        case spaces.Tuple(spaces=(spaces.MultiDiscrete() as indices, spaces.Box() as box)):
            if len(box.shape) != 1 or not box.shape[0] or box.dtype != np.float32:
                raise SettingError("numbers of an action", "a float32 Box with one axis", box)
            sizes = _sizes(indices)
            if max(sizes) > MAX_SIZE:
                raise SettingError(
                    "values of a part beside numbers", f"at most {MAX_SIZE:,}", max(sizes)
                )
            return Product(sizes, tuple(box.low.tolist()), tuple(box.high.tolist()))
        case spaces.Tuple() | spaces.Dict() | spaces.MultiBinary():
            raise SettingError(
                "action space of a compiled environment",
                "Discrete, Box, MultiDiscrete, or Tuple(MultiDiscrete, Box)",
                space,
            )
        case _:
            return None


def is_product(space: spaces.Space) -> bool:
    """Return whether actions of the space have several parts."""
    return product_of(space) is not None


def mask_length(space: spaces.Space) -> int:
    """Return the number of flags of a mask: of actions, or of all values of all parts.

    Raises:
        EmbrlError: actions are continuous.
    """
    product = product_of(space)
    if product is not None:
        return product.values
    if not isinstance(space, spaces.Discrete) or int(space.start) != 0:
        raise SettingError("action space", "Discrete, starting at 0", space)
    return int(space.n)


def dtype_of(space: spaces.Space) -> np.dtype:
    """Return the kind of number of actions or observations in embrl's form."""
    product = product_of(space)
    if product is not None:
        return product.dtype
    if is_image(space):
        return np.dtype(np.uint8)
    return np.dtype(np.float32 if isinstance(space, spaces.Box) else np.int32)


def shape_of(space: spaces.Space) -> tuple[int, ...]:
    """Return the shape of an action or observation in embrl's form."""
    product = product_of(space)
    return tuple(space.shape or ()) if product is None else (product.length,)


def check_row(product: Product, values: np.ndarray, what: str = "action") -> np.ndarray:
    """Check rows, `[..., k + p]`, and return them as the kind of number of the product.

    Args:
        product: their parts.
        values: the rows.
        what: what they are, for messages.

    Raises:
        EmbrlError: they have another length, or a value is out of range; the message says which.
    """
    if values.dtype.kind not in "iuf" or values.shape[-1:] != (product.length,):
        raise SettingError(
            f"{what}s with {len(product.sizes)} parts and {product.numbers} numbers",
            f"numbers [..., {product.length}]",
            f"{values.dtype}{list(values.shape)}",
        )
    indices = values[..., : len(product.sizes)]
    wrong = (indices != np.floor(indices)) | (indices < 0) | (indices >= product.sizes)
    if wrong.any():
        *where, part = np.argwhere(wrong)[0].tolist()
        at = f" at {where}" if where else ""
        raise SettingError(
            f"part {part} of the {what}{at}",
            f"a whole number from 0 to {product.sizes[part] - 1}",
            indices[(*where, part)],
        )
    return values.astype(product.dtype)


def check_parts_allowed(product: Product, masks: np.ndarray, what: str = "mask") -> np.ndarray:
    """Return masks, if each of them leaves a value of every part.

    Raises:
        EmbrlError: one leaves a part without a value; the message says which.
    """
    left = product.by_part(masks).any(-1)
    if not left.all():
        part = int(np.argwhere(~left)[0][-1])
        raise EmbrlError(f"{what} allows no value of part {part}; allow at least one")
    return masks


class PartMasks:
    """Converter from masks of a product to flags of the values of all parts, bool `[values]`.

    A mask has the flags of the parts one after another, `[sum(sizes)]`, is a list or tuple of the
    parts' masks, or, where all parts have n values, has shape `[k, n]`. A part's mask that is None
    allows all of it. Flags of combinations are refused: there are too many.
    """

    def __init__(self, product: Product) -> None:
        self.product = product
        self.count = product.values
        """Number of flags."""

    def __call__(self, mask: Any, lead: tuple[int, ...] = (), what: str = "mask") -> np.ndarray:
        """Return flags in an array of their own, bool `[*lead, values]`.

        Args:
            mask: with the leading axes of `lead`, or without: then it counts for all of them.
            lead: leading axes of the result.
            what: name of the mask in messages.

        Raises:
            EmbrlError: it has none of the forms; the message says which part has what and needs
                what.
        """
        sizes = self.product.sizes
        if isinstance(mask, list | tuple) and len(mask) == len(sizes) > 1 and _nested(mask):
            parts = [
                self._of_part(part, at, size, lead, what)
                for at, (part, size) in enumerate(zip(mask, sizes, strict=True))
            ]
            return np.concatenate(parts, -1)
        flags = as_flags(mask)
        if flags is not None:
            for axes in (lead, ()):
                alike = len(set(sizes)) == 1 and flags.shape == (*axes, len(sizes), sizes[0])
                if alike or flags.shape == (*axes, self.count):
                    flags = flags.reshape((*axes, self.count))
                    return np.broadcast_to(flags, (*lead, self.count)).copy()
        has = f"shape {list(flags.shape)}" if flags is not None else type(mask).__name__
        if isinstance(mask, list | tuple) and _nested(mask):
            has = f"a list of {len(mask)}"
        raise SettingError(what, self.described, has)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each part."""
        return self.product.sizes

    @property
    def described(self) -> str:
        """The accepted forms, for messages."""
        sizes = self.product.sizes
        shown = ", ".join(map(str, sizes[:8])) + (", ..." if len(sizes) > 8 else "")
        return (
            f"the flags of the {len(sizes)} parts one after another, [{self.count}], or a list of "
            f"the parts' masks of {shown} flags"
        )

    def _of_part(
        self, mask: Any, at: int, size: int, lead: tuple[int, ...], what: str
    ) -> np.ndarray:
        if mask is None:
            return np.ones((*lead, size), bool)
        flags = as_flags(mask)
        if flags is None or flags.shape not in ((*lead, size), (size,)):
            has = type(mask).__name__ if flags is None else f"shape {list(flags.shape)}"
            raise SettingError(f"part {at} of the {what}", f"{size} flags", has)
        return np.broadcast_to(flags, (*lead, size))


def _nested(mask: Any) -> bool:
    """Return whether the entries of a list are masks themselves, not flags."""
    return any(
        part is None or isinstance(part, list | tuple) or getattr(part, "shape", ()) != ()
        for part in mask
    )


def _sizes(space: spaces.MultiDiscrete) -> tuple[int, ...]:
    if space.nvec.ndim != 1 or space.start.any():
        raise SettingError("MultiDiscrete of actions", "one axis, starting at 0", space)
    return tuple(int(n) for n in space.nvec)


def as_space(sizes: tuple[int, ...], box: spaces.Box | None) -> spaces.Space:
    """Return the space of a product in embrl's form."""
    indices = spaces.MultiDiscrete(list(sizes))
    return indices if box is None else spaces.Tuple((indices, box))


def replaced_where_masked(space: spaces.Space, action: Any, uniform: Any, mask: Any) -> Any:
    """Replace actions that are masked, or their parts, by random ones that are not.

    Args:
        space: of the actions, in embrl's form.
        action: actions.
        uniform: uniform random numbers, `[*batch]`, or `[*batch, k]` of k parts.
        mask: True where an action, or a value of a part, may be chosen.
    """
    product = product_of(space)
    if product is None:
        return instead_of_masked(action, uniform, mask)
    return product.instead_of_masked(action, uniform, mask)
