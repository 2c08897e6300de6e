"""T: from an embedded state and action to the next state."""

import abc
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.core.errors import EmbrlError
from embrl.core.nn import MLP, Linear, categorical_log_prob, orthonormal_rows
from embrl.core.types import Key
from embrl.embedding.config import EmbeddingConfig, EmbeddingShape
from embrl.embedding.encoders import RawStates
from embrl.embedding.memory import Recalled

Logits: TypeAlias = tuple[Float[Array, "*batch values"], ...]
"""One array for each factor."""

Prediction: TypeAlias = Logits | Float[Array, "*batch p"]
"""Logits of discrete observations; of a box, the (scaled) observation itself."""


def output_size(features: int | tuple[int, ...]) -> int:
    """How many numbers predict an observation with these raw features."""
    return features if isinstance(features, int) else sum(features)


def as_prediction(outputs: Float[Array, "*batch outputs"], features: int | tuple) -> Prediction:
    """A network's outputs, taken apart factor by factor."""
    if isinstance(features, int):
        return outputs
    return tuple(jnp.split(outputs, np.cumsum(features)[:-1], axis=-1))


def observation_loss(predicted: Prediction, target: Array) -> Float[Array, "*batch"]:
    """Negative log likelihood in nats, or the mean squared error of a box in scaled units.

    Factors are predicted independently of each other: their losses add up. A single softmax over
    all combinations of factors would be far larger, and in a recommender it would mostly learn to
    copy the older item, which is already known.

    Arguments:
        target: raw features of the true observation (`RawStates`), `[..., k]`.
    """
    return _total(_losses(predicted, target))


def mean_observation_loss(predicted: Prediction, target: Array) -> Float[Array, ""]:
    """The mean of `observation_loss` over the batch, taken factor by factor."""
    return _total([losses.mean() for losses in _losses(predicted, target)])


def _losses(predicted: Prediction, target: Array) -> list[Array]:
    """Of each factor; a box counts as one."""
    if not isinstance(predicted, tuple):
        return [((predicted - target) ** 2).mean(-1)]
    return [
        -categorical_log_prob(logits, target[..., index]) for index, logits in enumerate(predicted)
    ]


def _total(parts: list[Array]) -> Array:
    return sum(parts[1:], parts[0])


Points: TypeAlias = tuple[Float[Array, "values m"], ...]
"""Where each value of each factor lies in X."""

GAIN = 4.0
"""What the echo head multiplies its network by: it learns faster by that beside phi."""

DELTA = 1e-3
"""What an action adds to a probability, before anything is learned."""

FORESIGHT, SWEEPS = 0.95, 20
"""Discount and sweeps of value iteration on the chain that a memory has."""

PACE = 0.3
"""How fast, beside the linear part, what bends the effects of actions is learned."""


class OutcomeModel(Protocol):
    """A linear model of rewards, as `embrl.embedding.objectives.rewards.Outcome`."""

    @property
    def worths(self) -> tuple[Float[Array, " values"], ...]:
        """Contribution of each value of each factor to the reward."""
        ...

    def expected(self, prediction: Prediction) -> Float[Array, "*batch"]:
        """Return the mean reward over a prediction of the next state."""
        ...


class TransitionModel(eqx.Module):
    """P(s' | x, e)."""

    @abc.abstractmethod
    def __call__(
        self,
        x: Float[Array, "*batch m"],
        e: Float[Array, "*batch d"],
        points: Points,
        action: Int[Array, "*batch"] | None = None,
    ) -> Prediction:
        """The prediction of s'. The action itself is for heads that go by what it names."""

    def expected(
        self,
        x: Float[Array, "*batch m"],
        e: Float[Array, "*#batch k d"],
        points: Points,
        action: Int[Array, "*#batch k"],
        outcome: OutcomeModel,
        recalled: Recalled | None = None,
    ) -> Float[Array, "*batch k"]:
        """The mean outcome after each of k candidates, up to what is the same for all of them.

        Arguments:
            recalled: what followed the same state before, for heads that mix it in (echo).
        """
        del recalled
        shape = jnp.broadcast_shapes((*x.shape[:-1], 1), action.shape)
        x = jnp.broadcast_to(x[..., None, :], (*shape, x.shape[-1]))
        e = jnp.broadcast_to(e, (*shape, e.shape[-1]))
        return outcome.expected(self(x, e, points, jnp.broadcast_to(action, shape)))


