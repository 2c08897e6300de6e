"""phi and g: states and actions into bounded low-dimensional spaces."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from embrl.core.errors import EmbrlError
from embrl.core.nn import MLP, FactorLinear, mean_one
from embrl.core.scaling import RawBox, Scale
from embrl.core.spaces import factors
from embrl.core.types import Key, Observation
from embrl.embedding.config import SPREAD

BOX_HIDDEN = (64,)
"""Hidden layers of phi for `Box` observations, where none are asked for."""


class RawStates(eqx.Module):
    """No embedding: the observation itself, in the form that networks take in.

    Discrete factors stay whole numbers, for networks that look them up; a `Box` is scaled
    (`RawBox`).
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    """Values of each factor; none for a box."""
    scalar: bool = eqx.field(static=True)
    box: RawBox | None

    def __init__(
        self, space: gymnasium.Space, *, scaled: bool = False, unchanged: bool = False
    ) -> None:
        """`scaled`, `unchanged`: of a box's unbounded coordinates, as `RawBox` has it."""
        self.scalar = isinstance(space, gymnasium.spaces.Discrete)
        boxed = isinstance(space, gymnasium.spaces.Box)
        self.box = RawBox(space, scaled=scaled, unchanged=unchanged) if boxed else None
        self.sizes = () if boxed else factors(space)

    @property
    def features(self) -> int | tuple[int, ...]:
        """What a network behind this takes in: the length of a vector, or the factors."""
        return self.sizes if self.box is None else self.box.features

    @property
    def points(self) -> tuple[Array, ...]:
        """None: these features are no points of a space."""
        return ()

    def seen(self, observation: Observation) -> "RawStates":
        """The same, scaled by these observations, if it is scaled by what was seen."""
        return self if self.box is None else self.scaled_by(Scale.of(observation))

    def scaled_by(self, scale: Scale) -> "RawStates":
        """The same with another scale, if it has one."""
        if self.box is None:
            return self
        return eqx.tree_at(lambda raw: raw.box, self, self.box.scaled_by(scale))

    def __call__(self, observation: Observation) -> Array:
        """`[..., k]`: int32 factors, on an axis of their own which observations of `Discrete` do
        not have, or float32, in [-1, 1] where they are bounded.
        """
        if self.box is not None:
            return self.box(observation)
        return observation[..., None] if self.scalar else observation

    def number(self, observation: Observation) -> UInt32[Array, "*batch"]:
        """The number of a discrete state among all, modulo 2^32."""
        values = self(observation).astype(jnp.uint32)
        number = jnp.zeros(values.shape[:-1], jnp.uint32)
        for at, size in enumerate(self.sizes):
            number = number * np.uint32(size) + values[..., at]
        return number


class StateEncoder(eqx.Module):
    """phi: S -> X in (-1, 1)^m (Pritz et al. 2021, sec. 4.1; the tanh bound from A.4.2).

    Of discrete observations, without hidden layers, this is a table of m numbers for each value of
    each factor, summed over the factors.
    """

    raw: RawStates
    network: MLP

    def __init__(
        self,
        space: gymnasium.Space,
        m: int,
        hidden: Sequence[int] | None = None,
        *,
        spread: float = SPREAD,
        key: Key,
    ) -> None:
        """Arguments:
            hidden: None: as suits the space, no layers for discrete ones and `BOX_HIDDEN` for
                boxes.

        Raises:
            EmbrlError: hidden layers over several factors: no value of a factor would have a
                place of its own in X.
        """
        self.raw = RawStates(space, scaled=True)
        discrete = isinstance(self.raw.features, tuple)
        if hidden is None:
            hidden = () if discrete else BOX_HIDDEN
        if hidden and isinstance(self.raw.features, tuple) and len(self.raw.features) > 1:
            raise EmbrlError(
                f"embedding.state-hidden is {tuple(hidden)}: leave it out, as observations have "
                f"{len(self.raw.features)} factors"
            )
        first, last = (spread, 1.0) if discrete else (1.0, spread)
        self.network = MLP(
            self.raw.features, hidden, m, first_scale=first, last_scale=last, key=key
        )

    @property
    def features(self) -> int:
        """The number of dimensions, m."""
        return self.network.layers[-1].bias.shape[-1]

    @property
    def points(self) -> tuple[Float[Array, "values m"], ...]:
        """Where each value of each factor lies in X; for a single factor, phi of every state.
        Nothing for a box, which has no values to list.
        """
        return tuple(jnp.tanh(rows) for rows in self.rows)

    @property
    def rows(self) -> tuple[Float[Array, "values m"], ...]:
        """The same before the tanh."""
        sizes = self.raw.features
        if not isinstance(sizes, tuple):
            return ()
        if len(sizes) == 1:
            states = jnp.arange(sizes[0], dtype=jnp.int32)
            return (self.network(states[:, None]),)
        rows = self.network.layers[0]
        assert isinstance(rows, FactorLinear)
        return tuple(jnp.split(rows.table, np.cumsum(rows.factors)[:-1]))

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


