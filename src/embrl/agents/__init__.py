"""Whole agents: populations of small policy networks, and embeddings of them.

A product of its own beside training in an embedding, on the same environments and trainer:

    collect -> population -> embedding -> new, improved and interpolated agents -> evidence

Public names are imported on first use; importing this package is cheap.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embrl.agents.api import (
        collect_agents,
        fit_agents,
        generate_agents,
        improve_agents,
        load_agents,
        report_agents,
        walk_agents,
    )
    from embrl.agents.architecture import Architecture
    from embrl.agents.embeddings.embedding import AgentEmbedding
    from embrl.agents.groups import Groups
    from embrl.agents.population import Population

__all__ = [
    "AgentEmbedding",
    "Architecture",
    "Groups",
    "Population",
    "collect_agents",
    "fit_agents",
    "generate_agents",
    "improve_agents",
    "load_agents",
    "report_agents",
    "walk_agents",
]

_HOMES = {
    "AgentEmbedding": "embeddings.embedding",
    "Architecture": "architecture",
    "Groups": "groups",
    "Population": "population",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        home = importlib.import_module(f"embrl.agents.{_HOMES.get(name, 'api')}")
        return getattr(home, name)
    raise AttributeError(f"module 'embrl.agents' has no attribute {name!r}")
