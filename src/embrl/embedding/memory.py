"""What followed the very states that were visited: beside a model that generalises, one that
remembers.

A parametric T says the same of states that it puts near each other; where the same state comes
again, what followed it before says more. So what T predicts is mixed with that, as
nearest-neighbour language models do it (Khandelwal et al. 2020, eq. 3), with a share that grows
with the number of visits:

    P(c | s) = (weight P_T(c | s) + sum of w over the visits of s that c followed)
             / (weight + sum of w over the visits of s)
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from embrl.embedding.encoders import RawStates
from embrl.types import Observation, Transition

NOTHING = np.uint32(2**32 - 1)
"""Stands where there is no visit. No space that fits is that large."""


class Recalled(NamedTuple):
    """What followed a state, k visits of it at most."""

    value: Int[Array, "*batch k"]
    """Of the factor that actions name, in s'."""
    weight: Float[Array, "*batch k"]
    """0 where there were fewer visits."""


class Memory(NamedTuple):
    """Visits in the order of their states, so that a state's stand together."""

    state: UInt32[Array, " N"]
    value: Int[Array, " N"]
    own: Bool[Array, " N"]
    """Whether the value is the one that the action named: it may have come by that alone."""

    @classmethod
    def nothing(cls, visits: int) -> "Memory":
        """With room for so many."""
        state = jnp.full(visits, NOTHING)
        return cls(state, jnp.zeros(visits, jnp.int32), jnp.zeros(visits, bool))

    @classmethod
    def of(
        cls, raw: RawStates, named: int, transitions: Transition, known: Bool[Array, "..."]
    ) -> "Memory":
        """Of transitions with any leading axes, where they are known."""
        state = jnp.where(known, raw.number(transitions.observation), NOTHING).ravel()
        value = raw(transitions.next_observation)[..., named]
        own = (value == transitions.action).ravel()
        order = jnp.argsort(state)
        return cls(state[order], value.ravel()[order], own[order])


class Recall(eqx.Module):
    """Looks states up."""

    memory: Memory
    raw: RawStates
    k: int = eqx.field(static=True)
    own: Float[Array, ""]
    """What a visit counts for whose value is the one that the action named."""

    def __call__(self, observation: Observation) -> Recalled:
        """Some k of a state's visits, or all, if there are no more."""
        state, value, own = self.memory
        number = self.raw.number(observation)
        first = jnp.searchsorted(state, number).astype(jnp.int32)
        at = jnp.minimum(first[..., None] + jnp.arange(self.k, dtype=jnp.int32), len(state) - 1)
        weight = jnp.where(own[at], self.own, jnp.float32(1.0))
        return Recalled(value[at], jnp.where(state[at] == number[..., None], weight, 0.0))


def mixed(
    p: Float[Array, "*batch values"], recalled: Recalled, weight: float
) -> Float[Array, "*batch values"]:
    """P(c | s) of both, see above."""

    def one(p: Array, value: Array, counts: Array) -> Array:
        return (weight * p).at[value].add(counts) / (weight + counts.sum())

    flat = jax.vmap(one)(
        p.reshape(-1, p.shape[-1]),
        recalled.value.reshape(-1, recalled.value.shape[-1]),
        recalled.weight.reshape(-1, recalled.weight.shape[-1]),
    )
    return flat.reshape(p.shape)
