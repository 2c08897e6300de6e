"""What every objective has in common."""

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import equinox as eqx
from jaxtyping import Array, Float

from embrl.core.errors import EmbrlError
from embrl.core.types import Key, Transition
from embrl.embedding.config import ModelConfig, Shape

if TYPE_CHECKING:
    from embrl.embedding.model import JointEmbedding


class Objective(eqx.Module):
    """A loss of a model on transitions, with parameters of its own that are learned beside phi and
    g: a decoder, a reward head.
    """

    segments: ClassVar[bool] = False
    """Whether it takes `[H, N]`, H steps in a row of N segments, and a mask of the steps that
    belong to their segment; else it takes `[N]`."""

    @abc.abstractmethod
    def __init__(self, shape: Shape, config: ModelConfig, *, key: Key) -> None:
        """Makes the networks."""

    @abc.abstractmethod
    def __call__(self, model: "JointEmbedding", batch: Transition) -> Float[Array, ""]:
        """The loss, mean over the batch."""


class FunctionObjective(Objective):
    """A user's plain function of a model and transitions `[N]`."""

    function: "LossFunction" = eqx.field(static=True)

    def __init__(self, function: "LossFunction") -> None:
        self.function = function

    def __call__(self, model: "JointEmbedding", batch: Transition) -> Float[Array, ""]:
        return self.function(model, batch)


LossFunction: TypeAlias = Callable[["JointEmbedding", Transition], Float[Array, ""]]

OwnObjective: TypeAlias = LossFunction | type[Objective]
"""What a user may pass in: a function, or a class with parameters."""


def checked_objective(name: str, kind: Any) -> OwnObjective:
    """`kind`, if it can be an objective.

    Raises:
        EmbrlError: it cannot.
    """
    if issubclass(kind, Objective) if isinstance(kind, type) else callable(kind):
        return kind
    raise EmbrlError(
        f"objective {name} must be a function of a model and transitions, or a subclass of "
        f"Objective, not {kind!r}"
    )
