"""What followed the very states that were visited: beside a model that generalises, one that
remembers.

A parametric T says the same of states that it puts near each other; where the same state comes
again, what followed it before says more. So what T predicts is mixed with that, as
nearest-neighbour language models do it (Khandelwal et al. 2020, eq. 3), with a share that grows
with the number of visits: first of all states with the same value of the factor that actions name
(the chain), then of the very state.

    P(c | s) = (weight P'(c | s) + sum of w over the visits that c followed)
             / (weight + sum of w over the visits),    P' as before this mixing

A visit counts w = 1, or less, if c is what its action named: it may have come by that alone.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from embrl.core.types import Observation, Transition
from embrl.embedding.encoders import RawStates

NOTHING = np.uint32(2**32 - 1)
"""Stands where there is no visit. No space that fits is that large."""


class Visits(NamedTuple):
    """In the order of their states, so that a state's stand together."""

    state: UInt32[Array, " N"]
    value: Int[Array, " N"]
    """Of the factor that actions name, in s'."""
    weight: Float[Array, " N"]


class Memory(NamedTuple):
    """All that is remembered."""

    visits: Visits
    chain: Float[Array, "values values"]
    """Visits by the value that the named factor had before, and has after."""
    promise: Float[Array, " values"]
    """What a value is worth beside its own outcome, by what the chain says comes after it."""

    @classmethod
    def nothing(cls, visits: int, values: int) -> "Memory":
        """With room for so many."""
        return cls(
            Visits(jnp.full(visits, NOTHING), jnp.zeros(visits, jnp.int32), jnp.zeros(visits)),
            jnp.zeros((values, values)),
            jnp.zeros(values),
        )


class Recalled(NamedTuple):
    """What is remembered of a state."""

    value: Int[Array, "*batch k"]
    """What followed it, in k visits at most."""
    weight: Float[Array, "*batch k"]
    """0 where there were fewer visits."""
    chain: Float[Array, "*batch values"]
    """What followed all states with the same value of the named factor."""
    promise: Float[Array, " values"]

    def mixed(
        self, p: Float[Array, "*batch values"], weight: float
    ) -> Float[Array, "*batch values"]:
        """P(c | s), see above."""
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
    """Looks states up."""

    memory: Memory
    raw: RawStates
    named: int = eqx.field(static=True)
    k: int = eqx.field(static=True)

    def __call__(self, observation: Observation) -> Recalled:
        """Some k of a state's visits, or all, if there are no more."""
        (state, value, weight), chain, promise = self.memory
        number = self.raw.number(observation)
        first = jnp.searchsorted(state, number).astype(jnp.int32)
        at = jnp.minimum(first[..., None] + jnp.arange(self.k, dtype=jnp.int32), len(state) - 1)
        same = state[at] == number[..., None]
        before = self.raw(observation)[..., self.named]
        return Recalled(value[at], jnp.where(same, weight[at], 0.0), chain[before], promise)


def remember(
    raw: RawStates,
    named: int,
    transitions: Transition,
    known: Bool[Array, "..."],
    own: Float[Array, ""],
) -> tuple[Visits, Float[Array, "values values"]]:
    """The visits, and the chain.

    Arguments:
        transitions: with any leading axes.
        known: which of them there are.
        own: what a visit counts for whose value is the one that the action named.
    """
    assert isinstance(raw.features, tuple)
    values = raw.features[named]
    state = jnp.where(known, raw.number(transitions.observation), NOTHING).ravel()
    before = raw(transitions.observation)[..., named].ravel()
    after = raw(transitions.next_observation)[..., named].ravel()
    weight = jnp.where(after == transitions.action.ravel(), own, jnp.float32(1.0))
    counted = jnp.where(known.ravel(), weight, 0.0)
    chain = jnp.zeros((values, values)).at[before, after].add(counted)
    order = jnp.argsort(state)
    return Visits(state[order], after[order], weight[order]), chain