class StandardisedEncoder(eqx.Module):
    """phi as a policy sees it: centred, and scaled by one number to a mean square of 1.

    How wide an embedding comes out is an accident of pre-training, and networks learn slowly from
    inputs that are nearly the same. One scale for all axes leaves the geometry as it is.
    """

    encoder: StateEncoder
    norm: Norm

    def __call__(self, observation: Observation) -> Float[Array, "*batch m"]:
        return (self.encoder(observation) - self.norm.centre) / self.norm.width


class WithState(eqx.Module):
    """phi(s), brought to a mean absolute value of 1 (TD7), and the state's own numbers after it."""

    phi: StandardisedEncoder
    raw: RawStates

    def __call__(self, observation: Observation) -> Float[Array, "*batch k"]:
        phi = mean_one(self.phi(observation))
        return jnp.concatenate([phi, self.raw(observation)], axis=-1)


class ContinuousActions(eqx.Module):
    """g: A -> E in (-1, 1)^d for actions that are numbers (Pritz et al. 2021, sec. 4.1).

    Without a network it leaves them as they are, scaled to [-1, 1] by their bounds.
    """

    raw: RawBox
    network: MLP | None

    def __init__(
        self, space: gymnasium.Space, d: int, hidden: Sequence[int] | None, *, key: Key
    ) -> None:
        """Arguments:
        hidden: the network's hidden layers; None: no network, and d is the number of an
            action's coordinates.
        """
        # It begins wide, unlike rows of discrete actions: numbers bring a geometry with them.
        self.raw = RawBox(space, scaled=True)
        p = self.raw.features
        self.network = None if hidden is None else MLP(p, hidden, d, key=key)
        assert self.network is not None or d == p  # `training.check`

    @property
    def table(self) -> Any:
        """None: these actions cannot be listed."""
        return None

    def __call__(self, action: Float[Array, "*batch p"]) -> Float[Array, "*batch d"]:
        raw = self.raw(action)
        return raw if self.network is None else jnp.tanh(self.network(raw))

    def shrinkage(self, action: Float[Array, "n p"]) -> Float[Array, " d"]:
        """How wide these actions lie on each axis of E, beside how wide they lie as they are,
        scaled: the ratio of standard deviations.
        """
        return self(action).std(0) / jnp.sqrt(self.raw(action).var(0).mean())


class ActionDecoder(eqx.Module):
    """What undoes g where actions are numbers: a network (Pritz et al. 2021, eq. 6), or nothing but
    the scale, where g has none.
    """

    raw: RawBox
    network: MLP | None

    def __init__(
        self, space: gymnasium.Space, d: int, hidden: Sequence[int] | None, *, key: Key
    ) -> None:
        """As g, but with hidden layers of its own."""
        self.raw = RawBox(space, scaled=True)
        p = self.raw.features
        self.network = None if hidden is None else MLP(d, hidden, p, last_scale=0.1, key=key)

    def scaled(self, e: Float[Array, "*batch d"]) -> Float[Array, "*batch p"]:
        """The action, scaled as g takes it in."""
        return e if self.network is None else self.network(e)

    def __call__(self, e: Float[Array, "*batch d"]) -> Float[Array, "*batch p"]:
        """The action in its own units, within its bounds."""
        return self.raw.original(self.scaled(e))

    def loss(
        self, e: Float[Array, "*batch d"], action: Float[Array, "*batch p"]
    ) -> Float[Array, ""]:
        """Mean squared error of the scaled action."""
        return ((self.scaled(e) - self.raw(action)) ** 2).mean()


class ActionEncoder(eqx.Module):
    """g: A -> E in (-1, 1)^d, one row for each discrete action."""

    rows: Float[Array, "n d"]

    def __init__(self, actions: int, d: int, *, spread: float = SPREAD, key: Key) -> None:
        self.rows = spread * jax.random.normal(key, (actions, d))

    @property
    def table(self) -> Float[Array, "n d"]:
        """g(a) of every action."""
        return jnp.tanh(self.rows)

    def __call__(self, action: Int[Array, "*batch"]) -> Float[Array, "*batch d"]:
        return jnp.tanh(self.rows[action])
