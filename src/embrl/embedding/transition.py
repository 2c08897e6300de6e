"""Predictions of observations, and transition models T from embedded states and actions to them."""

import abc
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.core.errors import SettingError
from embrl.core.images import Image
from embrl.core.layers import Linear
from embrl.core.nn import (
    MLP,
    categorical_log_prob,
    linear_cross_entropy,
    orthonormal_rows,
)
from embrl.core.products import InputSize, Mixed
from embrl.core.types import Key, Observation
from embrl.embedding.config import EmbeddingConfig, EmbeddingShape
from embrl.embedding.encoders import RawStates
from embrl.embedding.memory import Recalled

NONLINEAR_RATE = 0.3
"""Learning rate of the nonlinear part of an action's effect, relative to the linear part."""

MAX_MATRIX = 2**13
"""Largest number of entries of the matrix by which an action's linear effect depends on the state.
With a hundred parts of an action, most of the time of a gradient step would go there."""

ECHO_GAIN = 4.0
"""Factor on the output of the echo head's network; with it, the network keeps pace with phi."""

ECHO_DELTA = 1e-3
"""Initial probability that an action adds to the value it names."""

ECHO_DISCOUNT, ECHO_SWEEPS = 0.95, 20
"""Discount and number of sweeps of value iteration on the remembered Markov chain."""

# Predictions of observations

Logits: TypeAlias = tuple[Float[Array, "*batch values"], ...]
"""Logits of the values of each factor."""


class RowPrediction(eqx.Module):
    """Prediction of a row of factors and numbers."""

    logits: Logits
    numbers: Float[Array, "*batch p"]
    """Scaled numbers."""


class ImagePrediction(eqx.Module):
    """Prediction of an image, or of the means of its blocks."""

    outputs: Float[Array, "*batch values"]
    """Logits of flags, or values of pixels from 0 to 1."""
    image: Image = eqx.field(static=True)

    @property
    def values(self) -> Float[Array, "*batch values"]:
        """Expected values of pixels, from 0 to 1."""
        return jax.nn.sigmoid(self.outputs) if self.image.flags else self.outputs


Prediction: TypeAlias = Logits | Float[Array, "*batch p"] | RowPrediction | ImagePrediction
"""Logits of a discrete observation, the scaled coordinates of a box, both, or an image."""


def block_means(image: Image, pixels: Float[Array, "*batch pixels"]) -> Array:
    """Return what is predicted of images: their pixels, or the means of square blocks."""
    if (side := image.block) == 1:
        return pixels
    rows, columns = image.height // side, image.width // side
    x = pixels.reshape(-1, *image.shape)[:, : rows * side, : columns * side]
    x = x.reshape(-1, rows, side, columns, side, image.channels).mean((2, 4))
    return x.reshape(*pixels.shape[:-1], image.predicted)


Points: TypeAlias = tuple[Float[Array, "values m"], ...]
"""Points in X of the values of each factor."""


def compared_numbers(raw: RawStates, observation: Observation) -> Float[Array, "*batch values"]:
    """Return what predictions of numbers are compared with: these, or what is left of an image."""
    numbers = raw.vector(observation)
    return numbers if raw.image is None else block_means(raw.image, numbers)


def output_size(features: InputSize) -> int:
    """Return the number of outputs that predict an observation with these raw features."""
    if isinstance(features, Image):
        return features.predicted
    if isinstance(features, Mixed):
        return sum(features.sizes) + features.numbers
    return features if isinstance(features, int) else sum(features)


def as_prediction(outputs: Float[Array, "*batch outputs"], features: InputSize) -> Prediction:
    """Split the outputs of a network into factors and numbers."""
    if isinstance(features, int):
        return outputs
    if isinstance(features, Image):
        return ImagePrediction(outputs, features)
    if isinstance(features, Mixed):
        *logits, numbers = jnp.split(outputs, np.cumsum(features.sizes), axis=-1)
        return RowPrediction(tuple(logits), numbers)
    return tuple(jnp.split(outputs, np.cumsum(features)[:-1], axis=-1))