class SoftmaxTransition(TransitionModel):
    """A free linear layer and a softmax for each factor: the paper's head."""

    network: MLP
    factors: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self, m: int, d: int, hidden: Sequence[int], factors: Sequence[int], *, key: Key
    ) -> None:
        self.factors = tuple(factors)
        self.network = MLP(
            m + d, hidden, sum(factors), activation=jax.nn.relu, last_scale=0.1, key=key
        )

    def __call__(
        self, x: Array, e: Array, points: Points, action: Array | None = None
    ) -> Prediction:
        del points, action
        return as_prediction(self.network(jnp.concatenate([x, e], axis=-1)), self.factors)


class Move(eqx.Module):
    """What an action changes: L e + c (M(x) e + h(x, e)).

    L is a matrix, M(x) a matrix that depends on x; both networks M and h start at zero and learn
    at a slower pace c: so learning begins with actions that act alike everywhere, and linearly in
    e. Begun otherwise, h can put actions anywhere and still tell them apart, and in some seeds
    the action embedding comes out folded (docs/decisions/0005).
    """

    linear: Float[Array, "d outputs"]
    matrix: MLP
    network: MLP

    def __init__(self, m: int, d: int, hidden: Sequence[int], outputs: int, *, key: Key) -> None:
        key_linear, key_matrix, key_network = jax.random.split(key, 3)
        self.linear = orthonormal_rows(key_linear, d, outputs)
        self.matrix = MLP(
            m, hidden, outputs * d, activation=jax.nn.relu, last_scale=0.0, key=key_matrix
        )
        self.network = MLP(
            m + d, hidden, outputs, activation=jax.nn.relu, last_scale=0.0, key=key_network
        )

    def __call__(self, x: Array, e: Array) -> Float[Array, "*batch outputs"]:
        matrix = self.matrix(x).reshape(*x.shape[:-1], -1, e.shape[-1])
        bent = (matrix * e[..., None, :]).sum(-1) + self.network(jnp.concatenate([x, e], axis=-1))
        return e @ self.linear + PACE * bent


class MetricTransition(TransitionModel):
    """Predicts where s' lies in X; a state is the likelier the nearer its embedding.

        p = x + move(x, e),    log P(s' | x, e) = -beta ||p - phi(s')||^2 + const

    The head has no weights of its own for a state: what is learned of it as a next state is
    learned of its embedding, so that few visits suffice and the space comes to have a metric.
    With several factors, a point is predicted for each.
    """

    move: Move
    log_beta: Float[Array, ""]
    factors: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self, m: int, d: int, hidden: Sequence[int], factors: Sequence[int], *, key: Key
    ) -> None:
        self.factors = tuple(factors)
        self.move = Move(m, d, hidden, m * len(self.factors), key=key)
        # Precise enough that neighbours in a space that starts small can be told apart.
        self.log_beta = jnp.float32(np.log(90.0))

    def __call__(self, x: Array, e: Array, points: Points, action: Array | None = None) -> Logits:
        del action
        moves = self.move(x, e)
        beta = jnp.exp(self.log_beta)
        # Without ||p||^2, which is the same for all s' and falls out of the softmax.
        return tuple(
            beta * (2.0 * (x + move) @ point.T - (point**2).sum(-1))
            for move, point in zip(
                jnp.split(moves, len(self.factors), axis=-1), points, strict=True
            )
        )


