"""phi and g: states and actions into bounded low-dimensional spaces."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.errors import EmbrlError
from embrl.networks import MLP, FactorLinear
from embrl.spaces import factors
from embrl.types import Key, Observation

SPREAD = 0.05
"""Initial standard deviation of embeddings. Small: structure then unfolds from one place, whereas
wide random codes are memorised as they are and neighbours stay far apart."""


class RawStates(eqx.Module):
    """No embedding: the observation's factors themselves, for networks that look them up."""

    factors: tuple[int, ...] = eqx.field(static=True)
    scalar: bool = eqx.field(static=True)

    def __init__(self, space: gymnasium.Space) -> None:
        self.factors = factors(space)
        self.scalar = isinstance(space, gymnasium.spaces.Discrete)

    @property
    def features(self) -> tuple[int, ...]:
        """What a network behind this takes in: the factors."""
        return self.factors

    def __call__(self, observation: Observation) -> Int[Array, "*batch k"]:
        """The factors on an axis of their own, which observations of `Discrete` do not have."""
        return observation[..., None] if self.scalar else observation


class StateEncoder(eqx.Module):
    """phi: S -> X in (-1, 1)^m (Pritz et al. 2021, sec. 4.1; the tanh bound from A.4.2).

    Without hidden layers this is a table of m numbers for each value of each factor, summed over
    the factors.
    """

    raw: RawStates
    network: MLP

    def __init__(
        self, space: gymnasium.Space, m: int, hidden: Sequence[int] = (), *, key: Key
    ) -> None:
        """
        Raises:
            EmbrlError: hidden layers over several factors: no value of a factor would have a
                place of its own in X.
        """
        self.raw = RawStates(space)
        if hidden and len(self.raw.factors) > 1:
            raise EmbrlError(
                f"model.state-hidden is {tuple(hidden)}: leave it out, as observations have "
                f"{len(self.raw.factors)} factors"
            )
        self.network = MLP(self.raw.factors, hidden, m, first_scale=SPREAD, key=key)

    @property
    def features(self) -> int:
        """The number of dimensions, m."""
        return self.network.layers[-1].bias.shape[-1]

    @property
    def points(self) -> tuple[Float[Array, "values m"], ...]:
        """Where each value of each factor lies in X; for a single factor, phi of every state."""
        if len(self.raw.factors) == 1:
            states = jnp.arange(self.raw.factors[0], dtype=jnp.int32)
            return (jnp.tanh(self.network(states[:, None])),)
        rows = self.network.layers[0]
        assert isinstance(rows, FactorLinear)
        cuts = np.cumsum(rows.factors)[:-1]
        return tuple(jnp.tanh(part) for part in jnp.split(rows.table, cuts))

    def __call__(self, observation: Observation) -> Float[Array, "*batch m"]:
        return jnp.tanh(self.network(self.raw(observation)))


class Norm(NamedTuple):
    """Where embedded states lie, and how wide."""

    centre: Float[Array, " m"]
    width: Float[Array, ""]

    @classmethod
    def none(cls, m: int) -> "Norm":
        """Leaves everything as it is."""
        return cls(jnp.zeros(m), jnp.float32(1.0))

    @classmethod
    def of(cls, x: Float[Array, "N m"]) -> "Norm":
        """The mean, and the root mean square around it."""
        centre = x.mean(0)
        return cls(centre, jnp.sqrt(((x - centre) ** 2).mean() + 1e-8))


class Standardised(eqx.Module):
    """phi as a policy sees it: centred, and scaled by one number to a mean square of 1.

    How wide an embedding comes out is an accident of pre-training, and networks learn slowly from
    inputs that are nearly the same. One scale for all axes leaves the geometry as it is.
    """

    encoder: StateEncoder
    norm: Norm

    def __call__(self, observation: Observation) -> Float[Array, "*batch m"]:
        return (self.encoder(observation) - self.norm.centre) / self.norm.width


class ActionEncoder(eqx.Module):
    """g: A -> E in (-1, 1)^d, one row for each discrete action."""

    rows: Float[Array, "n d"]

    def __init__(self, actions: int, d: int, *, key: Key) -> None:
        self.rows = SPREAD * jax.random.normal(key, (actions, d))

    @property
    def table(self) -> Float[Array, "n d"]:
        """g(a) of every action."""
        return jnp.tanh(self.rows)

    def __call__(self, action: Int[Array, "*batch"]) -> Float[Array, "*batch d"]:
        return jnp.tanh(self.rows[action])
