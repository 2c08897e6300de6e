"""Internal policies pi_i: distributions of internal actions u, given features x.

With an action embedding, u is a point e of E; without one, it is the index of an action. Noise is
an argument, so that a rollout can draw it in bulk.
"""

import abc
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embrl.algorithms.networks import Features, Network, network
from embrl.core import nn as distributions
from embrl.core.nn import Activation
from embrl.core.types import Key

LOG_STD = -20.0, 2.0
"""Bounds of a log standard deviation that depends on the state, as usual for SAC."""

LAST_SCALE = 0.01
"""Usual factor on the initial weights of the last layer: the first policy is the same in all
states."""


class Actor(eqx.Module):
    """A stochastic policy over internal actions."""

    @abc.abstractmethod
    def noise(self, key: Key, batch: tuple[int, ...]) -> Array:
        """Return the random numbers of `batch` actions, for `act`."""

    @abc.abstractmethod
    def act(self, x: Array, noise: Array, mask: Array | None = None) -> Array:
        """Draw u from pi_i(. | x).

        Args:
            x: features, `[*batch, ...]`.
            noise: as `noise` returned it.
            mask: True where an action may be chosen, `[*batch, n]`; for indices of actions only.
        """

    @abc.abstractmethod
    def mode(self, x: Array, mask: Array | None = None) -> Array:
        """Return the most likely u."""

    @abc.abstractmethod
    def log_prob(self, x: Array, u: Array, mask: Array | None = None) -> Float[Array, "*batch"]:
        """Return the log density (or log probability) of u under pi_i(. | x).

        Args:
            x: features, `[*batch, ...]`.
            u: internal actions.
            mask: as in `act`. The density of a point of E does not depend on it: f applies it.
        """

    @abc.abstractmethod
    def entropy(self, x: Array, mask: Array | None = None) -> Float[Array, ""]:
        """Return the mean entropy over states with features x, in nats."""

    def log_prob_and_entropy(
        self, x: Array, u: Array, mask: Array | None = None
    ) -> tuple[Float[Array, "*batch"], Float[Array, ""]]:
        """Return both; where the network is in both, it should be differentiated once only."""
        return self.log_prob(x, u, mask), self.entropy(x, mask)

    def log_prob_by_part(
        self, x: Array, u: Array, mask: Array | None = None
    ) -> Float[Array, "*batch k"]:
        """Return the log density of each part that is drawn independently; they sum to `log_prob`.

        Parts are the discrete ones of an action and its numbers, or the axes of E.
        """
        return self.log_prob(x, u, mask)[..., None]

    def width(self) -> Float[Array, ""] | float:
        """Return the scale of the distribution, in the unit of its mean; 1 if it has none."""
        return 1.0


class GaussianActor(Actor):
    """Gaussian with a standard deviation for each axis: e ~ N(mu(x), diag(std^2))."""

    mean: Network
    log_std: Float[Array, " d"]
    bounded: bool = eqx.field(static=True)

    def __init__(
        self,
        inputs: Features,
        d: int,
        hidden: Sequence[int],
        *,
        std: float | Array,
        bounded: bool,
        activation: Activation = jnp.tanh,
        last_scale: float = LAST_SCALE,
        key: Key,
    ) -> None:
        """Build the networks.

        Args:
            inputs: size of the features.
            d: dimensions of E.
            hidden: hidden layers of mu.
            std: initial standard deviation.
            bounded: whether mu ends in a tanh, as embeddings lie in (-1, 1)^d.
            activation: of the hidden layers.
            last_scale: factor on the last layer's initial weights.
            key: random key.
        """
        self.mean = network(
            inputs, hidden, d, activation=activation, last_scale=last_scale, key=key
        )
        self.log_std = jnp.full(d, jnp.log(std), jnp.float32)
        self.bounded = bounded

    def noise(self, key: Key, batch: tuple[int, ...]) -> Float[Array, "*batch d"]:
        return jax.random.normal(key, (*batch, *self.log_std.shape))

    def act(self, x: Array, noise: Array, mask: Array | None = None) -> Float[Array, "*batch d"]:
        del mask  # f applies it: every point of E is allowed
        return self.mode(x) + jnp.exp(self.log_std) * noise

    def mode(self, x: Array, mask: Array | None = None) -> Float[Array, "*batch d"]:
        del mask
        mean = self.mean(x)
        return jnp.tanh(mean) if self.bounded else mean

    def log_prob(self, x: Array, u: Array, mask: Array | None = None) -> Float[Array, "*batch"]:
        del mask
        return distributions.gaussian_log_prob(self.mode(x), self.log_std, u)

    def log_prob_by_part(
        self, x: Array, u: Array, mask: Array | None = None
    ) -> Float[Array, "*batch d"]:
        del mask
        return distributions.gaussian_log_probs(self.mode(x), self.log_std, u)

    def entropy(self, x: Array, mask: Array | None = None) -> Float[Array, ""]:
        del x, mask
        return distributions.gaussian_entropy(self.log_std)

    def width(self) -> Float[Array, ""]:
        """Return the geometric mean of the standard deviations."""
        return jnp.exp(self.log_std.mean())


