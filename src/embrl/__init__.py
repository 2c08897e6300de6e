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
    from embrl.api import Episode, Policy, Run, load, make, play, train
    from embrl.api_agents import (
        collect_agents,
        fit_agents,
        generate_agents,
        improve_agents,
        load_agents,
        report_agents,
        walk_agents,
    )
    from embrl.core.errors import EmbrlError
    from embrl.deploy.exported import load_policy
    from embrl.deploy.exporting import export
    from embrl.fitting.embedding import Embedding, load_embedding
    from embrl.fitting.fit import fit
    from embrl.interop.wrappers import wrap
    from embrl.registration import register_environment, register_method, register_objective

__all__ = [
    "Embedding",
    "EmbrlError",
    "Episode",
    "Policy",
    "Run",
    "collect_agents",
    "export",
    "fit",
    "fit_agents",
    "generate_agents",
    "improve_agents",
    "load",
    "load_agents",
    "load_embedding",
    "load_policy",
    "make",
    "play",
    "register_environment",
    "register_method",
    "register_objective",
    "report_agents",
    "train",
    "walk_agents",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        home = "errors" if name == "EmbrlError" else "api"
        home = "registration" if name.startswith("register_") else home
        home = "api_agents" if name.endswith("_agents") else home
        home = "deploy.exporting" if name == "export" else home
        home = "deploy.exported" if name == "load_policy" else home
        home = "fitting.fit" if name == "fit" else home
        home = "interop.wrappers" if name == "wrap" else home
        home = "fitting.embedding" if name in ("Embedding", "load_embedding") else home
        return getattr(importlib.import_module(f"embrl.{home}"), name)
    raise AttributeError(f"module 'embrl' has no attribute {name!r}")
