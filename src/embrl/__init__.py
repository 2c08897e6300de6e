"""embrl: embeddings for reinforcement learning.

    import embrl

    env = embrl.make("gridworld", actuators=9)
    run = embrl.train("gridworld", actuators=9, method="jsae", samples=300_000, out="runs/first")
    policy = embrl.load("runs/first").policy()
    action = policy.act(observation)

Importing embrl is cheap: JAX is loaded at the first call.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embrl.api import Policy, Run, collect_agents, load, make, train
    from embrl.errors import EmbrlError
    from embrl.registration import register_environment, register_method, register_objective

__all__ = [
    "EmbrlError",
    "Policy",
    "Run",
    "collect_agents",
    "load",
    "make",
    "register_environment",
    "register_method",
    "register_objective",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        home = "errors" if name == "EmbrlError" else "api"
        home = "registration" if name.startswith("register_") else home
        return getattr(importlib.import_module(f"embrl.{home}"), name)
    raise AttributeError(f"module 'embrl' has no attribute {name!r}")