def observation_loss(predicted: Prediction, target: Array) -> Float[Array, "*batch"]:
    """Return the negative log likelihood in nats, or the mean squared error of a scaled box.

    Factors are predicted independently, so their losses add up. One softmax over all combinations
    of factors would be far larger; in a recommender it would mostly learn to copy the older item,
    which is known.

    Args:
        predicted: prediction of an observation.
        target: raw features of the true observation (`RawStates`), `[..., k]`.
    """
    return _total(_losses(predicted, target))


def mean_observation_loss(predicted: Prediction, target: Array) -> Float[Array, ""]:
    """Return the mean of `observation_loss` over the batch, taken factor by factor."""
    return _total([losses.mean() for losses in _losses(predicted, target)])


def _losses(predicted: Prediction, target: Array) -> list[Array]:
    """Return the loss of each factor; numbers count as one."""
    if isinstance(predicted, ImagePrediction):
        return [_image_loss(predicted, target)]
    if isinstance(predicted, RowPrediction):
        k = len(predicted.logits)
        numbers = _losses(predicted.numbers, target[..., k:])
        return _losses(predicted.logits, target[..., :k].astype(jnp.int32)) + numbers
    if not isinstance(predicted, tuple):
        return [((predicted - target) ** 2).mean(-1)]
    return [
        -categorical_log_prob(logits, target[..., index]) for index, logits in enumerate(predicted)
    ]


def _image_loss(predicted: ImagePrediction, pixels: Array) -> Float[Array, "*batch"]:
    """Return the negative log likelihood of flags in nats, or the mean squared error of bytes."""
    target = block_means(predicted.image, pixels)
    if not predicted.image.flags:
        return ((predicted.outputs - target) ** 2).mean(-1)
    # Of a mean of flags, the cross entropy.
    losses = jax.nn.softplus(predicted.outputs) - target * predicted.outputs
    return losses.sum(-1)


def _total(parts: list[Array]) -> Array:
    return sum(parts[1:], parts[0])


# Transition models


class OutcomeModel(Protocol):
    """A linear reward model R(s'), as `embrl.embedding.objectives.rewards.Outcome`."""

    @property
    def contributions(self) -> tuple[Float[Array, " values"], ...]:
        """Contributions of the values of each factor to the reward."""
        ...

    def expected(self, prediction: Prediction) -> Float[Array, "*batch"]:
        """Return the mean reward over a prediction of the next state."""
        ...


class TransitionModel(eqx.Module):
    """Base class of transition models P(s' | x, e)."""

    @abc.abstractmethod
    def __call__(
        self,
        x: Float[Array, "*batch m"],
        e: Float[Array, "*batch d"],
        points: Points,
        action: Int[Array, "*batch"] | None = None,
    ) -> Prediction:
        """Predict s'.

        Args:
            x: embedded states.
            e: embedded actions.
            points: points in X of the values of each factor.
            action: the actions themselves, for heads that use the value an action names.
        """

    def mean_loss(
        self,
        x: Float[Array, "*batch m"],
        e: Float[Array, "*batch d"],
        points: Points,
        action: Int[Array, "*batch"],
        target: Array,
    ) -> Float[Array, ""]:
        """Return the mean loss of predictions of s' over a batch.

        Args:
            x: embedded states.
            e: embedded actions.
            points: points in X of the values of each factor.
            action: the actions themselves.
            target: raw features of s' (`RawStates`), `[..., k]`.
        """
        return mean_observation_loss(self(x, e, points, action), target)

    def expected(
        self,
        x: Float[Array, "*batch m"],
        e: Float[Array, "*#batch k d"],
        points: Points,
        action: Int[Array, "*#batch k"],
        outcome: OutcomeModel,
        recalled: Recalled | None = None,
    ) -> Float[Array, "*batch k"]:
        """Return the mean outcome of each of k candidate actions, up to a common constant.

        Args:
            x: embedded states.
            e: embedded candidates.
            points: points in X of the values of each factor.
            action: the candidates.
            outcome: reward model.
            recalled: remembered successors of the states, for heads that use them (echo).
        """
        del recalled
        shape = jnp.broadcast_shapes((*x.shape[:-1], 1), action.shape)
        x = jnp.broadcast_to(x[..., None, :], (*shape, x.shape[-1]))
        e = jnp.broadcast_to(e, (*shape, e.shape[-1]))
        return outcome.expected(self(x, e, points, jnp.broadcast_to(action, shape)))


