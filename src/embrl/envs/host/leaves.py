"""Composite spaces (`Dict`, `Tuple`, nested as they like) taken apart into plain ones, and values
of them put together again.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces


class Leaf(NamedTuple):
    """A space that has no parts, and the keys that lead to it."""

    path: tuple[Any, ...]
    space: spaces.Space

    def of(self, value: Any) -> Any:
        """Its part of a value of the whole space."""
        for key in self.path:
            value = value[key]
        return value

    def __str__(self) -> str:
        keys = "".join(f"[{key!r}]" for key in self.path)
        return f"{self.space} at {keys}" if keys else str(self.space)


def leaves(space: spaces.Space, path: tuple[Any, ...] = ()) -> list[Leaf]:
    """All leaves, in the order of the space's own parts."""
    parts = _parts(space)
    if parts is None:
        return [Leaf(path, space)]
    return [leaf for key, part in parts for leaf in leaves(part, (*path, key))]


def assembled(space: spaces.Space, values: Iterator[Any]) -> Any:
    """A value of `space` from those of its leaves, in their order."""
    parts = _parts(space)
    if parts is None:
        return next(values)
    if isinstance(space, spaces.Dict):
        return {key: assembled(part, values) for key, part in parts}
    return tuple(assembled(part, values) for _, part in parts)


def unstacked(space: spaces.Space, values: Any, lanes: int) -> list[Any]:
    """Of values with a leading axis of `lanes` in each leaf, a value for each lane."""
    parts = _parts(space)
    if parts is None:
        # Rows of one number each come out as scalars, which a Box without axes does not take.
        scalars = isinstance(space, spaces.Box) and not space.shape
        return [np.asarray(value) for value in values] if scalars else list(values)
    columns = [unstacked(part, values[key], lanes) for key, part in parts]
    if isinstance(space, spaces.Dict):
        keys = [key for key, _ in parts]
        return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
    return list(zip(*columns, strict=True))


def _parts(space: spaces.Space) -> list[tuple[Any, spaces.Space]] | None:
    match space:
        case spaces.Dict():
            return list(space.spaces.items())
        case spaces.Tuple():
            return list(enumerate(space.spaces))
        case _:
            return None
