"""Embeddings of agents: whole policies as short vectors, and back."""

from embrl.core.registry import Registry

KINDS = Registry(
    "kind of agent embedding",
    {
        "vae": "embrl.agents.embeddings.vae:Vae",
        "behaviour": "embrl.agents.embeddings.behaviour:Behaviour",
        "fingerprint": "embrl.agents.embeddings.fingerprint:Fingerprint",
    },
)
"""Name to a final class of `AgentModel`. A new kind is one file and one line here."""
