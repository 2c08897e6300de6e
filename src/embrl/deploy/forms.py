"""Observations and actions in the environment's own form, where one array can say them, and the
steps between that form and embrl's (`embrl.envs.gym` does the same for whole environments).
"""

import dataclasses
import math
from typing import Self

import numpy as np
from gymnasium import spaces

from embrl.deploy.form import Form
from embrl.portable import Chain, Step
from embrl.portable.forms import Cast, Clipped, Digits, Reshaped, Rounded, Shifted


@dataclasses.dataclass(frozen=True, eq=False)
class Forms:
    """What a policy takes and gives."""

    observation: Form
    action: Form
    enter: Chain
    """From an observation to embrl's form of it: int32 indices, or a float32 vector."""
    leave: Chain
    """From embrl's form of an action."""

    @classmethod
    def of(
        cls,
        observations: spaces.Space,
        actions: spaces.Space,
        own_observations: spaces.Space | None = None,
        own_actions: spaces.Space | None = None,
    ) -> Self:
        """
        Arguments:
            observations: embrl's form, in which policies see them.
            actions: embrl's form.
            own_observations: the environment's; None, or a `Dict` or `Tuple`: embrl's form it is.
            own_actions: the same.
        """
        seen = own_observations if is_plain(own_observations) else observations
        chosen = own_actions if is_plain(own_actions) else actions
        assert seen is not None
        assert chosen is not None
        return cls(
            _form(seen, observations),
            _form(chosen, chosen),
            Chain(_enter(seen)),
            leaving(chosen),
        )


def is_plain(space: spaces.Space | None) -> bool:
    """Whether a value of it is a single array of numbers."""
    kinds = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    return isinstance(space, kinds)


def _form(space: spaces.Space, bounds: spaces.Space) -> Form:
    """Of a space; what has no bound for a policy (`bounds`), has none here."""
    kind, shape, dtype = type(space).__name__, tuple(space.shape or ()), np.dtype(space.dtype).name
    if isinstance(space, spaces.Box):
        assert isinstance(bounds, spaces.Box)
        low, high = (side.astype(np.float64).reshape(shape) for side in (bounds.low, bounds.high))
        return Form(kind, shape, dtype, low, high)
    sizes, start = _counted(space)
    return Form(kind, shape, dtype, start, start + sizes - 1)


def _counted(space: spaces.Space) -> tuple[np.ndarray, np.ndarray]:
    """How many values there are, and where they start, int64 `[*shape]` each."""
    match space:
        case spaces.Discrete():
            return np.asarray(space.n, np.int64), np.asarray(space.start, np.int64)
        case spaces.MultiDiscrete():
            return space.nvec.astype(np.int64), np.asarray(space.start, np.int64)
        case _:
            shape = tuple(space.shape or ())
            return np.full(shape, 2, np.int64), np.zeros(shape, np.int64)


def _enter(space: spaces.Space) -> tuple[Step, ...]:
    if isinstance(space, spaces.Box):
        return (*_cast(space.dtype, "float32"), *_reshaped(space.shape, (math.prod(space.shape),)))
    sizes, start = _counted(space)
    shifted = (*_cast(space.dtype, "int64"), Shifted(-start)) if start.any() else ()
    factors = () if isinstance(space, spaces.Discrete) else (sizes.size,)
    before = "int64" if shifted else space.dtype
    return (*shifted, *_cast(before, "int32"), *_reshaped(sizes.shape, factors))


def leaving(space: spaces.Space) -> Chain:
    """From embrl's form of an action to this one, of a single array (`is_plain`)."""
    return Chain(_leave_box(space) if isinstance(space, spaces.Box) else _leave_indices(space))


def _leave_indices(space: spaces.Space) -> tuple[Step, ...]:
    sizes, start = _counted(space)
    digits: tuple[Step, ...] = ()
    if not isinstance(space, spaces.Discrete):
        digits = (Digits(sizes.ravel()), *_reshaped((sizes.size,), sizes.shape))
    shifted = (Shifted(start),) if start.any() else ()
    return (Cast("int64"), *digits, *shifted, *_cast("int64", space.dtype))


def _leave_box(space: spaces.Box) -> tuple[Step, ...]:
    reshaped = _reshaped((math.prod(space.shape),), space.shape)
    if space.dtype == np.float32:
        return reshaped  # f keeps to these very bounds
    rounded = (Rounded(),) if space.dtype.kind in "iu" else ()
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    clipped = (Cast("float64"), Clipped(low, high), *_cast("float64", space.dtype))
    return (*reshaped, *rounded, *clipped)


def _cast(before: object, after: object) -> tuple[Step, ...]:
    before, after = np.dtype(before), np.dtype(after)  # type: ignore[arg-type]
    return () if before == after else (Cast(after.name),)


def _reshaped(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[Step, ...]:
    return () if before == after else (Reshaped(tuple(before), tuple(after)),)
