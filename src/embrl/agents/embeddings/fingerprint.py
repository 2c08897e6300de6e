"""An agent is what it does in a few chosen states: no weights are needed to encode it."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from embrl.agents.architecture import Architecture
from embrl.agents.decisions import votes, votes_of
from embrl.agents.embeddings.behaviour import acting_apart
from embrl.agents.embeddings.model import AgentModel, Batch, Standard, networks, standard
from embrl.core.types import Key

PROBES = 128
"""States in which agents are asked."""

CANDIDATES = 8192
"""Visited states among which probes are chosen."""

ASKED = 512
"""Training agents whose disagreement chooses them."""


class Fingerprint(AgentModel):
    """Harb et al. (2020) called it a policy's fingerprint: its answers in probe states."""

    probes: Float[Array, "P inputs"]

    visits: ClassVar[bool] = True
    beta: ClassVar[float] = 1e-3

    def features(self, w: Float[Array, "*batch size"]) -> Float[Array, "*batch n"]:
        probes = jax.lax.stop_gradient(self.probes)
        asked = jnp.broadcast_to(probes, (*w.shape[:-1], *probes.shape))
        return _flat(votes(self.architecture.logits(w, asked)))

    def features_of(self, probabilities: Float[Array, "*batch P A"]) -> Float[Array, "*batch n"]:
        """The same, of an agent whose action probabilities at the probe states are known."""
        return _flat(votes_of(probabilities))

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
    ) -> "Fingerprint":
        """Before its first step; probes are chosen among the states that training agents visit."""
        choosing, making = jax.random.split(key)
        probes = choose_probes(architecture, w, states, choosing)
        width = len(probes) * (architecture.outputs - 1)
        encoder, decoder = networks(width, architecture.size, k, hidden, making)
        nothing = Standard(jnp.zeros(width), jnp.ones(width))
        model = cls(architecture, encoder, decoder, nothing, standard(jnp.asarray(w)), probes)
        seen = standard(jnp.concatenate([model.features(jnp.asarray(part)) for part in _parts(w)]))
        return cls(architecture, encoder, decoder, seen, model.weights, probes)


def choose_probes(
    architecture: Architecture,
    w: Float[Array, "N size"],
    states: Float[Array, "N S inputs"],
    key: Key,
    count: int = PROBES,
) -> Float[Array, "P inputs"]:
    """Visited states, drawn without replacement (where there are enough) in proportion to how much
    agents disagree there: to the chance that two agents choose different actions, plus a hundredth.
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
    """The votes of all actions but the last: each row's sum is 0."""
    return votes[..., :-1].reshape(*votes.shape[:-2], -1)


def _parts(w: Array) -> list[Array]:
    return [w[start : start + 4096] for start in range(0, len(w), 4096)]
