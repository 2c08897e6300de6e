"""Forms of observations and actions as single arrays, the environment's own and embrl's.

And the steps between the two; `embrl.envs.gym` does the same for whole environments.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any, Self

import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError, WarnOnce
from embrl.core.images import is_image
from embrl.core.products import product_of
from embrl.core.spaces import digits_of, names_of, offset_of, outside_bounds
from embrl.portable.steps import (
    Affine,
    Beside,
    Cast,
    Chain,
    Clipped,
    Digits,
    PortableStep,
    Reshaped,
    Rounded,
    Shifted,
    Slice,
)

NUMBERS = ("Box", "Tuple")
"""Kinds whose values are floats: of a `Tuple`, as embrl has it, the indices of parts are, too."""


@dataclasses.dataclass(frozen=True, eq=False)
class Form:
    """Form of one observation or action: an array of one kind of number, within bounds."""

    kind: str
    """Name of the space's class in Gymnasium."""
    shape: tuple[int, ...]
    dtype: str
    """NumPy's name of the space's kind of number."""
    low: np.ndarray
    """Lower bounds, int64 or float64 `[*shape]`; -inf where there is none."""
    high: np.ndarray
    """Upper bounds, the same."""
    names: tuple[str, ...] | None = None
    """Names of the values of a single index, as of actions; None where they have none."""

    @property
    def whole(self) -> bool:
        """True for indices, False for continuous numbers."""
        return self.kind not in NUMBERS

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of values of all entries of an index."""
        return tuple(int(n) for n in (self.high - self.low + 1).ravel())

    @property
    def count(self) -> int:
        """Number of values of an index, all combinations counted."""
        return math.prod(self.sizes)

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        if self.kind == "Discrete":
            return f"Discrete: an integer from {self.low} to {self.high}"
        numbers = "integers" if self.whole else "numbers"
        return f"{self.kind}: {numbers} of shape {list(self.shape)}"

    def checked(
        self, values: np.ndarray, first: int = 0, warn: WarnOnce | None = None
    ) -> np.ndarray:
        """Return rows `[B, *shape]` as this form's kind of number.

        Args:
            values: Rows, `[B, ...]`.
            first: Number of the first row, for messages.
            warn: Warns of numbers outside their bounds, which are then taken as they are, as in
                training; None: they are refused.

        Raises:
            EmbrlError: If a row is not in the space; the message says which and why.
        """
        if values.shape[1:] != self.shape and math.prod(values.shape[1:]) == self.size:
            values = values.reshape(len(values), *self.shape)  # as lines of text have them
        if values.shape[1:] != self.shape:
            raise EmbrlError(
                f"row {first} must have shape {list(self.shape)}, got {list(values.shape[1:])} "
                f"({self})"
            )
        if values.dtype.kind not in "iufb":
            raise EmbrlError(f"row {first} must be numbers, got {values.dtype} ({self})")
        # Compared in float32, as rounding may move a value across a bound that is not rounded too.
        with np.errstate(over="ignore"):
            seen = values if self.whole else values.astype(np.float32)
            low, high = (
                bound if self.whole else bound.astype(np.float32) for bound in (self.low, self.high)
            )
        fits = (low <= seen) & (seen <= high) & np.isfinite(seen)
        if warn is not None and not self.whole and np.isfinite(seen).all() and not fits.all():
            row, *at = np.argwhere(~fits)[0].tolist()
            where = at[0] if len(at) == 1 else at
            bounds = (self.low[tuple(at)], self.high[tuple(at)])
            said = outside_bounds("", values[(row, *at)], where, *bounds)
            warn("outside", f"row {first + row}:{said}")
            fits[:] = True
        if self.whole and values.dtype.kind == "f":
            fits &= values == np.floor(values)
        if not fits.all():
            at = np.argwhere(~fits)[0].tolist()
            where = f" at {at[1:]}" if len(at) > 1 else ""
            bounds = f"{self.low[tuple(at[1:])]} to {self.high[tuple(at[1:])]}"
            raise EmbrlError(
                f"row {first + at[0]} must be {bounds}{where}, got {values[tuple(at)]} ({self})"
            )
        return values.astype(self.dtype)

    def named(self, values: Any) -> Any:
        """Return the names of values of this form: one, or an array of them.

        Raises:
            EmbrlError: If they have no names, or there is no such value.
        """
        return names_of(self.names, values, self.low if self.names else 0)

    def to_json(self) -> dict[str, Any]:
        """Return the form in plain values; null where there is no bound."""
        value = {
            "kind": self.kind,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "low": _plain(self.low),
            "high": _plain(self.high),
        }
        return value if self.names is None else {**value, "names": list(self.names)}

    @classmethod
    def from_json(cls, value: Any, where: Path) -> Self:
        """Return the form that `to_json` wrote.

        Raises:
            EmbrlError: If `value`, from the file `where`, is not such a form.
        """
        try:
            shape = tuple(int(n) for n in value["shape"])
            dtype, kind = np.dtype(value["dtype"]), str(value["kind"])
            if dtype.kind not in "iufb":
                raise ValueError(f"{dtype} are no numbers")
            whole = np.float64 if kind in NUMBERS else np.int64
            low, high = (
                np.array([end if bound is None else bound for bound in value[name]], whole)
                for name, end in (("low", -np.inf), ("high", np.inf))
            )
            names = None if value.get("names") is None else tuple(map(str, value["names"]))
            return cls(kind, shape, dtype.name, low.reshape(shape), high.reshape(shape), names)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise EmbrlError(
                f"{where} is damaged; it must describe a known space, got {value}"
            ) from error


def _plain(values: np.ndarray) -> list[float | int | None]:
    return [value if math.isfinite(value) else None for value in values.ravel().tolist()]


@dataclasses.dataclass(frozen=True, eq=False)
class Forms:
    """Forms of what a policy takes and returns, and the steps to and from embrl's forms."""

    observation: Form
    action: Form
    enter: Chain
    """From observations to embrl's form: int32 indices, or a float32 vector."""
    leave: Chain
    """From embrl's form of actions to the environment's."""

    @classmethod
    def of(
        cls,
        observations: spaces.Space,
        actions: spaces.Space,
        own_observations: spaces.Space | None = None,
        own_actions: spaces.Space | None = None,
    ) -> Self:
        """Return the forms of an environment.

        Args:
            observations: Observations in embrl's form, as policies see them.
            actions: Actions in embrl's form.
            own_observations: The environment's own; embrl's form is taken instead of None, or of a
                `Dict` or `Tuple`.
            own_actions: The same for actions.
        """
        seen = own_observations if is_plain(own_observations) else observations
        if is_image(observations):  # bytes, channels last
            seen = observations
        chosen = own_actions if is_plain(own_actions) else actions
        assert seen is not None
        assert chosen is not None
        return cls(
            _form(seen, observations),
            _form(chosen, chosen),
            Chain(_enter(seen)),
            leaving(chosen, parts=product_of(actions) is not None),
        )


