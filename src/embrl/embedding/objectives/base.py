"""Interface of objectives: losses of an embedding on transitions."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeAlias

import equinox as eqx
from jaxtyping import Array, Float

from embrl.core.errors import EmbrlError
from embrl.core.types import Key, Transition
from embrl.embedding.config import EmbeddingConfig, EmbeddingShape
from embrl.embedding.encoders import RawStates


class EncoderPair(Protocol):
    """A joint embedding as objectives see it (`embrl.embedding.model.JointEmbedding`)."""

    @property
    def phi(self) -> Any:
        """The state encoder, or the identity."""
        ...

    @property
    def g(self) -> Any:
        """The action encoder."""
        ...

    @property
    def raw(self) -> RawStates:
        """Observations in the form that networks take in, which predictions are compared with."""
        ...


class Objective(eqx.Module):
    """A loss of an embedding on transitions.

    Its own parameters (a decoder, a reward head) are learned together with phi and g.
    """

    segments: ClassVar[bool] = False
    """True if it takes `[H, N]`, H consecutive steps of N segments, and a mask of the steps that
    belong to their segment; otherwise it takes `[N]`."""

    batch_only: ClassVar[bool] = False
    """True if of g it needs nothing but the embeddings of the batch's actions. Where actions are
    very many, those that data does not contain are then left out of a gradient step."""

    @abc.abstractmethod
    def __init__(self, shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> None:
        """Initialise the networks."""

    @abc.abstractmethod
    def __call__(self, model: Any, batch: Transition) -> Float[Array, ""]:
        """Return the loss, averaged over the batch."""


LossFunction: TypeAlias = Callable[[Any, Transition], Float[Array, ""]]
"""A loss without parameters of its own: of a `JointEmbedding` and transitions `[N]`."""

OwnObjective: TypeAlias = LossFunction | type[Objective]
"""A user's objective: a function, or a class with parameters."""


class FunctionObjective(Objective):
    """An objective given as a plain function of an embedding and transitions `[N]`."""

    function: LossFunction = eqx.field(static=True)

    def __init__(self, function: LossFunction) -> None:
        self.function = function

    def __call__(self, model: EncoderPair, batch: Transition) -> Float[Array, ""]:
        return self.function(model, batch)


def checked_objective(name: str, kind: Any) -> OwnObjective:
    """Return `kind`, if it can be an objective.

    Raises:
        EmbrlError: it is neither a function nor a subclass of `Objective`.
    """
    if issubclass(kind, Objective) if isinstance(kind, type) else callable(kind):
        return kind
    raise EmbrlError(
        f"objective {name} must be a function of an embedding and transitions, or a subclass of "
        f"Objective, got {kind!r}"
    )