class SquashedGaussianActor(Actor):
    """Gaussian squashed into (-1, 1)^d: e = tanh(z), z ~ N(mu(x), diag(std(x)^2)).

    As in Haarnoja et al. (2018).
    """

    network: Network
    """Network with the outputs mu and log std, side by side."""

    def __init__(
        self,
        inputs: Features,
        d: int,
        hidden: Sequence[int],
        *,
        std: float | Array,
        activation: Activation = jax.nn.relu,
        last_scale: float = LAST_SCALE,
        key: Key,
    ) -> None:
        """Build the network.

        Args:
            inputs: size of the features.
            d: dimensions of E.
            hidden: hidden layers.
            std: initial standard deviation of z, the same for all x.
            activation: of the hidden layers.
            last_scale: factor on the last layer's initial weights.
            key: random key.
        """
        layers = network(
            inputs, hidden, 2 * d, activation=activation, last_scale=last_scale, key=key
        )
        bias = jnp.concatenate([jnp.zeros(d), jnp.full(d, jnp.log(std), jnp.float32)])
        self.network = eqx.tree_at(lambda n: n.layers[-1].bias, layers, bias)

    def noise(self, key: Key, batch: tuple[int, ...]) -> Float[Array, "*batch d"]:
        return jax.random.normal(key, (*batch, self.network.layers[-1].bias.shape[-1] // 2))

    def act(self, x: Array, noise: Array, mask: Array | None = None) -> Float[Array, "*batch d"]:
        del mask  # as above
        mean, log_std = self.parameters(x)
        return jnp.tanh(mean + jnp.exp(log_std) * noise)

    def act_and_log_prob(
        self, x: Array, noise: Array
    ) -> tuple[Float[Array, "*batch d"], Float[Array, "*batch"]]:
        """Draw e, and return its log density, which is exact however near e is to the boundary."""
        mean, log_std = self.parameters(x)
        z = mean + jnp.exp(log_std) * noise
        return jnp.tanh(z), distributions.squashed_gaussian_log_prob(mean, log_std, z)

    def mode(self, x: Array, mask: Array | None = None) -> Float[Array, "*batch d"]:
        """Return the tanh of z's mean, the median on each axis.

        The density may be highest at the boundary, so its mode would be no better choice.
        """
        del mask
        return jnp.tanh(self.parameters(x)[0])

    def log_prob(self, x: Array, u: Array, mask: Array | None = None) -> Float[Array, "*batch"]:
        """Return the log density of u.

        Within rounding error of the boundary, u is treated as if it were that far inside.
        """
        del mask
        inside = 1.0 - jnp.finfo(u.dtype).eps
        z = jnp.arctanh(jnp.clip(u, -inside, inside))
        return distributions.squashed_gaussian_log_prob(*self.parameters(x), z)

    def entropy(self, x: Array, mask: Array | None = None) -> Float[Array, ""]:
        del mask
        return distributions.squashed_gaussian_entropy(*self.parameters(x)).mean()

    def parameters(self, x: Array) -> tuple[Float[Array, "*batch d"], Float[Array, "*batch d"]]:
        """Return mean and log standard deviation of z."""
        mean, log_std = jnp.split(self.network(x), 2, axis=-1)
        return mean, jnp.clip(log_std, *LOG_STD)


class CategoricalActor(Actor):
    """Categorical distribution over the original actions: a ~ softmax(logits(x))."""

    logits: Network
    actions: int = eqx.field(static=True)

    def __init__(
        self,
        inputs: Features,
        actions: int,
        hidden: Sequence[int],
        *,
        activation: Activation = jnp.tanh,
        last_scale: float = LAST_SCALE,
        key: Key,
    ) -> None:
        self.logits = network(
            inputs, hidden, actions, activation=activation, last_scale=last_scale, key=key
        )
        self.actions = actions

    def noise(self, key: Key, batch: tuple[int, ...]) -> Float[Array, "*batch"]:
        return jax.random.uniform(key, batch)

    def act(
        self, x: Array, noise: Array, mask: Bool[Array, "*#batch n"] | None = None
    ) -> Int[Array, "*batch"]:
        return distributions.categorical_sample(self._masked(x, mask), noise)

    def mode(self, x: Array, mask: Bool[Array, "*#batch n"] | None = None) -> Int[Array, "*batch"]:
        return self._masked(x, mask).argmax(-1).astype(np.int32)

    def log_prob(self, x: Array, u: Array, mask: Array | None = None) -> Float[Array, "*batch"]:
        return distributions.categorical_log_prob(self._masked(x, mask), u)

    def log_probs(self, x: Array, mask: Array | None = None) -> Float[Array, "*batch n"]:
        """Return the log probability of every action; -inf of a masked one."""
        return jax.nn.log_softmax(self._masked(x, mask))

    def entropy(self, x: Array, mask: Array | None = None) -> Float[Array, ""]:
        return distributions.categorical_entropy(self._masked(x, mask)).mean()

    def log_prob_and_entropy(
        self, x: Array, u: Array, mask: Array | None = None
    ) -> tuple[Float[Array, "*batch"], Float[Array, ""]]:
        logits = self._masked(x, mask)
        log_prob = distributions.categorical_log_prob(logits, u)
        return log_prob, distributions.categorical_entropy(logits).mean()

    def _masked(self, x: Array, mask: Array | None) -> Float[Array, "*batch n"]:
        logits = self.logits(x)
        return logits if mask is None else jnp.where(mask, logits, -jnp.inf)
