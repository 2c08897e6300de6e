"""Conversion between an environment's actions and embrl's: indices, or vectors of numbers."""

import itertools
import math
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike

from embrl.core.errors import EmbrlError
from embrl.envs.gym.leaves import Leaf, assembled, leaves

MAX_ACTIONS = 2**20
"""Largest number of actions that combinations of discrete parts may make."""

EXACT = 2**24
"""Largest magnitude up to which float32 represents every integer."""


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
