"""Whether an embedding fits an environment, and if not, what exactly does not."""

from collections.abc import Callable

import numpy as np
from gymnasium import spaces

from embrl.errors import EmbrlError


def check_observations(name: str, has: spaces.Space, needs: spaces.Space) -> None:
    """Compares spaces of observations, in embrl's forms.

    A `Box` may be narrower than the one that the embedding was fitted on, as it is then scaled just
    the same; data without bounds, for example, take any.

    Arguments:
        name: of the environment, for the message.
        has: the environment's.
        needs: the embedding's.

    Raises:
        EmbrlError: they differ: which dimension, what it has, what it needs.
    """
    _check(f"observations of {name}", has, needs)


def check_actions(name: str, has: spaces.Space, needs: spaces.Space) -> None:
    """The same of actions: as many choices, or a `Box` within the embedding's."""
    _check(f"actions of {name}", has, needs)


def _check(what: str, has: spaces.Space, needs: spaces.Space) -> None:
    match has, needs:
        case spaces.Discrete(), spaces.Discrete():
            differ = _counts(what, "values", [int(has.n)], [int(needs.n)])
        case spaces.MultiDiscrete(), spaces.MultiDiscrete():
            differ = _length(what, "factors", len(has.nvec), len(needs.nvec)) or _counts(
                what, "values in factor {}", has.nvec.tolist(), needs.nvec.tolist()
            )
        case spaces.Box(), spaces.Box():
            differ = _length(what, "numbers", has.shape[0], needs.shape[0]) or _ranges(
                what, has, needs
            )
        case _:
            differ = f"{what} are {_kind(has)}, and the embedding needs {_kind(needs)}"
    if differ:
        raise EmbrlError(f"{differ}: fit one on this environment, or choose the other")


def _length(what: str, unit: str, has: int, needs: int) -> str | None:
    return None if has == needs else f"{what} have {has} {unit}, and the embedding needs {needs}"


def _counts(what: str, unit: str, has: list[int], needs: list[int]) -> str | None:
    for index, (ours, theirs) in enumerate(zip(has, needs, strict=True)):
        if ours != theirs:
            shown = unit.format(index)
            return f"{what} have {ours:,} {shown}, and the embedding needs {theirs:,}"
    return None


def _ranges(what: str, has: spaces.Box, needs: spaces.Box) -> str | None:
    wrong = (has.low < needs.low) | (has.high > needs.high)
    if not wrong.any():
        return None
    at = int(np.argmax(wrong))
    return (
        f"{what} range from {has.low[at]:g} to {has.high[at]:g} in coordinate {at}, and the "
        f"embedding needs {needs.low[at]:g} to {needs.high[at]:g}"
    )


KINDS: tuple[tuple[type, Callable[..., str]], ...] = (
    (spaces.Discrete, lambda space: f"one of {int(space.n):,} values"),
    (spaces.MultiDiscrete, lambda space: f"{len(space.nvec)} factors"),
    (spaces.Box, lambda space: f"vectors of {space.shape[0]} numbers"),
)


def _kind(space: spaces.Space) -> str:
    return next((say(space) for kind, say in KINDS if isinstance(space, kind)), str(space))
