"""Variational autoencoders of agents: the base class and its three kinds."""

import abc
from typing import ClassVar, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from embrl.agents.architecture import Architecture
from embrl.agents.similarity import divergence, votes, votes_from_probabilities
from embrl.core.nn import MLP
from embrl.core.types import Key


class AgentBatch(NamedTuple):
    """Agents to learn from, and states to compare them in."""

    w: Float[Array, "B size"]
    """Weights in canonical order."""
    states: Float[Array, "B S inputs"]
    """States of each agent: visited by itself, by its reconstruction and by others.

    S is 0 if the kind does not use them.
    """
    votes: Float[Array, "B S A"]
    """Votes of each agent in these states (`embrl.agents.similarity`)."""


class Standardization(NamedTuple):
    """Mean and standard deviation of each number, over the training agents."""

    mean: Float[Array, " n"]
    deviation: Float[Array, " n"]

    def apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """Return x with mean 0 and standard deviation 1."""
        mean, deviation = jax.lax.stop_gradient((self.mean, self.deviation))
        return (x - mean) / deviation

    def undo(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """Invert `apply`."""
        mean, deviation = jax.lax.stop_gradient((self.mean, self.deviation))
        return mean + deviation * x


def standardization(x: Float[Array, "N n"]) -> Standardization:
    """Measure the mean and standard deviation of x.

    The standard deviation of a nearly constant number is raised to a thousandth of the average one.
    """
    deviation = x.std(0)
    return Standardization(x.mean(0), jnp.maximum(deviation, 1e-3 * deviation.mean() + 1e-12))


class AgentModel(eqx.Module):
    """Features of an agent -> q(z) -> weights of an agent.

    Functions of weights take them in canonical order. Final classes define the features and the
    distance of a decoded agent from the original.
    """

    architecture: Architecture = eqx.field(static=True)
    encoder: MLP
    decoder: MLP
    seen: Standardization
    """Standardization of the features."""
    weights: Standardization
    """Standardization of the weights."""

    visits: ClassVar[bool]
    """True if `reconstruction` needs states."""
    beta: ClassVar[float]
    """Default weight of the KL divergence."""

    @classmethod
    def make(
        cls,
        architecture: Architecture,
        w: Float[Array, "N size"],
        states: Float[Array, "N S inputs"],
        k: int,
        hidden: tuple[int, ...],
        key: Key,
    ) -> Self:
        """Initialize an untrained model whose features are the agents' weights.

        Args:
            architecture: architecture of the agents.
            w: weights of the training agents, in canonical order; scales are measured on them.
            states: states that each of these agents visits.
            k: dimensions of the embedding.
            hidden: widths of the encoder's hidden layers; the decoder's are the same, reversed.
            key: random key of the initial weights.
        """
        del states
        encoder, decoder = networks(architecture.size, architecture.size, k, hidden, key)
        scales = standardization(jnp.asarray(w))
        return cls(architecture, encoder, decoder, scales, scales)

    @abc.abstractmethod
    def features(self, w: Float[Array, "*batch size"]) -> Float[Array, "*batch n"]:
        """Return the encoder's input."""

    @abc.abstractmethod
    def reconstruction(
        self, batch: AgentBatch, decoded: Float[Array, "B size"]
    ) -> Float[Array, " B"]:
        """Return the distance of each decoded agent from its original, in nats."""

    def posterior(
        self, features: Float[Array, "*batch n"]
    ) -> tuple[Float[Array, "*batch k"], Float[Array, "*batch k"]]:
        """Return mean and log standard deviation of q(z)."""
        mean, log_deviation = jnp.split(self.encoder(self.seen.apply(features)), 2, axis=-1)
        return mean, jnp.clip(log_deviation, -8.0, 2.0)

    def decode(self, z: Float[Array, "*batch k"]) -> Float[Array, "*batch size"]:
        """Return an agent for each z."""
        return self.weights.undo(self.decoder(z))


def loss(
    model: AgentModel, batch: AgentBatch, key: Key, beta: float
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Return reconstruction + beta KL(q(z) || N(0, I)), averaged over agents, and its two parts.

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
    """Initialize encoder and decoder, mirrored; the decoder starts near the mean agent."""
    one, two = jax.random.split(key)
    activation = jax.nn.gelu
    return (
        MLP(features, hidden, 2 * k, activation=activation, last_scale=0.5, key=one),
        MLP(k, hidden[::-1], size, activation=activation, last_scale=0.1, key=two),
    )


class Vae(AgentModel):
    """Plain variational autoencoder of weights (Chang, Kwiatkowski, Chen and Lipson 2018).

    Each weight is standardized; the likelihood is a Gaussian of unit variance, so an agent's
    reconstruction costs half its squared error.
    """

    visits: ClassVar[bool] = False
    beta: ClassVar[float] = 1.0

    def features(self, w: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        return w

    def reconstruction(
        self, batch: AgentBatch, decoded: Float[Array, "B size"]
    ) -> Float[Array, " B"]:
        error = self.weights.apply(batch.w) - self.weights.apply(decoded)
        return 0.5 * (error**2).sum(-1)


class Behaviour(AgentModel):
    """Autoencoder of weights whose loss compares behaviour, `behaviour_divergence`.

    A decoded agent may have any weights that decide alike.
    """

    visits: ClassVar[bool] = True
    beta: ClassVar[float] = 1e-3

    def features(self, w: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        return w

    def reconstruction(
        self, batch: AgentBatch, decoded: Float[Array, "B size"]
    ) -> Float[Array, " B"]:
        return behaviour_divergence(self.architecture, batch, decoded)


def behaviour_divergence(
    architecture: Architecture, batch: AgentBatch, decoded: Float[Array, "B size"]
) -> Float[Array, " B"]:
    """Return the mean divergence from original to decoded agent over the batch's states."""
    return divergence(batch.votes, architecture.logits(decoded, batch.states)).mean(-1)


PROBES = 128
"""Number of probe states."""

CANDIDATES = 8192
"""Visited states among which probe states are chosen."""

ASKED = 512
"""Training agents whose disagreement determines the probe states."""


class Fingerprint(AgentModel):
    """Autoencoder whose encoder sees an agent's decisions in probe states, not its weights.

    Harb et al. (2020) called these decisions a policy's fingerprint.
    """

    probes: Float[Array, "P inputs"]

    visits: ClassVar[bool] = True
    beta: ClassVar[float] = 1e-3

    def features(self, w: Float[Array, "*batch size"]) -> Float[Array, "*batch n"]:
        probes = jax.lax.stop_gradient(self.probes)
        asked = jnp.broadcast_to(probes, (*w.shape[:-1], *probes.shape))
        return _flat(votes(self.architecture.logits(w, asked)))

    def features_of(self, probabilities: Float[Array, "*batch P A"]) -> Float[Array, "*batch n"]:
        """Return the features of an agent from its action probabilities at the probe states."""
        return _flat(votes_from_probabilities(probabilities))

    def reconstruction(
        self, batch: AgentBatch, decoded: Float[Array, "B size"]
    ) -> Float[Array, " B"]:
        return behaviour_divergence(self.architecture, batch, decoded)

    @classmethod
    def make(
        cls,
        architecture: Architecture,
        w: Float[Array, "N size"],
        states: Float[Array, "N S inputs"],
        k: int,
        hidden: tuple[int, ...],
        key: Key,
    ) -> "Fingerprint":
        """Initialize an untrained model; probe states are chosen among the visited states."""
        choosing, making = jax.random.split(key)
        probes = choose_probes(architecture, w, states, choosing)
        width = len(probes) * (architecture.outputs - 1)
        encoder, decoder = networks(width, architecture.size, k, hidden, making)
        nothing = Standardization(jnp.zeros(width), jnp.ones(width))
        model = cls(
            architecture, encoder, decoder, nothing, standardization(jnp.asarray(w)), probes
        )
        seen = standardization(
            jnp.concatenate([model.features(jnp.asarray(part)) for part in _parts(w)])
        )
        return cls(architecture, encoder, decoder, seen, model.weights, probes)


def choose_probes(
    architecture: Architecture,
    w: Float[Array, "N size"],
    states: Float[Array, "N S inputs"],
    key: Key,
    count: int = PROBES,
) -> Float[Array, "P inputs"]:
    """Draw visited states in proportion to how much agents disagree there.

    Weights are the chance that two agents choose different actions, plus a hundredth; drawn without
    replacement where there are enough.
    """
    picking, asking, drawing = jax.random.split(key, 3)
    flat = states.reshape(-1, states.shape[-1])
    candidates = jax.random.permutation(picking, flat)[:CANDIDATES]
    some = jnp.asarray(w)[jax.random.permutation(asking, len(w))[:ASKED]]
    chosen = jax.lax.map(
        lambda one: architecture.logits(one, candidates).argmax(-1), some, batch_size=32
    )
    shares = jax.nn.one_hot(chosen, architecture.outputs).mean(0)
    apart = 1.0 - (shares**2).sum(-1) + 0.01
    which = jax.random.choice(
        drawing,
        len(candidates),
        (count,),
        replace=len(candidates) < count,
        p=apart / apart.sum(),
    )
    return candidates[which]


def _flat(votes: Float[Array, "*batch P A"]) -> Float[Array, "*batch n"]:
    """Flatten the votes of all actions but the last, as each row sums to 0."""
    return votes[..., :-1].reshape(*votes.shape[:-2], -1)


def _parts(w: Array) -> list[Array]:
    return [w[start : start + 4096] for start in range(0, len(w), 4096)]