class EchoTransition(TransitionModel):
    """An action makes the value that it names likelier, and does nothing else:

        P(c | x, a) = (P(c | x) + [a names c] boost) / (1 + boost)
        boost       = (e^kappa - 1) P(c | x) + delta

    that is, e^kappa times as likely, and as likely again as delta, whatever the value. P(c | x) is
    the softmax head's, without e. So what every transition tells of how the world goes on by itself
    is learned without regard to actions, and of the actions two numbers for all of them: that
    suffices where each has hardly ever been seen to work, as in recommenders.
    """

    network: MLP
    kappa: Float[Array, ""]
    log_delta: Float[Array, ""]
    factors: tuple[int, ...] = eqx.field(static=True)
    named: int = eqx.field(static=True)
    """The factor whose values actions name."""
    memory_weight: float = eqx.field(static=True)
    """Visits of a state that this prediction counts for, where they are remembered."""

    def __init__(
        self,
        m: int,
        hidden: Sequence[int],
        factors: Sequence[int],
        named: int,
        memory_weight: float = 10.0,
        *,
        key: Key,
    ) -> None:
        self.memory_weight = memory_weight
        self.factors = tuple(factors)
        self.named = named
        self.kappa = jnp.float32(0.0)
        self.log_delta = jnp.float32(np.log(DELTA))
        self.network = MLP(m, hidden, sum(factors), activation=jax.nn.relu, last_scale=0.1, key=key)

    def __call__(
        self, x: Array, e: Array, points: Points, action: Array | None = None
    ) -> Prediction:
        del e, points
        assert action is not None
        logits = list(as_prediction(GAIN * self.network(x), self.factors))
        values = jnp.arange(self.factors[self.named], dtype=jnp.int32)
        plain = jax.nn.log_softmax(logits[self.named])
        raised = jnp.logaddexp(plain + self.kappa, self.log_delta)
        logits[self.named] = jnp.where(action[..., None] == values, raised, plain)
        return tuple(logits)

    def expected(
        self,
        x: Array,
        e: Array,
        points: Points,
        action: Array,
        outcome: OutcomeModel,
        recalled: Recalled | None = None,
    ) -> Float[Array, "*batch k"]:
        """In closed form, with one softmax for all candidates: where c is named, the mean worth of
        values becomes (mean + boost worth(c)) / (1 + boost).

        Less what is the same for all candidates.
        """
        del e, points
        worth = outcome.worths[self.named]
        p = jax.nn.softmax(self._named_logits(x))
        if recalled is not None:
            p = recalled.mixed(p, self.memory_weight)
            worth = worth + recalled.promise
        _, gain = self._gains(p, worth)
        chosen = jnp.broadcast_to(action, (*x.shape[:-1], action.shape[-1]))
        return jnp.take_along_axis(gain, chosen, axis=-1)

    def _gains(
        self, p: Float[Array, "*batch values"], worth: Float[Array, " values"]
    ) -> tuple[Float[Array, "*batch 1"], Float[Array, "*batch values"]]:
        """The mean worth without an action's help, and what naming each value adds to it."""
        mean = (p * worth).sum(-1, keepdims=True)
        boost = jnp.expm1(self.kappa) * p + jnp.exp(self.log_delta)
        return mean, boost * (worth - mean) / (1.0 + boost)

    def promises(
        self, chain: Float[Array, "values values"], outcome: OutcomeModel
    ) -> Float[Array, " values"]:
        """What each value of the named factor promises for the steps after it, less their mean:
        value iteration on the chain, whose rows are smoothed by how often values come at all.
        """
        share = chain.sum(0) / jnp.maximum(chain.sum(), 1.0)
        p = chain + self.memory_weight * share
        p = p / jnp.maximum(p.sum(-1, keepdims=True), 1e-6)
        worth = outcome.worths[self.named]

        def earlier(_: Array, value: Array) -> Array:
            mean, gain = self._gains(p, worth + value)
            value = FORESIGHT * (mean[..., 0] + gain.max(-1))
            return value - value @ share

        return jax.lax.fori_loop(0, SWEEPS, earlier, jnp.zeros_like(worth))

    @property
    def own_share(self) -> Float[Array, ""]:
        """The probability that a value would have come if the action that named it had not."""
        return jnp.exp(-jnp.maximum(self.kappa, 0.0))

    def _named_logits(self, x: Array) -> Float[Array, "*batch values"]:
        """Without computing those of other factors."""
        *hidden, last = self.network.layers
        assert isinstance(last, Linear)
        begin = sum(self.factors[: self.named])
        part = slice(begin, begin + self.factors[self.named])
        last = eqx.tree_at(
            lambda layer: (layer.weight, layer.bias),
            last,
            (last.weight[:, part], last.bias[part]),
        )
        return GAIN * eqx.tree_at(lambda net: net.layers, self.network, (*hidden, last))(x)


class BoxTransition(TransitionModel):
    """Predicts a continuous s', scaled to (-1, 1): D x + move(x, e)."""

    decoder: Linear
    move: Move

    def __init__(self, m: int, d: int, hidden: Sequence[int], outputs: int, *, key: Key) -> None:
        key_decoder, key_move = jax.random.split(key)
        self.decoder = Linear(m, outputs, key=key_decoder)
        self.move = Move(m, d, hidden, outputs, key=key_move)

    def __call__(
        self, x: Array, e: Array, points: Points, action: Array | None = None
    ) -> Float[Array, "*batch p"]:
        del points, action
        return self.decoder(x) + self.move(x, e)


def new_transition(shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> TransitionModel:
    """The T that suits a space: a squared error for boxes, else the head that was asked for.

    Raises:
        EmbrlError: states are not embedded, or actions name nothing that could echo.
    """
    m, raw = shape.m("forward"), RawStates(shape.observation_space).features
    if config.head == "echo":
        if shape.named is None or isinstance(raw, int):
            raise EmbrlError(
                "embedding.head is echo: here actions do not name what is observed: choose another"
            )
        return EchoTransition(
            m, config.transition_hidden, raw, shape.named, shape.memory_weight, key=key
        )
    if isinstance(raw, int):
        return BoxTransition(m, shape.d, config.transition_hidden, raw, key=key)
    kind = {"metric": MetricTransition, "softmax": SoftmaxTransition}[config.head]
    return kind(m, shape.d, config.transition_hidden, raw, key=key)
