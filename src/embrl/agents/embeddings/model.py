"""What all embeddings of agents have in common: a variational autoencoder of policies."""

import abc
from typing import ClassVar, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from embrl.agents.architecture import Architecture
from embrl.core.nn import MLP
from embrl.core.types import Key


class Batch(NamedTuple):
    """Agents to learn from, and states to compare them in."""

    w: Float[Array, "B size"]
    """In canonical order."""
    states: Float[Array, "B S inputs"]
    """Of each agent: visited by itself, by its reconstruction and by others. S is 0 where the kind
    does not ask for them."""
    votes: Float[Array, "B S A"]
    """What each agent says there (`agents/decisions.py`)."""


class Standard(NamedTuple):
    """Mean and standard deviation of each number, over the training agents."""

    mean: Float[Array, " n"]
    deviation: Float[Array, " n"]

    def apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """Mean 0 and deviation 1."""
        mean, deviation = jax.lax.stop_gradient((self.mean, self.deviation))
        return (x - mean) / deviation

    def undo(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """What `apply` was given."""
        mean, deviation = jax.lax.stop_gradient((self.mean, self.deviation))
        return mean + deviation * x


def standard(x: Float[Array, "N n"]) -> Standard:
    """Measured on x. A number that hardly varies is treated as if it varied a thousandth as much as
    all do on average.
    """
    deviation = x.std(0)
    return Standard(x.mean(0), jnp.maximum(deviation, 1e-3 * deviation.mean() + 1e-12))


class AgentModel(eqx.Module):
    """Features of an agent -> q(z) -> weights of an agent.

    Functions of weights take them in canonical order. Final classes say what the features are and
    how far a decoded agent is from the original.
    """

    architecture: Architecture = eqx.field(static=True)
    encoder: MLP
    decoder: MLP
    seen: Standard
    """Of the features."""
    weights: Standard

    visits: ClassVar[bool]
    """Whether `reconstruction` wants states."""
    beta: ClassVar[float]
    """The KL's weight, unless the settings say another."""

    @classmethod
    @abc.abstractmethod
    def make(
        cls,
        architecture: Architecture,
        w: Float[Array, "N size"],
        states: Float[Array, "N S inputs"],
        k: int,
        hidden: tuple[int, ...],
        key: Key,
    ) -> Self:
        """Before its first step; standardised on the training agents w, which visit `states`."""

    @abc.abstractmethod
    def features(self, w: Float[Array, "*batch size"]) -> Float[Array, "*batch n"]:
        """What the encoder looks at."""

    @abc.abstractmethod
    def reconstruction(self, batch: Batch, decoded: Float[Array, "B size"]) -> Float[Array, " B"]:
        """How far each decoded agent is from its original, in nats; differentiable."""

    def posterior(
        self, features: Float[Array, "*batch n"]
    ) -> tuple[Float[Array, "*batch k"], Float[Array, "*batch k"]]:
        """Mean and log standard deviation of q(z)."""
        mean, log_deviation = jnp.split(self.encoder(self.seen.apply(features)), 2, axis=-1)
        return mean, jnp.clip(log_deviation, -8.0, 2.0)

    def decode(self, z: Float[Array, "*batch k"]) -> Float[Array, "*batch size"]:
        """An agent for each z."""
        return self.weights.undo(self.decoder(z))


def loss(
    model: AgentModel, batch: Batch, key: Key, beta: float
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Reconstruction + beta KL(q(z) || N(0, I)), the mean over agents, and the two apart.

    One draw of z for each agent (Kingma and Welling 2014; beta: Higgins et al. 2017).
    """
    mean, log_deviation = model.posterior(model.features(batch.w))
    z = mean + jnp.exp(log_deviation) * jax.random.normal(key, mean.shape)
    reconstruction = model.reconstruction(batch, model.decode(z)).mean()
    divergence = 0.5 * (mean**2 + jnp.exp(2 * log_deviation) - 1 - 2 * log_deviation).sum(-1).mean()
    parts = {"reconstruction": reconstruction, "divergence": divergence}
    return reconstruction + beta * divergence, parts


def networks(
    features: int, size: int, k: int, hidden: tuple[int, ...], key: Key
) -> tuple[MLP, MLP]:
    """Encoder and decoder, mirrored. The decoder begins near the mean agent."""
    one, two = jax.random.split(key)
    activation = jax.nn.gelu
    return (
        MLP(features, hidden, 2 * k, activation=activation, last_scale=0.5, key=one),
        MLP(k, hidden[::-1], size, activation=activation, last_scale=0.1, key=two),
    )
