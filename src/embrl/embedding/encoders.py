"""Encoders phi and g: states and actions embedded in bounded low-dimensional spaces."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from embrl.core.errors import SettingError
from embrl.core.images import LUMINANCE, Image, image_of
from embrl.core.layers import FactorLinear
from embrl.core.nn import MLP, mean_one
from embrl.core.products import InputSize, LayerSize, Mixed, Ring
from embrl.core.scaling import RawBox, Scale
from embrl.core.spaces import numbers_and_factors
from embrl.core.types import Key, Observation
from embrl.embedding.config import SPREAD

BOX_HIDDEN = (64,)
"""Default hidden layers of phi for `Box` observations."""


def input_size(space: gymnasium.Space, layers: str = "flat", grey: bool = False) -> InputSize:
    """Return the input of a network that sees observations: of a vector, of factors, or an image.

    Args:
        space: observation space.
        layers: layers that read images (`embrl.core.images.ImageLayers`).
        grey: True to make the colours of images grey.

    Raises:
        EmbrlError: the layers do not take such an image, or the space is not supported.
    """
    if (image := image_of(space, layers, grey)) is not None:
        return image
    box, sizes = numbers_and_factors(space)
    if box is None:
        return sizes
    return Mixed(sizes, len(box.low)) if sizes else len(box.low)


class RawStates(eqx.Module):
    """Identity in place of phi: the observation itself, in the form that networks take.

    Discrete factors stay indices, for networks that look them up; numbers are scaled (`RawBox`).
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    """Number of values of each factor; empty for a box."""
    scalar: bool = eqx.field(static=True)
    """True if observations are `Discrete`, without an axis of factors."""
    box: RawBox | None
    """Scaling of the numbers; None for discrete observations and images."""
    image: Image | None = eqx.field(static=True)
    """Size of an image, and the layers that read it; None for other observations."""
    features: InputSize = eqx.field(static=True)
    """Input of a network behind this: length of a vector, sizes of factors, or an image."""

    def __init__(
        self,
        space: gymnasium.Space,
        layers: str = "flat",
        *,
        grey: bool = False,
        scaled: bool = False,
        unchanged: bool = False,
    ) -> None:
        """Build the identity for a space.

        Args:
            space: observation space.
            layers: layers that read images (`embrl.core.images.ImageLayers`).
            grey: True to make the colours of images grey.
            scaled: True to scale unbounded coordinates by observed statistics (`RawBox`).
            unchanged: True to leave unbounded coordinates as they are (`RawBox`).
        """
        self.scalar = isinstance(space, gymnasium.spaces.Discrete)
        self.features = input_size(space, layers, grey)
        self.image = self.features if isinstance(self.features, Image) else None
        box, self.sizes = numbers_and_factors(space)
        self.box = None if box is None else RawBox(box, scaled=scaled, unchanged=unchanged)

    def indices(self, observation: Observation) -> Int[Array, "*batch k"]:
        """Return the factors of observations; none of a box."""
        if self.scalar:
            return observation[..., None]
        return observation[..., : len(self.sizes)].astype(jnp.int32)

    @property
    def length(self) -> int:
        """Length of `vector`."""
        if self.image is not None:
            return self.image.pixels
        return 0 if self.box is None else self.box.features

    def vector(self, observation: Observation) -> Float[Array, "*batch p"]:
        """Return raw features that are no factors: scaled numbers, or pixels; none if discrete."""
        return self(observation)[..., len(self.sizes) :]

    def numbers(self, observation: Observation) -> Float[Array, "*batch p"]:
        """Return the numbers of observations, not scaled; none of discrete ones."""
        return observation[..., len(self.sizes) :]

    @property
    def points(self) -> tuple[Array, ...]:
        """Empty tuple: raw features are not points of an embedding space."""
        return ()

    def seen(self, observation: Observation) -> "RawStates":
        """Return this identity scaled by the statistics of the numbers of these observations."""
        return self if self.box is None else self.scaled_by(Scale.of(self.numbers(observation)))

    def scaled_by(self, scale: Scale, known: Any = True) -> "RawStates":
        """Return this identity with another scale of its numbers (`RawBox.scaled_by`)."""
        if self.box is None:
            return self
        return eqx.tree_at(lambda raw: raw.box, self, self.box.scaled_by(scale, known))

    def __call__(self, observation: Observation) -> Array:
        """Return raw features `[..., k]`.

        They are int32 factors (`Discrete` observations get an axis for their one factor), or
        float32 coordinates, in [-1, 1] where they are bounded; a row of both, as float32; or the
        pixels of an image, from 0 to 1.
        """
        if self.image is not None:
            pixels = observation.reshape(*observation.shape[:-3], -1).astype(jnp.float32)
            if self.image.grey:  # rounded, as a camera does: what is the same grey is the same
                colours = pixels.reshape(*pixels.shape[:-1], -1, 3)
                pixels = jnp.rint(colours @ jnp.array(LUMINANCE, jnp.float32))
            return pixels / self.image.levels
        if self.box is None:
            return observation[..., None] if self.scalar else observation
        if not self.sizes:
            return self.box(observation)
        numbers = self.box(self.numbers(observation))
        return jnp.concatenate([observation[..., : len(self.sizes)], numbers], axis=-1)

    def number(self, observation: Observation) -> UInt32[Array, "*batch"]:
        """Return the index of a state's factors among all combinations, modulo 2^32."""
        if not self.sizes:
            return jnp.zeros(self(observation).shape[:-1], jnp.uint32)
        values = self.indices(observation).astype(jnp.uint32)
        number = jnp.zeros(values.shape[:-1], jnp.uint32)
        for factor, size in enumerate(self.sizes):
            number = number * np.uint32(size) + values[..., factor]
        return number