class SoftmaxTransition(TransitionModel):
    """The paper's head: a linear layer and a softmax for each factor."""

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
    """Effect of an action on an embedded state: L e + c (M(x) e + h(x, e)).

    L is a matrix, M(x) a matrix that depends on x. The networks M and h start at zero and learn at
    a lower rate c, so learning starts with actions that have the same effect in every state, linear
    in e. Otherwise h can place actions anywhere and still tell them apart, and in some seeds the
    action embedding comes out folded (docs/decisions/0005).
    """

    linear: Float[Array, "d outputs"]
    matrix: MLP | None
    """M(x); None where it would have more than `MAX_MATRIX` entries."""
    network: MLP

    def __init__(self, m: int, d: int, hidden: Sequence[int], outputs: int, *, key: Key) -> None:
        key_linear, key_matrix, key_network = jax.random.split(key, 3)
        self.linear = orthonormal_rows(key_linear, d, outputs)
        self.matrix = None
        if outputs * d <= MAX_MATRIX:
            self.matrix = MLP(
                m, hidden, outputs * d, activation=jax.nn.relu, last_scale=0.0, key=key_matrix
            )
        self.network = MLP(
            m + d, hidden, outputs, activation=jax.nn.relu, last_scale=0.0, key=key_network
        )

    def __call__(self, x: Array, e: Array) -> Float[Array, "*batch outputs"]:
        if self.matrix is None:
            nonlinear = self.network(jnp.concatenate([x, e], axis=-1))
        else:
            matrix = self.matrix(x).reshape(*x.shape[:-1], -1, e.shape[-1])
            nonlinear = (matrix * e[..., None, :]).sum(-1)
            nonlinear = nonlinear + self.network(jnp.concatenate([x, e], axis=-1))
        return e @ self.linear + NONLINEAR_RATE * nonlinear


class MetricTransition(TransitionModel):
    """Head that predicts a point in X; states near it are more likely.

        p = x + move(x, e),    log P(s' | x, e) = -beta ||p - phi(s')||^2 + const

    The head has no weights of its own for a state: what is learned about it as a next state is
    learned about its embedding. So few visits suffice, and distances in X become meaningful. With
    several factors, a point is predicted for each.
    """

    move: Move
    log_beta: Float[Array, ""]
    factors: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self, m: int, d: int, hidden: Sequence[int], factors: Sequence[int], *, key: Key
    ) -> None:
        self.factors = tuple(factors)
        self.move = Move(m, d, hidden, m * len(self.factors), key=key)
        # Precise enough to tell neighbours apart in a space that starts small.
        self.log_beta = jnp.float32(np.log(90.0))

    def __call__(self, x: Array, e: Array, points: Points, action: Array | None = None) -> Logits:
        del action
        return tuple(inputs @ weights for inputs, weights in self._products(x, e, points))

    def mean_loss(
        self, x: Array, e: Array, points: Points, action: Array, target: Array
    ) -> Float[Array, ""]:
        del action
        return _total(
            [
                linear_cross_entropy(inputs, weights, target[..., index])
                for index, (inputs, weights) in enumerate(self._products(x, e, points))
            ]
        )

    def _products(self, x: Array, e: Array, points: Points) -> Iterator[tuple[Array, Array]]:
        """Yield, for each factor, two arrays whose product are its logits."""
        moves = self.move(x, e)
        beta = jnp.exp(self.log_beta)
        for move, point in zip(jnp.split(moves, len(self.factors), axis=-1), points, strict=True):
            p = x + move
            # ||p||^2 is left out: it is the same for all s' and cancels in the softmax.
            inputs = jnp.concatenate(
                [2.0 * beta * p, jnp.broadcast_to(beta, (*p.shape[:-1], 1))], -1
            )
            yield inputs, jnp.concatenate([point, -(point**2).sum(-1, keepdims=True)], -1).T


