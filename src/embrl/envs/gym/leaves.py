"""Leaves of Gymnasium's composite spaces, and values of them taken apart and put together."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces


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


def leaves(space: spaces.Space, path: tuple[Any, ...] = ()) -> list[Leaf]:
    """Return all leaves of a space, nested or not, in the order of its parts."""
    parts = children(space)
    if parts is None:
        return [Leaf(path, space)]
    return [leaf for key, part in parts for leaf in leaves(part, (*path, key))]


def children(space: spaces.Space) -> list[tuple[Any, spaces.Space]] | None:
    """Return the parts of a composite space with their keys; None for a space without parts."""
    match space:
        case spaces.Dict():
            return list(space.spaces.items())
        case spaces.Tuple():
            return list(enumerate(space.spaces))
        case _:
            return None


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
