"""Embeddings of agents: whole policies as short vectors, and back."""

from embrl.core.registry import Registry

KINDS = Registry(
    "kind of agent embedding",
    {
        "vae": "embrl.agents.embeddings.models:Vae",
        "behaviour": "embrl.agents.embeddings.models:Behaviour",
        "fingerprint": "embrl.agents.embeddings.models:Fingerprint",
    },
)
"""Name to a final class of `AgentModel`. Add a kind as a class in `models.py` and a line here."""