class EchoTransition(TransitionModel):
    """Head in which an action only makes the value that it names more likely.

        P(c | x, a) = (P(c | x) + [a names c] boost) / (1 + boost)
        boost       = (e^kappa - 1) P(c | x) + delta

    Naming a value multiplies its probability by e^kappa and adds delta, whatever the value.
    P(c | x) is a softmax head without e. So every transition teaches the part of the dynamics that
    does not depend on actions, and the effect of actions has two parameters for all of them: that
    suffices where each action was hardly ever observed to work, as in recommenders.
    """

    network: MLP
    kappa: Float[Array, ""]
    log_delta: Float[Array, ""]
    factors: tuple[int, ...] = eqx.field(static=True)
    named: int = eqx.field(static=True)
    """Factor whose values the actions name."""
    memory_weight: float = eqx.field(static=True)
    """Weight of this prediction against remembered visits of a state, in visits."""

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
        self.log_delta = jnp.float32(np.log(ECHO_DELTA))
        self.network = MLP(m, hidden, sum(factors), activation=jax.nn.relu, last_scale=0.1, key=key)

    def __call__(
        self, x: Array, e: Array, points: Points, action: Array | None = None
    ) -> Prediction:
        del e, points
        assert action is not None
        logits: list[Array] = jnp.split(
            ECHO_GAIN * self.network(x), np.cumsum(self.factors)[:-1], axis=-1
        )
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
        """Return the mean outcome of candidates in closed form, with one softmax for all of them.

        An action that names c changes the mean contribution to
        (mean + boost contribution(c)) / (1 + boost).
        """
        del e, points
        contribution = outcome.contributions[self.named]
        p = jax.nn.softmax(ECHO_GAIN * self.named_network(x))
        if recalled is not None:
            p = recalled.mixed(p, self.memory_weight)
            contribution = contribution + recalled.future_value
        _, gain = self._gains(p, contribution)
        chosen = jnp.broadcast_to(action, (*x.shape[:-1], action.shape[-1]))
        return jnp.take_along_axis(gain, chosen, axis=-1)

    def _gains(
        self, p: Float[Array, "*batch values"], contribution: Float[Array, " values"]
    ) -> tuple[Float[Array, "*batch 1"], Float[Array, "*batch values"]]:
        """Return the mean contribution without an action, and the gain from naming each value."""
        mean = (p * contribution).sum(-1, keepdims=True)
        boost = jnp.expm1(self.kappa) * p + jnp.exp(self.log_delta)
        return mean, boost * (contribution - mean) / (1.0 + boost)

    def future_values(
        self, chain: Float[Array, "values values"], outcome: OutcomeModel
    ) -> Float[Array, " values"]:
        """Return the discounted value of the steps after each value of the named factor.

        It is computed by value iteration on the remembered Markov chain, whose rows are smoothed by
        the overall frequencies of values. The mean over values is subtracted.

        Args:
            chain: numbers of transitions between values of the named factor (`Memory.chain`).
            outcome: reward model.
        """
        frequency = chain.sum(0) / jnp.maximum(chain.sum(), 1.0)
        p = chain + self.memory_weight * frequency
        p = p / jnp.maximum(p.sum(-1, keepdims=True), 1e-6)
        contribution = outcome.contributions[self.named]

        def sweep(_: Array, value: Array) -> Array:
            mean, gain = self._gains(p, contribution + value)
            value = ECHO_DISCOUNT * (mean[..., 0] + gain.max(-1))
            return value - value @ frequency

        return jax.lax.fori_loop(0, ECHO_SWEEPS, sweep, jnp.zeros_like(contribution))

    @property
    def unaided_fraction(self) -> Float[Array, ""]:
        """Fraction of observed named values that would have occurred without the action."""
        return jnp.exp(-jnp.maximum(self.kappa, 0.0))

    @property
    def named_network(self) -> MLP:
        """Network that computes nothing but the named factor; times `ECHO_GAIN`, its logits."""
        *hidden, last = self.network.layers
        assert isinstance(last, Linear)
        begin = sum(self.factors[: self.named])
        part = slice(begin, begin + self.factors[self.named])
        last = eqx.tree_at(
            lambda layer: (layer.weight, layer.bias),
            last,
            (last.weight[:, part], last.bias[part]),
        )
        return eqx.tree_at(lambda net: net.layers, self.network, (*hidden, last))


