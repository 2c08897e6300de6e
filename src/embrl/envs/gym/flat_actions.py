"""Conversion between an environment's actions and embrl's: indices, or vectors of numbers."""

import itertools
import math
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike

from embrl.core.errors import EmbrlError
from embrl.core.products import as_space, check_row, product_of
from embrl.envs.gym.leaves import Leaf, assembled, leaves

MAX_ACTIONS = 2**20
"""Largest number of actions that combinations of discrete parts may make."""

MAX_TABLE = 2**12
"""Number of combinations up to which they are one list of actions by default, not a product."""

EXACT = 2**24
"""Largest magnitude up to which float32 represents every integer."""

ActionForm = Literal["auto", "table", "product"]
"""Form of actions with several discrete parts: one index of all combinations, or one of each."""


class Actions:
    """Converter between an environment's actions and embrl's.

    | original | becomes |
    |---|---|
    | `Discrete`, also with a start | `Discrete` from 0 |
    | `MultiDiscrete`, `MultiBinary`, up to 4,096 combinations | `Discrete` of all of them |
    | the same, of more combinations | `MultiDiscrete`, one axis, from 0 |
    | `Box` of any axes, of floats or whole numbers | float32 `Box [n]` of what can vary |
    | `Dict`, `Tuple` of one of these kinds, nested or not | the same of all parts |
    | `Dict`, `Tuple` of both | `Tuple(MultiDiscrete, Box)`, as one row (`embrl.core.products`) |

    Combinations are numbered like digits: the first part is the most significant.
    """

    def __init__(self, original: spaces.Space, form: ActionForm = "auto") -> None:
        """Build the converter.

        Args:
            original: The environment's action space.
            form: `table` for one index of all combinations of discrete parts, at most 2^20;
                `product` for an index of each part; `auto`: a table up to `MAX_TABLE` combinations.

        Raises:
            EmbrlError: If embrl has no policy for such actions; the message says which part and
                why.
        """
        self.original = original
        found = leaves(original)
        if not found:
            raise EmbrlError(f"action space must not be empty, got {original}")
        boxes = [leaf for leaf in found if isinstance(leaf.space, spaces.Box)]
        if len(boxes) == len(found):
            self._form: _VectorActions | _IndexActions | _PartActions = _VectorActions(
                original, found
            )
        else:
            rest = [leaf for leaf in found if not isinstance(leaf.space, spaces.Box)]
            sizes = [int(n) for leaf in rest for n in _digits(leaf)[0].ravel()]
            few = form == "table" or (form == "auto" and math.prod(sizes) <= MAX_TABLE)
            single = not boxes and (few or len(sizes) == 1)
            self._form = (_IndexActions if single else _PartActions)(original, found)
        self.space: Any = self._form.space

    @classmethod
    def fitting(cls, original: spaces.Space, space: spaces.Space) -> "Actions":
        """Return the converter whose actions are in `space`, if one has such; else the default."""
        found = cls(original)
        if found.space != space and not isinstance(found.space, spaces.Box):
            other: ActionForm = "table" if isinstance(space, spaces.Discrete) else "product"
            try:
                return cls(original, other)
            except EmbrlError:
                pass
        return found

    @property
    def parts(self) -> list[tuple[Leaf, tuple[int, ...]]]:
        """Leaves of discrete actions, with the numbers of values of their parts; else empty."""
        return [] if isinstance(self._form, _VectorActions) else self._form.parts

    def to_original(self, actions: ArrayLike) -> Any:
        """Convert embrl's actions to the environment's.

        Args:
            actions: int32 `[...]`, float32 `[..., n]`, or a row for each action of a product.

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
            int32 `[...]`, float32 `[..., n]`, or rows of a product.
        """
        return self._form.put_together(actions)


class _PartActions:
    """Actions with an index for each discrete part, and numbers."""

    def __init__(self, original: spaces.Space, found: list[Leaf]) -> None:
        boxes = [leaf for leaf in found if isinstance(leaf.space, spaces.Box)]
        rest = [leaf for leaf in found if not isinstance(leaf.space, spaces.Box)]
        self._is_box = [isinstance(leaf.space, spaces.Box) for leaf in found]
        self._vector = _VectorActions(original, boxes) if boxes else None
        self._starts = [_digits(leaf) for leaf in rest]
        self.parts = [
            (leaf, tuple(int(n) for n in nvec.ravel()))
            for leaf, (nvec, _) in zip(rest, self._starts, strict=True)
        ]
        sizes = tuple(size for _, each in self.parts for size in each)
        self.space = as_space(sizes, None if self._vector is None else self._vector.space)
        product = product_of(self.space)
        assert product is not None
        self._product = product

    def taken_apart(self, actions: np.ndarray) -> list[Any]:
        rows = check_row(self._product, actions)
        k, begin = len(self._product.sizes), 0
        indices = rows[..., :k].astype(np.int64)
        whole: list[Any] = []
        for (leaf, sizes), (nvec, start) in zip(self.parts, self._starts, strict=True):
            value = indices[..., begin : begin + len(sizes)]
            value = value.reshape((*rows.shape[:-1], *nvec.shape)) + start
            whole.append(value.astype(leaf.space.dtype)[()])
            begin += len(sizes)
        numbers = [] if self._vector is None else self._vector.taken_apart(rows[..., k:])
        sides = iter(numbers), iter(whole)
        return [next(sides[0] if box else sides[1]) for box in self._is_box]

    def put_together(self, actions: Any) -> np.ndarray:
        columns = []
        for (leaf, sizes), (nvec, start) in zip(self.parts, self._starts, strict=True):
            value = np.asarray(leaf.of(actions)).astype(np.int64) - start
            lead = value.shape[: value.ndim - nvec.ndim]
            columns.append(value.reshape((*lead, len(sizes))))
        numbers = None if self._vector is None else self._vector.put_together(actions)
        return self._product.joined(np.concatenate(columns, -1), numbers)


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
                f"{MAX_ACTIONS:,}, got {shown} for {original}; describe them by fewer values, by a "
                "Box of numbers, which are rounded, or, if they have several parts, by a product "
                "(env.actions product)"
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
            with np.errstate(over="ignore"):  # beyond float32 is infinite
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
                "action space must consist of Discrete, MultiDiscrete, MultiBinary and Box, or "
                f"Dict and Tuple of these, got {leaf}"
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
