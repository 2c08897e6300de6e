"""Memory of visited states: counts of what followed them, mixed with predictions of a model.

A parametric T predicts the same for states that it embeds near each other. Where the same state
occurs again, what followed it before is better evidence. So predictions of T are mixed with it, as
in nearest-neighbour language models (Khandelwal et al. 2020, eq. 3), with a weight that grows with
the number of visits: first of all states with the same value of the factor that actions name (the
chain), then of the state itself.

    P(c | s) = (weight P'(c | s) + sum of w over the visits that c followed)
             / (weight + sum of w over the visits),    P' before this mixing

A visit has weight w = 1, or less if c is the value that its action named, as the action may have
caused it.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from embrl.core.types import Observation, Transition
from embrl.embedding.encoders import RawStates

NO_STATE = np.uint32(2**32 - 1)
"""Index that marks unused room. `EchoConfig.validate` refuses spaces that large."""


class Visits(NamedTuple):
    """Visits of states, sorted by state."""

    state: UInt32[Array, " N"]
    """Index of the state."""
    value: Int[Array, " N"]
    """Value of the named factor in s'."""
    weight: Float[Array, " N"]
    """Weight w of the visit."""


class Memory(NamedTuple):
    """Remembered visits."""

    visits: Visits
    chain: Float[Array, "values values"]
    """Weighted number of visits, by the value of the named factor in s and in s'."""
    future_value: Float[Array, " values"]
    """Discounted value of the steps after each value of the named factor, from the chain."""

    @classmethod
    def empty(cls, visits: int, values: int) -> "Memory":
        """Return an empty memory with room for `visits` visits."""
        return cls(
            Visits(jnp.full(visits, NO_STATE), jnp.zeros(visits, jnp.int32), jnp.zeros(visits)),
            jnp.zeros((values, values)),
            jnp.zeros(values),
        )


class Recalled(NamedTuple):
    """Remembered successors of a state."""

    value: Int[Array, "*batch k"]
    """Values of the named factor that followed it, in k visits at most."""
    weight: Float[Array, "*batch k"]
    """Weights of these visits; 0 where there were fewer."""
    chain: Float[Array, "*batch values"]
    """Successors of all states with the same value of the named factor."""
    future_value: Float[Array, " values"]
    """`Memory.future_value`."""

    def mixed(
        self, p: Float[Array, "*batch values"], weight: float
    ) -> Float[Array, "*batch values"]:
        """Return P(c | s): predicted probabilities mixed with the remembered successors.

        Args:
            p: predicted probabilities.
            weight: weight of the prediction, in visits.
        """
        p = (weight * p + self.chain) / (weight + self.chain.sum(-1, keepdims=True))

        def one(p: Array, value: Array, counts: Array) -> Array:
            return (weight * p).at[value].add(counts) / (weight + counts.sum())

        flat = jax.vmap(one)(
            p.reshape(-1, p.shape[-1]),
            self.value.reshape(-1, self.value.shape[-1]),
            self.weight.reshape(-1, self.weight.shape[-1]),
        )
        return flat.reshape(p.shape)


class Recall(eqx.Module):
    """Lookup of states in a memory."""

    memory: Memory
    raw: RawStates
    named: int = eqx.field(static=True)
    """Factor whose values the actions name."""
    k: int = eqx.field(static=True)
    """Maximum number of visits to return."""

    def __call__(self, observation: Observation) -> Recalled:
        """Return what followed a state in up to k of its visits."""
        (state, value, weight), chain, future_value = self.memory
        number = self.raw.number(observation)
        first = jnp.searchsorted(state, number).astype(jnp.int32)
        index = jnp.minimum(first[..., None] + jnp.arange(self.k, dtype=jnp.int32), len(state) - 1)
        same = state[index] == number[..., None]
        before = self.raw(observation)[..., self.named]
        weight = jnp.where(same, weight[index], 0.0)
        return Recalled(value[index], weight, chain[before], future_value)


def remember(
    raw: RawStates,
    named: int,
    transitions: Transition,
    known: Bool[Array, "..."],
    unaided: Float[Array, ""],
) -> tuple[Visits, Float[Array, "values values"]]:
    """Return the visits in transitions, and the chain (`Memory`).

    Args:
        raw: raw features of observations.
        named: factor whose values the actions name.
        transitions: transitions with any leading axes.
        known: mask of the transitions to remember.
        unaided: weight of a visit that was followed by the value its action named.
    """
    assert isinstance(raw.features, tuple)
    values = raw.features[named]
    state = jnp.where(known, raw.number(transitions.observation), NO_STATE).ravel()
    before = raw(transitions.observation)[..., named].ravel()
    after = raw(transitions.next_observation)[..., named].ravel()
    weight = jnp.where(after == transitions.action.ravel(), unaided, jnp.float32(1.0))
    counted = jnp.where(known.ravel(), weight, 0.0)
    chain = jnp.zeros((values, values)).at[before, after].add(counted)
    order = jnp.argsort(state)
    return Visits(state[order], after[order], weight[order]), chain
