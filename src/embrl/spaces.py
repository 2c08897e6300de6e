"""Gymnasium's spaces, reduced to what encoders and prediction heads need to know."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike

from embrl.errors import EmbrlError


def factors(space: spaces.Space) -> tuple[int, ...]:
    """How many values each factor of a discrete space has.

    `Discrete(1600)` has one factor, `MultiDiscrete([835, 835])` two.

    Raises:
        EmbrlError: the space is of another kind, or does not count from 0.
    """
    match space:
        case spaces.Discrete():
            if int(space.start) != 0:
                raise EmbrlError(f"{space}: discrete spaces must start at 0, not {space.start}")
            return (int(space.n),)
        case spaces.MultiDiscrete() if space.nvec.ndim == 1 and not space.start.any():
            return tuple(int(n) for n in space.nvec)
        case _:
            raise EmbrlError(
                f"{space}: observations must be Discrete or (one-dimensional) MultiDiscrete"
            )


def action_count(space: spaces.Space) -> int:
    """The number of actions of a `Discrete` space.

    Raises:
        EmbrlError: the space is of another kind.
    """
    if not isinstance(space, spaces.Discrete) or int(space.start) != 0:
        raise EmbrlError(f"{space}: actions must be Discrete, counted from 0")
    return int(space.n)


def state_count(space: spaces.Space) -> int:
    """The number of states of a discrete observation space: the product of its factors."""
    return math.prod(factors(space))


def check_observation(space: spaces.Space, observation: ArrayLike) -> np.ndarray:
    """Observations of a discrete space as int32, with any number of leading axes.

    Raises:
        EmbrlError: the shape does not fit or a value is out of range; the message says which.
    """
    values = np.asarray(observation)
    sizes = factors(space)
    if values.dtype.kind not in "iu":
        raise EmbrlError(f"observations of {space} are whole numbers, not {values.dtype}")
    if isinstance(space, spaces.MultiDiscrete) and values.shape[-1:] != (len(sizes),):
        raise EmbrlError(
            f"observations of {space} end in an axis of {len(sizes)}, not {list(values.shape)}"
        )
    top = sizes[0] if isinstance(space, spaces.Discrete) else np.array(sizes)
    wrong = (values < 0) | (values >= top)
    if wrong.any():
        where = np.argwhere(wrong)[0].tolist()
        at = f" at {where}" if where else ""
        raise EmbrlError(f"observation {values[tuple(where)]}{at} is not in {space}")
    return values.astype(np.int32)


def to_json(space: spaces.Space) -> dict[str, Any]:
    """A discrete space in plain values."""
    kind = "Discrete" if isinstance(space, spaces.Discrete) else "MultiDiscrete"
    return {"kind": kind, "sizes": list(factors(space))}


def from_json(value: dict[str, Any], where: str | Path) -> spaces.Space:
    """The space that `to_json` wrote into the file `where`.

    Raises:
        EmbrlError: it says something else.
    """
    match value:
        case {"kind": "Discrete", "sizes": [int(n)]} if n > 0:
            return spaces.Discrete(n)
        case {"kind": "MultiDiscrete", "sizes": [*sizes]} if sizes and all(
            isinstance(n, int) and n > 0 for n in sizes
        ):
            return spaces.MultiDiscrete(sizes)
        case _:
            raise EmbrlError(f"{where} describes no space that is known here: {value}")
