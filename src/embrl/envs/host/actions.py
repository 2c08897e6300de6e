"""embrl's actions, indices or vectors, as Gymnasium's environments take them."""

import itertools
import math
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike

from embrl.core.errors import EmbrlError
from embrl.envs.host.leaves import Leaf, assembled, leaves

MOST = 2**20
"""The most actions that combinations of discrete parts may make."""

EXACT = 2**24
"""Up to here float32 knows all whole numbers."""


class Actions:
    """From actions of one space to those of another one, and back.

    | original | becomes |
    |---|---|
    | `Discrete`, also with a start | `Discrete` from 0 |
    | `MultiDiscrete`, `MultiBinary` | `Discrete` of all combinations, at most 2^20 |
    | `Box` of any axes, of floats or whole numbers | float32 `Box [n]` |
    | `Dict`, `Tuple` of one of these kinds | the same of all parts |

    Combinations are counted as digits are: the first part is the most significant.
    """

    def __init__(self, original: spaces.Space) -> None:
        """
        Raises:
            EmbrlError: embrl has no policy for such actions; the message says which part and why.
        """
        self.original = original
        found = leaves(original)
        if not found:
            raise EmbrlError(f"{original}: there is nothing in it to choose")
        boxes = [isinstance(leaf.space, spaces.Box) for leaf in found]
        if any(boxes) and not all(boxes):
            raise EmbrlError(
                f"actions of {original} are numbers and indices at once: embrl has policies for "
                "one of them"
            )
        self._form = _Vector(original, found) if all(boxes) else _Index(original, found)
        self.space: spaces.Box | spaces.Discrete = self._form.space

    def to_original(self, actions: ArrayLike) -> Any:
        """What the environment takes, with the leading axes of `actions` in each leaf; numbers
        clipped to its bounds and, where it takes whole ones, rounded.

        Raises:
            EmbrlError: an index is out of range, or vectors have another length.
        """
        return assembled(self.original, iter(self._form.taken_apart(np.asarray(actions))))

    def from_original(self, actions: Any) -> np.ndarray:
        """The inverse, of the environment's own actions with leading axes in each leaf: int32
        `[...]` or float32 `[..., n]`.
        """
        return self._form.put_together(actions)


class _Index:
    def __init__(self, original: spaces.Space, found: list[Leaf]) -> None:
        self._leaves = found
        shapes_and_starts = [_digits(leaf) for leaf in found]
        self._parts = [(nvec.shape, start) for nvec, start in shapes_and_starts]
        self._sizes = [int(n) for nvec, _ in shapes_and_starts for n in nvec.ravel()]
        self._ends = list(itertools.accumulate(nvec.size for nvec, _ in shapes_and_starts))
        count = math.prod(self._sizes)
        if count > MOST:
            shown = f"{count:,}" if count < 10**15 else f"about 10^{math.log10(count):.0f}"
            raise EmbrlError(
                f"{original} has {shown} actions, all combinations counted: embrl takes at most "
                f"{MOST:,}"
            )
        self.space = spaces.Discrete(count)

    def taken_apart(self, actions: np.ndarray) -> list[Any]:
        if actions.dtype.kind not in "iu":
            raise EmbrlError(f"actions of {self.space} are whole numbers, not {actions.dtype}")
        wrong = (actions < 0) | (actions >= self.space.n)
        if wrong.any():
            raise EmbrlError(f"action {actions[wrong][0]} is not in {self.space}")
        if isinstance(self._leaves[0].space, spaces.Discrete) and len(self._leaves) == 1:
            return [(actions.astype(np.int64) + self._parts[0][1])[()]]  # as below, but quick
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


class _Vector:
    def __init__(self, original: spaces.Space, found: list[Leaf]) -> None:
        self._leaves = found
        self._boxes = [_checked_box(leaf) for leaf in found]
        self._ends = list(itertools.accumulate(math.prod(box.shape) for box in self._boxes))
        low = np.concatenate([box.low.ravel().astype(np.float64) for box in self._boxes])
        high = np.concatenate([box.high.ravel().astype(np.float64) for box in self._boxes])
        if not low.size:
            raise EmbrlError(f"{original}: there is nothing in it to choose")
        with np.errstate(over="ignore"):  # beyond float32 is infinite
            self.space = spaces.Box(low.astype(np.float32), high.astype(np.float32))

    def taken_apart(self, actions: np.ndarray) -> list[Any]:
        if actions.shape[-1:] != self.space.shape:
            raise EmbrlError(
                f"actions of {self.space} end in an axis of {self.space.shape[0]}, not "
                f"{list(actions.shape)}"
            )
        values, begin = [], 0
        for box, end in zip(self._boxes, self._ends, strict=True):
            value = actions[..., begin:end].reshape((*actions.shape[:-1], *box.shape))
            value = np.rint(value) if box.dtype.kind in "iu" else value.astype(np.float64)
            values.append(np.clip(value, box.low, box.high).astype(box.dtype))
            begin = end
        return values

    def put_together(self, actions: Any) -> np.ndarray:
        values = []
        for leaf, box in zip(self._leaves, self._boxes, strict=True):
            value = np.asarray(leaf.of(actions))
            lead = value.shape[: value.ndim - len(box.shape)]
            values.append(value.reshape((*lead, math.prod(box.shape))).astype(np.float32))
        return np.concatenate(values, -1)


def _digits(leaf: Leaf) -> tuple[np.ndarray, Any]:
    """How many values each part has, in the leaf's shape, and where they start."""
    match leaf.space:
        case spaces.Discrete() as space:
            return np.asarray(int(space.n)), int(space.start)
        case spaces.MultiDiscrete() as space if space.nvec.size:
            return space.nvec, space.start
        case spaces.MultiBinary() as space if math.prod(space.shape):
            return np.full(space.shape, 2), 0
        case _:
            raise EmbrlError(
                f"actions of {leaf} cannot be chosen: embrl knows Discrete, MultiDiscrete, "
                "MultiBinary and Box, and Dict and Tuple of one of these kinds"
            )


def _checked_box(leaf: Leaf) -> spaces.Box:
    box = leaf.space
    assert isinstance(box, spaces.Box)
    if box.dtype.kind not in "iuf":
        raise EmbrlError(f"actions of {leaf} are no numbers")
    if box.dtype.kind in "iu":
        bounds = np.abs(np.stack([box.low, box.high]).astype(np.float64))
        most = bounds.max(initial=0.0)
        if most > EXACT:
            raise EmbrlError(
                f"actions of {leaf} are whole numbers of up to {most:.3g}: embrl's, in float32, "
                f"are exact up to {EXACT:,}"
            )
    return box