def is_plain(space: spaces.Space | None) -> bool:
    """Return True if a value of the space is a single array of numbers."""
    kinds = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    return isinstance(space, kinds)


def _form(space: spaces.Space, bounds: spaces.Space) -> Form:
    """Return the form of a space; it has bounds only where `bounds` has them for a policy."""
    product = product_of(space) if isinstance(space, spaces.Tuple) else None
    if product is not None:
        assert product.box is not None
        low = np.concatenate([np.zeros(len(product.sizes)), product.box.low])
        high = np.concatenate([np.array(product.sizes) - 1, product.box.high])
        return Form("Tuple", low.shape, "float32", low, high)
    kind, shape, dtype = type(space).__name__, tuple(space.shape or ()), np.dtype(space.dtype).name
    if isinstance(space, spaces.Box):
        assert isinstance(bounds, spaces.Box)
        low, high = (side.astype(np.float64).reshape(shape) for side in (bounds.low, bounds.high))
        offset = offset_of(space)
        if offset is not None and bounds is not space:
            low, high = low + offset, high + offset
        return Form(kind, shape, dtype, low, high)
    sizes, start = _counted(space)
    return Form(kind, shape, dtype, start, start + sizes - 1)


def _counted(space: spaces.Space) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of values and the first values, int64 `[*shape]` each."""
    match space:
        case spaces.Discrete():
            return np.asarray(space.n, np.int64), np.asarray(space.start, np.int64)
        case spaces.MultiDiscrete():
            return space.nvec.astype(np.int64), np.asarray(space.start, np.int64)
        case _:
            shape = tuple(space.shape or ())
            return np.full(shape, 2, np.int64), np.zeros(shape, np.int64)


def _enter(space: spaces.Space) -> tuple[PortableStep, ...]:
    if isinstance(space, spaces.Tuple) or is_image(space):  # as embrl has them
        return ()
    if isinstance(space, spaces.Box):
        offset, reshaped = offset_of(space), _reshaped(space.shape, (math.prod(space.shape),))
        if offset is not None:
            return (*_cast(space.dtype, "float64"), Shifted(-offset), Cast("float32"), *reshaped)
        return (*_cast(space.dtype, "float32"), *reshaped)
    sizes, start = _counted(space)
    shifted = (*_cast(space.dtype, "int64"), Shifted(-start)) if start.any() else ()
    before = "int64" if shifted else space.dtype
    digits = [digits_of(int(count)) for count in sizes.ravel()]
    if isinstance(space, spaces.Discrete):
        parts = () if len(digits[0]) == 1 else (*_cast(before, "int64"), Digits.of(digits[0]))
        return (*shifted, *parts, *_cast("int64" if parts else before, "int32"))
    reshaped = _reshaped(sizes.shape, (sizes.size,))
    if all(len(each) == 1 for each in digits):
        return (*shifted, *_cast(before, "int32"), *reshaped)
    parts = Beside(tuple(_digits_at(at, each) for at, each in enumerate(digits)))
    return (*shifted, *_cast(before, "int64"), *reshaped, parts, Cast("int32"))


def _digits_at(at: int, sizes: list[int]) -> Chain:
    """Return the steps from a vector of indices to the digits of one of them."""
    if len(sizes) == 1:
        return Chain((Slice(at, at + 1),))
    return Chain((Slice(at, at + 1), Digits.of(sizes), Reshaped((1, len(sizes)), (len(sizes),))))


def leaving(space: spaces.Space, parts: bool = False) -> Chain:
    """Return the steps from embrl's form of actions to a space of single arrays (`is_plain`).

    Args:
        space: The environment's own, or, of several arrays, embrl's.
        parts: True if an action is an index of each part, not of all combinations.
    """
    if isinstance(space, spaces.Tuple):
        return Chain(())
    if isinstance(space, spaces.Box):
        return Chain(_leave_box(space))
    return Chain(_leave_indices(space, parts))


def _leave_indices(space: spaces.Space, parts: bool) -> tuple[PortableStep, ...]:
    sizes, start = _counted(space)
    digits: tuple[PortableStep, ...] = ()
    if not isinstance(space, spaces.Discrete):
        of_one = () if parts else (Digits.of(sizes.ravel()),)
        digits = (*of_one, *_reshaped((sizes.size,), sizes.shape))
    shifted = (Shifted(start),) if start.any() else ()
    return (Cast("int64"), *digits, *shifted, *_cast("int64", space.dtype))


def _leave_box(space: spaces.Box) -> tuple[PortableStep, ...]:
    placed = _placed(space)
    reshaped = (*placed, *_reshaped((math.prod(space.shape),), space.shape))
    if space.dtype == np.float32:
        return reshaped  # f keeps to these very bounds
    rounded = (Rounded(),) if space.dtype.kind in "iu" else ()
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    clipped = (Cast("float64"), Clipped(low, high), *_cast("float64", space.dtype))
    return (*reshaped, *rounded, *clipped)


def _placed(space: spaces.Box) -> tuple[PortableStep, ...]:
    """Return the step that adds the numbers that cannot vary, if there are any."""
    low, high = (side.astype(np.float32).ravel() for side in (space.low, space.high))
    varies = low < high
    if varies.all():
        return ()
    return (Affine(np.eye(len(low), dtype=np.float32)[varies], np.where(varies, 0.0, low)),)


def _cast(before: object, after: object) -> tuple[PortableStep, ...]:
    before, after = np.dtype(before), np.dtype(after)  # type: ignore[arg-type]
    return () if before == after else (Cast(after.name),)


def _reshaped(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[PortableStep, ...]:
    return () if before == after else (Reshaped(tuple(before), tuple(after)),)