def encoder_inputs(features: InputSize, hidden: Sequence[int] | None, ring: int) -> LayerSize:
    """Return the input of a state encoder's first layer.

    Args:
        features: what observations are (`input_size`).
        hidden: sizes of hidden layers; None: chosen by embrl.
        ring: first numbers that are readings around a circle; 0: none.

    Raises:
        SettingError: hidden layers for several factors, or a ring that is not there.
    """
    if hidden and isinstance(features, tuple) and len(features) > 1:
        raise SettingError(
            "embedding.state_hidden",
            f"empty for observations with {len(features)} factors",
            tuple(hidden),
            "leave it out",
        )
    if not ring:
        return features
    if not isinstance(features, int):
        raise SettingError("embedding.ring", "0 for observations that are not all numbers", ring)
    if ring > features:
        raise SettingError(
            "embedding.ring", f"at most {features}, the numbers of an observation", ring
        )
    return Ring(ring, features - ring)


class StateEncoder(eqx.Module):
    """State encoder phi: S -> X = (-1, 1)^m (Pritz et al. 2021, sec. 4.1; tanh bound: A.4.2).

    For discrete observations without hidden layers, it is a table with m numbers for each value of
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
        layers: str = "auto",
        grey: bool = False,
        ring: int = 0,
        key: Key,
    ) -> None:
        """Initialise the network.

        Args:
            space: observation space.
            m: dimensions of X.
            hidden: sizes of hidden layers. None: no layers for discrete spaces, else
                `BOX_HIDDEN`.
            spread: initial standard deviation of embeddings.
            layers: layers that read images (`embrl.core.images.ImageLayers`).
            grey: True to make the colours of images grey.
            ring: first numbers that are readings around a circle; 0: none.
            key: random key.

        Raises:
            SettingError: hidden layers for several factors; a ring that is not there; the values
                of a factor would have no point of their own in X.
        """
        self.raw = RawStates(space, layers, grey=grey, scaled=True)
        discrete = isinstance(self.raw.features, tuple)
        if hidden is None:
            hidden = () if discrete else BOX_HIDDEN
        inputs = encoder_inputs(self.raw.features, hidden, ring)
        first, last = (spread, 1.0) if discrete else (1.0, spread)
        self.network = MLP(inputs, hidden, m, first_scale=first, last_scale=last, key=key)

    @property
    def features(self) -> int:
        """Dimensions m of X."""
        return self.network.layers[-1].bias.shape[-1]

    @property
    def points(self) -> tuple[Float[Array, "values m"], ...]:
        """Points in X of the values of each factor; for a single factor, phi of every state.

        Empty for a box, whose values cannot be listed.
        """
        return tuple(jnp.tanh(rows) for rows in self.rows)

    @property
    def rows(self) -> tuple[Float[Array, "values m"], ...]:
        """Points of the values of each factor before the tanh."""
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
    """Normalisation of embedded states: `(x - centre) / width`."""

    centre: Float[Array, " m"]
    """Mean of the embedded states."""
    width: Float[Array, ""]
    """Root mean square of their deviations, over all dimensions."""

    @classmethod
    def none(cls, m: int) -> "Norm":
        """Return the normalisation that changes nothing."""
        return cls(jnp.zeros(m), jnp.float32(1.0))

    @classmethod
    def of(cls, x: Float[Array, "N m"]) -> "Norm":
        """Return the normalisation of these embedded states."""
        centre = x.mean(0)
        return cls(centre, jnp.sqrt(((x - centre) ** 2).mean() + 1e-8))


class StandardisedEncoder(eqx.Module):
    """State encoder for policies: phi centred and scaled to a mean square of 1.

    The spread of an embedding is an accident of pre-training, and networks learn slowly from
    inputs that hardly differ. One scale for all dimensions preserves the geometry.
    """

    encoder: StateEncoder
    norm: Norm

    def __call__(self, observation: Observation) -> Float[Array, "*batch m"]:
        return (self.encoder(observation) - self.norm.centre) / self.norm.width


CODE_LENGTH = 64
"""Length of the code of a discrete state."""


class RowCodes(eqx.Module):
    """Rows of factors and numbers as vectors: codes of the factors beside the scaled numbers."""

    codes: StateEncoder
    raw: RawStates

    def __call__(self, observation: Observation) -> Float[Array, "*batch k"]:
        codes = self.codes(self.raw.indices(observation))
        return jnp.concatenate([codes, self.raw.vector(observation)], axis=-1)


def as_vector(raw: RawStates, space: gymnasium.Space) -> "RawStates | StateEncoder | RowCodes":
    """Return the function from observations to vectors that tell all of them apart.

    Args:
        raw: scaling of the numbers.
        space: observation space.
    """
    if not raw.sizes:
        return raw
    if raw.box is None:
        return state_codes(space)
    return RowCodes(state_codes(gymnasium.spaces.MultiDiscrete(list(raw.sizes))), raw)


def vector_size(raw: RawStates) -> int | Image:
    """Return the length of the vectors of `as_vector`; an image is one, too."""
    if raw.image is not None:
        return raw.image
    return (CODE_LENGTH if raw.sizes else 0) + raw.length


def state_codes(space: gymnasium.Space) -> StateEncoder:
    """Return fixed random codes of discrete states, which take the place of their one-hot vectors.

    Codes of different states are almost orthogonal, however near the states lie in X: what a
    policy learns in one state then hardly changes what it does in another. They are the same in
    every run, and nothing trains them.
    """
    encoder = StateEncoder(space, CODE_LENGTH, key=jax.random.key(0))
    layer: Any = encoder.network.layers[0]
    # Not of JAX, whose numbers depend on its version: they are not saved with the policy.
    rows = np.random.default_rng(0).normal(size=layer.table.shape).astype(np.float32)
    return eqx.tree_at(lambda phi: phi.network.layers[0].table, encoder, jnp.asarray(rows))


class WithState(eqx.Module):
    """Policy input of phi(s), scaled to a mean absolute value of 1 as in TD7, and raw features."""

    phi: StandardisedEncoder
    raw: RawStates | StateEncoder | RowCodes
    """Raw features: the vector itself, or the code of discrete factors."""

    def __call__(self, observation: Observation) -> Float[Array, "*batch k"]:
        phi = mean_one(self.phi(observation))
        return jnp.concatenate([phi, self.raw(observation)], axis=-1)


class ContinuousActions(eqx.Module):
    """Action encoder g: A -> E = (-1, 1)^d for continuous actions (Pritz et al. 2021, sec. 4.1).

    Without a network, an action is its own embedding, scaled to [-1, 1] by its bounds.
    """

    raw: RawBox
    network: MLP | None

    def __init__(
        self, space: gymnasium.Space, d: int, hidden: Sequence[int] | None, *, key: Key
    ) -> None:
        """Initialise the network.

        Args:
            space: action space.
            d: dimensions of E; without a network, those of an action.
            hidden: sizes of hidden layers; None: no network.
            key: random key.
        """
        # Unlike rows of discrete actions, this starts wide, as the actions have a geometry already.
        self.raw = RawBox(space, scaled=True)
        p = self.raw.features
        self.network = None if hidden is None else MLP(p, hidden, d, key=key)
        assert self.network is not None or d == p  # EmbeddingConfig.validate

    @property
    def table(self) -> Any:
        """None, as continuous actions cannot be listed."""
        return None

    def __call__(self, action: Float[Array, "*batch p"]) -> Float[Array, "*batch d"]:
        raw = self.raw(action)
        return raw if self.network is None else jnp.tanh(self.network(raw))

    def shrinkage(self, action: Float[Array, "n p"]) -> Float[Array, " d"]:
        """Return the spread of these actions along each axis of E, relative to their own.

        It is the standard deviation of embeddings divided by that of the scaled actions.
        """
        return self(action).std(0) / jnp.sqrt(self.raw(action).var(0).mean())


class ActionDecoder(eqx.Module):
    """Action decoder f: E -> A for continuous actions, the inverse of g.

    It is a network (Pritz et al. 2021, eq. 6), or the inverse scaling where g has no network.
    """

    raw: RawBox
    network: MLP | None

    def __init__(
        self, space: gymnasium.Space, d: int, hidden: Sequence[int] | None, *, key: Key
    ) -> None:
        """Initialise the network.

        Args:
            space: action space.
            d: dimensions of E.
            hidden: sizes of hidden layers; None: no network.
            key: random key.
        """
        self.raw = RawBox(space, scaled=True)
        p = self.raw.features
        self.network = None if hidden is None else MLP(d, hidden, p, last_scale=0.1, key=key)

    def scaled(self, e: Float[Array, "*batch d"]) -> Float[Array, "*batch p"]:
        """Return actions in the scale of the input of g."""
        return e if self.network is None else self.network(e)

    def __call__(self, e: Float[Array, "*batch d"]) -> Float[Array, "*batch p"]:
        """Return actions in their own units, within their bounds."""
        return self.raw.original(self.scaled(e))

    def loss(
        self, e: Float[Array, "*batch d"], action: Float[Array, "*batch p"]
    ) -> Float[Array, ""]:
        """Return the mean squared error of scaled actions."""
        return ((self.scaled(e) - self.raw(action)) ** 2).mean()


class ActionEncoder(eqx.Module):
    """Action encoder g: A -> E = (-1, 1)^d with one learned row per discrete action."""

    rows: Float[Array, "n d"]
    """Embeddings before the tanh."""

    def __init__(self, actions: int, d: int, *, spread: float = SPREAD, key: Key) -> None:
        self.rows = spread * jax.random.normal(key, (actions, d))

    @property
    def table(self) -> Float[Array, "n d"]:
        """Embeddings g(a) of all actions."""
        return jnp.tanh(self.rows)

    def __call__(self, action: Int[Array, "*batch"]) -> Float[Array, "*batch d"]:
        return jnp.tanh(self.rows[action])
