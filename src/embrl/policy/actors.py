"""Internal policies pi_i: a distribution of internal actions u given features x.

In an embedding space u is a point e; without one it is the index of an action. Noise is passed
in, so that a rollout can draw it in bulk.
"""

import abc
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embrl import distributions
from embrl.networks import MLP
from embrl.types import Key


class Actor(eqx.Module):
    """A stochastic policy over internal actions."""

    @abc.abstractmethod
    def noise(self, key: Key, batch: tuple[int, ...]) -> Array:
        """The randomness of `batch` actions, for `act`."""

    @abc.abstractmethod
    def act(self, x: Array, noise: Array, mask: Array | None = None) -> Array:
        """Draws u from pi_i(. | x)."""

    @abc.abstractmethod
    def mode(self, x: Array, mask: Array | None = None) -> Array:
        """The likeliest u."""

    @abc.abstractmethod
    def log_prob(self, x: Array, u: Array) -> Float[Array, "*batch"]:
        """The log density (or probability) pi_i(u | x)."""

    @abc.abstractmethod
    def entropy(self, x: Array) -> Float[Array, ""]:
        """Mean entropy in nats."""

    def width(self) -> Float[Array, ""] | float:
        """How wide the distribution is, in the units that its centre moves in; 1 where there are
        none.
        """
        return 1.0


class GaussianActor(Actor):
    """e ~ N(mu(x), diag(std^2)), with one std for each axis, whatever x is."""

    mean: MLP
    log_std: Float[Array, " d"]
    bounded: bool = eqx.field(static=True)

    def __init__(
        self,
        inputs: int | Sequence[int],
        d: int,
        hidden: Sequence[int],
        *,
        std: float | Array,
        bounded: bool,
        key: Key,
    ) -> None:
        """`bounded`: mu ends in a tanh, because embeddings live in (-1, 1)^d."""
        self.mean = MLP(inputs, hidden, d, last_scale=0.01, key=key)
        self.log_std = jnp.full(d, jnp.log(std), jnp.float32)
        self.bounded = bounded

    def noise(self, key: Key, batch: tuple[int, ...]) -> Float[Array, "*batch d"]:
        return jax.random.normal(key, (*batch, *self.log_std.shape))

    def act(self, x: Array, noise: Array, mask: Array | None = None) -> Float[Array, "*batch d"]:
        del mask  # a mask is f's business here: every point of the space is allowed
        return self.mode(x) + jnp.exp(self.log_std) * noise

    def mode(self, x: Array, mask: Array | None = None) -> Float[Array, "*batch d"]:
        del mask
        mean = self.mean(x)
        return jnp.tanh(mean) if self.bounded else mean

    def log_prob(self, x: Array, u: Array) -> Float[Array, "*batch"]:
        return distributions.gaussian_log_prob(self.mode(x), self.log_std, u)

    def entropy(self, x: Array) -> Float[Array, ""]:
        del x
        return distributions.gaussian_entropy(self.log_std)

    def width(self) -> Float[Array, ""]:
        """The (geometric) mean std."""
        return jnp.exp(self.log_std.mean())


class CategoricalActor(Actor):
    """a ~ softmax(logits(x)) over the raw actions."""

    logits: MLP
    actions: int = eqx.field(static=True)

    def __init__(
        self, inputs: int | Sequence[int], actions: int, hidden: Sequence[int], *, key: Key
    ) -> None:
        self.logits = MLP(inputs, hidden, actions, last_scale=0.01, key=key)
        self.actions = actions

    def noise(self, key: Key, batch: tuple[int, ...]) -> Float[Array, "*batch"]:
        return jax.random.uniform(key, batch)

    def act(
        self, x: Array, noise: Array, mask: Bool[Array, "*#batch n"] | None = None
    ) -> Int[Array, "*batch"]:
        return distributions.categorical_sample(self._masked(x, mask), noise)

    def mode(self, x: Array, mask: Bool[Array, "*#batch n"] | None = None) -> Int[Array, "*batch"]:
        return self._masked(x, mask).argmax(-1).astype(np.int32)

    def log_prob(self, x: Array, u: Array) -> Float[Array, "*batch"]:
        return distributions.categorical_log_prob(self.logits(x), u)

    def entropy(self, x: Array) -> Float[Array, ""]:
        return distributions.categorical_entropy(self.logits(x)).mean()

    def _masked(self, x: Array, mask: Array | None) -> Float[Array, "*batch n"]:
        logits = self.logits(x)
        return logits if mask is None else jnp.where(mask, logits, -jnp.inf)
