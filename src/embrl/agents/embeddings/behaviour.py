"""Weights to weights, but what is reconstructed is what the agent does."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from embrl.agents.architecture import Architecture
from embrl.agents.decisions import divergence
from embrl.agents.embeddings.model import AgentModel, Batch, networks, standard
from embrl.core.types import Key


class Behaviour(AgentModel):
    """Costs what `acting_apart` says: a decoded agent may have any weights that decide alike."""

    visits: ClassVar[bool] = True
    beta: ClassVar[float] = 1e-3

    def features(self, w: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        return w

    def reconstruction(self, batch: Batch, decoded: Float[Array, "B size"]) -> Float[Array, " B"]:
        return acting_apart(self.architecture, batch, decoded)

    @classmethod
    def make(
        cls,
        architecture: Architecture,
        w: Float[Array, "N size"],
        states: Float[Array, "N S inputs"],
        k: int,
        hidden: tuple[int, ...],
        key: Key,
    ) -> "Behaviour":
        """Before its first step; standardised on the training agents w."""
        del states
        encoder, decoder = networks(architecture.size, architecture.size, k, hidden, key)
        scales = standard(jnp.asarray(w))
        return cls(architecture, encoder, decoder, scales, scales)


def acting_apart(
    architecture: Architecture, batch: Batch, decoded: Float[Array, "B size"]
) -> Float[Array, " B"]:
    """The mean over the batch's states of `decisions.divergence` from original to decoded agent."""
    return divergence(batch.votes, architecture.logits(decoded, batch.states)).mean(-1)
