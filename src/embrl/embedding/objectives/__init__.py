"""What embeddings are trained to do. An objective maps a model and transitions to a loss."""

from embrl.core.registry import Registry
from embrl.embedding.config import EmbeddingShape
from embrl.embedding.objectives.base import (
    FunctionObjective,
    LossFunction,
    Objective,
    OwnObjective,
    checked_objective,
)

__all__ = [
    "OBJECTIVES",
    "EmbeddingShape",
    "FunctionObjective",
    "LossFunction",
    "Objective",
    "OwnObjective",
    "checked_objective",
]

OBJECTIVES = Registry(
    "objective",
    {
        "forward": "embrl.embedding.objectives.dynamics:Forward",
        "inverse": "embrl.embedding.objectives.dynamics:Inverse",
        "state": "embrl.embedding.objectives.reconstruction:StateReconstruction",
        "action": "embrl.embedding.objectives.reconstruction:ActionReconstruction",
        "reward": "embrl.embedding.objectives.rewards:Reward",
        "outcome": "embrl.embedding.objectives.rewards:Outcome",
        "termination": "embrl.embedding.objectives.rewards:Termination",
        "latent": "embrl.embedding.objectives.dynamics:Latent",
    },
    plugged=True,
)
"""Name to class, or to a function of a plugin's. A new objective is one file and one line here; a
user's own is passed in, or registered by a plugin."""
