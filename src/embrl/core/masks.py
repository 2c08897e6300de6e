"""Action masks: the forms in which they are given, and the one that they are converted to.

A mask says which discrete actions may be chosen in one step: bool `[n]`, a flag for each action of
the flat space (`Discrete(n)`). It is packed into bits wherever many are kept.
"""

import importlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from embrl.core.errors import EmbrlError, SettingError

if TYPE_CHECKING:  # exported policies check masks without JAX
    import jax
    from jaxtyping import Array, Bool, UInt8

Values = TypeVar("Values", np.ndarray, "jax.Array")


class MaskForms:
    """Converter from any accepted form of a mask to flags of the flat actions, bool `[n]`.

    For one `Discrete(n)` a mask has a flag for each action, `[n]`. For combinations of k parts with
    `sizes` values each, as of `MultiDiscrete`, it may also be

    - the masks of all parts one after another, `[sum(sizes)]`, as in sb3-contrib;
    - a list or tuple of the parts' masks;
    - the flags of all combinations, `[prod(sizes)]` or an array of shape `[*sizes]`.

    Flags may be of any number type; 0 is False. Numbers below 0 are refused: in a mask that is
    added to logits, such as -inf, they mean the opposite. Where `sum(sizes)` equals `prod(sizes)`,
    as for two binary parts, a flat mask is taken as the parts' one after another.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        """Make a converter.

        Args:
            sizes: number of values of each part, the most significant first.
        """
        self.sizes = tuple(int(size) for size in sizes)
        self.count = math.prod(self.sizes)
        """Number of actions, n."""
        self._ends = np.cumsum(self.sizes)[:-1]
        self._forms: dict[tuple[int, ...], str] = {}
        """How masks of a shape are read."""
        if len(self.sizes) > 1:  # the first ones win: see above
            self._forms.setdefault((sum(self.sizes),), "parts")
            self._forms.setdefault(self.sizes, "product")
            if len(set(self.sizes)) == 1:
                self._forms.setdefault((len(self.sizes), self.sizes[0]), "stacked")
        self._forms.setdefault((self.count,), "product")

    def __call__(
        self, mask: Any, lead: tuple[int, ...] = (), what: str = "mask"
    ) -> "Bool[np.ndarray, '*lead n']":
        """Return flags of the flat actions, in an array of their own.

        Args:
            mask: in any form, with the leading axes of `lead` (or a list of that many masks) or
                without: then it counts for all of them.
            lead: leading axes of the result.
            what: name of the mask in messages.

        Raises:
            EmbrlError: it has none of the forms, or a number below 0.
        """
        found = self._converted(mask, lead)
        if found is None:
            raise SettingError(what, self.described, _shape_of(mask))
        return found

    @property
    def described(self) -> str:
        """The accepted forms, for messages."""
        flat = f"a flag for each of {self.count} actions, [{self.count}]"
        if len(self.sizes) == 1:
            return flat
        few = len(self.sizes) <= 8
        product = f" or {list(self.sizes)}" if few else ""
        parts = f" of {', '.join(map(str, self.sizes))} flags" if few else ""
        return (
            f"{flat}{product}, or the flags of the {len(self.sizes)} parts one after another, "
            f"[{sum(self.sizes)}], or a list of the parts' masks{parts}"
        )

    def _converted(self, mask: Any, lead: tuple[int, ...]) -> np.ndarray | None:
        """Return the flags, or None if the mask has no accepted form."""
        if isinstance(mask, list | tuple) or (isinstance(mask, np.ndarray) and mask.dtype == "O"):
            return self._of_list(list(mask), lead)
        return self._of_numbers(mask, lead)

    def _of_numbers(self, mask: Any, lead: tuple[int, ...]) -> np.ndarray | None:
        values = _numbers(mask)
        if values is None:
            return None
        for shape, form in self._forms.items():
            for axes in (lead, ()):
                if values.shape == (*axes, *shape):
                    flags = self._flags(_flags(values), form, axes)
                    return flags if axes == lead else np.broadcast_to(flags, (*lead, self.count))
        return None

    def _of_list(self, masks: list[Any], lead: tuple[int, ...]) -> np.ndarray | None:
        if not masks or any(isinstance(each, str | bytes) or each is None for each in masks):
            return None
        if len(masks) == len(self.sizes) > 1:
            parts = [part for part in map(_numbers, masks) if part is not None]
            for axes in (lead, ()):
                shapes = [(*axes, size) for size in self.sizes]
                if [part.shape for part in parts] == shapes:
                    flags = self._product([_flags(part) for part in parts])
                    return flags if axes == lead else np.broadcast_to(flags, (*lead, self.count))
        if all(isinstance(flag, _FLAGS) for flag in masks):
            return self._of_numbers(masks, lead)
        if lead and len(masks) == lead[0]:
            rows = [self._converted(each, lead[1:]) for each in masks]
            return None if any(row is None for row in rows) else np.stack(rows)  # type: ignore[arg-type]
        return self._of_numbers(masks, lead)

    def _flags(self, values: np.ndarray, form: str, lead: tuple[int, ...]) -> np.ndarray:
        match form:
            case "parts":
                return self._product(np.split(values, self._ends, axis=-1))
            case "stacked":
                return self._product(list(np.moveaxis(values, -2, 0)))
            case _:
                return values.reshape((*lead, self.count))

    @staticmethod
    def _product(parts: list[np.ndarray]) -> np.ndarray:
        """Return which combinations are allowed, `[..., n]`, of flags of each part."""
        whole = parts[0]
        for part in parts[1:]:
            whole = (whole[..., :, None] & part[..., None, :]).reshape((*whole.shape[:-1], -1))
        return whole


def check_allowed(masks: np.ndarray, allowed: Any = None, what: str = "mask") -> np.ndarray:
    """Return masks, if each of them leaves an action.

    Args:
        masks: bool `[..., n]`.
        allowed: bool `[n]`, the actions that are not excluded; None: all.
        what: name of the mask in messages.

    Raises:
        EmbrlError: one allows no action, or excluded ones alone.
    """
    left = masks if allowed is None else masks & np.asarray(allowed)
    if not left.any(-1).all():
        said = "no action" if not masks.any(-1).all() else "no action that is not excluded"
        raise EmbrlError(f"{what} allows {said}; allow at least one")
    return masks


def open_if_empty(mask: "Bool[Array, '*batch n']") -> "Bool[Array, '*batch n']":
    """Return a mask in which every action is allowed where none is, as at the end of an episode."""
    return mask | ~mask.any(-1, keepdims=True)


def instead_of_masked(action: Values, uniform: Values, mask: Values) -> Values:
    """Replace actions that are masked by uniformly random ones that are not.

    Of uniformly random actions it makes uniformly random allowed ones.

    Args:
        action: `[*batch]`.
        uniform: uniform random numbers in [0, 1), `[*batch]`.
        mask: True where an action may be chosen, `[*batch, n]`; at least one must be.

    Returns:
        int32 `[*batch]`.
    """
    xp = library(mask)
    running = mask.cumsum(-1, dtype=np.int32)
    count = running[..., -1]
    # Rounding may lead to the count itself.
    rank = xp.minimum((uniform * count).astype(np.int32), count - 1)
    other = (running <= rank[..., None]).sum(-1, dtype=np.int32)
    fits = xp.take_along_axis(mask, action[..., None], -1)[..., 0]
    return xp.where(fits, action, other).astype(np.int32)


def pack(mask: Values) -> Values:
    """Return a mask bool `[..., n]` as bits, uint8 `[..., ceil(n / 8)]`."""
    xp = library(mask)
    return xp.packbits(mask, axis=-1)


def unpack(bits: "UInt8[Array, '*batch bytes']", count: int) -> "Bool[Array, '*batch n']":
    """Return the mask of `count` actions that `pack` has packed."""
    return library(bits).unpackbits(bits, axis=-1, count=count).astype(bool)


def packed_length(count: int) -> int:
    """Return the number of bytes of a packed mask."""
    return -(-count // 8)


def as_flags(values: Any) -> np.ndarray | None:
    """Return any kind of numbers as flags; None if they are no numbers, or have no shape.

    Raises:
        EmbrlError: one is below 0.
    """
    numbers = _numbers(values)
    return None if numbers is None else _flags(numbers)


def _flags(values: np.ndarray) -> np.ndarray:
    """Return numbers as flags; raise an EmbrlError if they are summands of logits."""
    if values.dtype.kind in "if" and not (values >= 0).all():
        raise SettingError(
            "flags of a mask",
            "0 or more",
            values[~(values >= 0)][0],
            "in place of a mask that is added to logits, give mask == 0",
        )
    return values != 0


_FLAGS = bool | int | float | np.number | np.bool_


def _numbers(values: Any) -> np.ndarray | None:
    """Return values as an array of numbers; None if they are none, or rows of several lengths."""
    try:
        found = np.asarray(values)
        if found.dtype == "O" and all(isinstance(flag, _FLAGS) for flag in found.flat):
            found = found.astype(float)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.dtype.kind in "biuf" else None


def _shape_of(mask: Any) -> str:
    if isinstance(mask, np.ndarray):
        return f"shape {list(mask.shape)} of {mask.dtype}"
    if isinstance(mask, list | tuple):
        lengths = [
            len(part) if isinstance(part, list | tuple) else getattr(part, "shape", ())
            for part in mask
        ]
        if all(length == () for length in lengths):
            return f"a list of {len(mask)}"
        shown = [list(each) if isinstance(each, tuple) else [each] for each in lengths[:4]]
        return f"a list of {len(mask)} parts {', '.join(map(str, shown))}"
    return f"{type(mask).__name__} {mask!r:.40}"


def library(values: Any) -> Any:
    """Return the library of functions for such an array: NumPy or `jax.numpy`."""
    return np if isinstance(values, np.ndarray) else importlib.import_module("jax.numpy")
