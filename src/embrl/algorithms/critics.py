"""Critics of actions: twin Q networks, and the learned model as a scorer.

Two networks with different initial weights estimate the same values, and the lower estimate is
used, as maximising over the errors of one would overestimate values (Fujimoto et al. 2018).
"""

import abc
from collections.abc import Sequence
from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from embrl.algorithms.actors import Actor, CategoricalActor, SquashedGaussianActor
from embrl.algorithms.networks import Features, Network, network
from embrl.core.nn import Activation
from embrl.core.types import Key, Observation
from embrl.decoding.base import Scorer
from embrl.embedding.encoders import Norm
from embrl.embedding.memory import Memory, Recall
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives.rewards import Outcome
from embrl.embedding.transition import Points, TransitionModel

A = TypeVar("A", bound=Actor)


class TwinCritic(eqx.Module, Generic[A]):
    """Twin action values Q(x, u), for one kind of actor."""

    networks: Network
    """Both networks, stacked on a first axis of every array."""

    @abc.abstractmethod
    def __call__(self, x: Array, u: Array) -> Float[Array, "2 *batch"]:
        """Return both values of u."""

    @abc.abstractmethod
    def expected(
        self, actor: A, x: Array, noise: Array, mask: Array | None = None
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        """Return the lower value of the actor's actions in x, and its entropy there.

        Both are exact expectations or estimates from one draw. A mask, `[*batch, n]`, says which
        original actions may be chosen; of points of E all may be.
        """

    @abc.abstractmethod
    def scorer(self, x: Array) -> Scorer | None:
        """Return the lower values of points of E in states with features x; None without E."""


def soft_value(
    actor: A,
    critic: TwinCritic[A],
    x: Array,
    noise: Array,
    alpha: Float[Array, ""],
    mask: Array | None = None,
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """Return the soft value of states, and the actor's entropy there.

    V(x) = E[min Q(x, u) - alpha log pi(u | x)] (Haarnoja et al. 2018, eq. 3).
    """
    value, entropy = critic.expected(actor, x, noise, mask)
    return value + alpha * entropy, entropy


class PointCritic(TwinCritic[SquashedGaussianActor]):
    """Twin values Q(x, e) of points of E."""

    def __init__(
        self,
        inputs: Features,
        d: int,
        hidden: Sequence[int],
        *,
        activation: Activation = jax.nn.relu,
        key: Key,
    ) -> None:
        self.networks = _twins(inputs, hidden, 1, d, activation, key)

    def __call__(self, x: Array, u: Float[Array, "*batch d"]) -> Float[Array, "2 *batch"]:
        return jax.vmap(lambda network: network(x, u)[..., 0])(self.networks)

    def expected(
        self,
        actor: SquashedGaussianActor,
        x: Array,
        noise: Float[Array, "*batch d"],
        mask: Array | None = None,
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        """Return estimates from one draw, through which the gradient reaches the actor."""
        del mask
        e, log_prob = actor.act_and_log_prob(x, noise)
        return _lower(self(x, e)), -log_prob

    def scorer(self, x: Array) -> Scorer:
        return lambda points, _: _lower(self(x[..., None, :], points))


class IndexCritic(TwinCritic[CategoricalActor]):
    """Twin values Q(x, .) of all original actions at once."""

    def __init__(
        self,
        inputs: Features,
        n: int,
        hidden: Sequence[int],
        *,
        activation: Activation = jax.nn.relu,
        key: Key,
    ) -> None:
        self.networks = _twins(inputs, hidden, n, 0, activation, key)

    def __call__(self, x: Array, u: Int[Array, "*batch"]) -> Float[Array, "2 *batch"]:
        values = self._all(x)
        # Not an index, whose gradient is a scatter: slow on the CPU.
        chosen = u[..., None] == jnp.arange(values.shape[-1], dtype=u.dtype)
        return jnp.where(chosen, values, 0.0).sum(-1)

    def expected(
        self, actor: CategoricalActor, x: Array, noise: Array, mask: Array | None = None
    ) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
        """Return the exact expectations over all actions (Christodoulou 2019)."""
        del noise
        log_p = actor.log_probs(x, mask)
        p = jnp.exp(log_p)
        if mask is not None:
            log_p = jnp.where(mask, log_p, 0.0)  # 0 * -inf is NaN
        return (p * _lower(self._all(x))).sum(-1), -(p * log_p).sum(-1)

    def scorer(self, x: Array) -> None:
        del x

    def _all(self, x: Array) -> Float[Array, "2 *batch n"]:
        return jax.vmap(lambda network: network(x))(self.networks)


def _lower(values: Float[Array, "2 *shape"]) -> Float[Array, "*shape"]:
    # Not `min(0)`, a reduction: XLA would not fuse it with what follows.
    return jnp.minimum(values[0], values[1])


def _twins(
    inputs: Features,
    hidden: Sequence[int],
    outputs: int,
    beside: int,
    activation: Activation,
    key: Key,
) -> Network:
    return eqx.filter_vmap(
        lambda key: network(inputs, hidden, outputs, beside=beside, activation=activation, key=key)
    )(jax.random.split(key, 2))


class ModelScorer(eqx.Module):
    """Scores of candidates by the mean outcome R(s') of the next step: s' ~ T(. | phi(s), e).

    It looks one step ahead only, but it learns from every transition, whatever the action: where
    the effect of single actions on returns is lost in noise, a critic learns nothing of it.
    """

    T: TransitionModel
    outcome: Outcome
    points: Points
    norm: Norm
    """Normalisation of X, as the policy sees it."""
    recall: Recall | None = None
    """Remembered visits of a state."""

    @classmethod
    def of(
        cls, embedding: JointEmbedding, norm: Norm, memory: Memory | None, visits: int
    ) -> "ModelScorer":
        """Return the scorer of an embedding.

        Args:
            embedding: with the objectives `forward` and `outcome`.
            norm: normalisation of X for the policy.
            memory: remembered visits, if there are any.
            visits: maximum number of remembered visits of a state to look up.
        """
        recall = None
        if memory is not None:
            recall = Recall(memory, embedding.raw, embedding.echo.named, visits)
        return cls(embedding.T, embedding.outcome, embedding.phi.points, norm, recall)

    def scorer(self, x: Array, observation: Observation | None = None) -> Scorer:
        """Return the scores of states with features x, as the policy sees them."""
        place = self.norm.centre + self.norm.width * x
        recalled = None
        if self.recall is not None and observation is not None:
            recalled = self.recall(observation)
        return lambda e, action: self.T.expected(
            place, e, self.points, action, self.outcome, recalled
        )
