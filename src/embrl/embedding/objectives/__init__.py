"""What embeddings are trained to do. An objective maps a model and transitions to a loss."""

from collections.abc import Callable
from typing import TypeAlias

from jaxtyping import Array, Float

from embrl.embedding.model import JointEmbedding
from embrl.registry import Registry
from embrl.types import Transition

__all__ = ["OBJECTIVES", "Objective"]

Objective: TypeAlias = Callable[[JointEmbedding, Transition], Float[Array, ""]]

OBJECTIVES = Registry("objective", {"forward": "embrl.embedding.objectives.forward:forward"})
"""Name to function. A new objective is one file and one line here."""
