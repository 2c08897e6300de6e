"""What embeddings are trained to do. An objective maps a model and transitions to a loss."""

from embrl.embedding.objectives.objective import (
    FunctionObjective,
    LossFunction,
    Objective,
    OwnObjective,
    checked_objective,
)
from embrl.embedding.shape import Shape
from embrl.registry import Registry

__all__ = [
    "OBJECTIVES",
    "FunctionObjective",
    "LossFunction",
    "Objective",
    "OwnObjective",
    "Shape",
    "checked_objective",
]

OBJECTIVES = Registry(
    "objective",
    {
        "forward": "embrl.embedding.objectives.forward:Forward",
        "inverse": "embrl.embedding.objectives.inverse:Inverse",
        "state": "embrl.embedding.objectives.state:StateReconstruction",
        "action": "embrl.embedding.objectives.action:ActionReconstruction",
        "reward": "embrl.embedding.objectives.reward:Reward",
        "outcome": "embrl.embedding.objectives.outcome:Outcome",
        "termination": "embrl.embedding.objectives.termination:Termination",
        "latent": "embrl.embedding.objectives.latent:Latent",
    },
    plugged=True,
)
"""Name to class, or to a function of a plugin's. A new objective is one file and one line here; a
user's own is passed in, or registered by a plugin."""