class BoxTransition(TransitionModel):
    """Head that predicts an s' with numbers, scaled to (-1, 1), as D x + move(x, e).

    Factors beside the numbers have logits among the outputs.
    """

    decoder: Linear
    move: Move
    features: int | Mixed = eqx.field(static=True)

    def __init__(
        self, m: int, d: int, hidden: Sequence[int], features: int | Mixed, *, key: Key
    ) -> None:
        key_decoder, key_move = jax.random.split(key)
        outputs = output_size(features)
        self.decoder = Linear(m, outputs, key=key_decoder)
        self.move = Move(m, d, hidden, outputs, key=key_move)
        self.features = features

    def __call__(
        self, x: Array, e: Array, points: Points, action: Array | None = None
    ) -> Prediction:
        del points, action
        return as_prediction(self.decoder(x) + self.move(x, e), self.features)


class ImageTransition(TransitionModel):
    """Head that predicts an image from the point x + move(x, e), by a network."""

    move: Move
    decoder: MLP
    image: Image = eqx.field(static=True)

    def __init__(self, m: int, d: int, hidden: Sequence[int], image: Image, *, key: Key) -> None:
        key_decoder, key_move = jax.random.split(key)
        self.move = Move(m, d, hidden, m, key=key_move)
        self.decoder = MLP(m, hidden, image.predicted, activation=jax.nn.relu, key=key_decoder)
        self.image = image

    def __call__(
        self, x: Array, e: Array, points: Points, action: Array | None = None
    ) -> ImagePrediction:
        del points, action
        return ImagePrediction(self.decoder(x + self.move(x, e)), self.image)


def new_transition(shape: EmbeddingShape, config: EmbeddingConfig, *, key: Key) -> TransitionModel:
    """Return a transition model: `BoxTransition` where s' has numbers, else the configured head.

    Raises:
        EmbrlError: states are not embedded, or the head is echo and actions do not name values of
            the observation.
    """
    m, raw = shape.m("forward"), shape.raw
    if config.head == "echo":
        if shape.named is None or not isinstance(raw, tuple):
            raise SettingError(
                "embedding.head",
                "metric or softmax where actions do not name values of the observation",
                config.head,
            )
        return EchoTransition(
            m, config.transition_hidden, raw, shape.named, shape.memory_weight, key=key
        )
    if isinstance(raw, Image):
        return ImageTransition(m, shape.d, config.transition_hidden, raw, key=key)
    if not isinstance(raw, tuple):
        return BoxTransition(m, shape.d, config.transition_hidden, raw, key=key)
    kind = {"metric": MetricTransition, "softmax": SoftmaxTransition}[config.head]
    return kind(m, shape.d, config.transition_hidden, raw, key=key)
