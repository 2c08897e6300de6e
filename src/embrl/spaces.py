"""Gymnasium's spaces, reduced to what encoders and prediction heads need to know."""

import math

from gymnasium import spaces

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
