"""The paper's: a plain variational autoencoder of flattened weights."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from embrl.agents.architecture import Architecture
from embrl.agents.embeddings.model import AgentModel, Batch, networks, standard
from embrl.core.types import Key


class Vae(AgentModel):
    """Chang, Kwiatkowski, Chen and Lipson (2018). Each weight is standardised; the likelihood is a
    Gaussian of unit variance, so an agent's reconstruction costs half its squared error.
    """

    visits: ClassVar[bool] = False
    beta: ClassVar[float] = 1.0

    def features(self, w: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        return w

    def reconstruction(self, batch: Batch, decoded: Float[Array, "B size"]) -> Float[Array, " B"]:
        error = self.weights.apply(batch.w) - self.weights.apply(decoded)
        return 0.5 * (error**2).sum(-1)

    @classmethod
    def make(
        cls,
        architecture: Architecture,
        w: Float[Array, "N size"],
        states: Float[Array, "N S inputs"],
        k: int,
        hidden: tuple[int, ...],
        key: Key,
    ) -> "Vae":
        """Before its first step; standardised on the training agents w."""
        del states
        encoder, decoder = networks(architecture.size, architecture.size, k, hidden, key)
        scales = standard(jnp.asarray(w))
        return cls(architecture, encoder, decoder, scales, scales)
