"""T: from an embedded state and action to the next state."""

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.embedding.encoders import RawStates
from embrl.embedding.observations import Logits, Prediction, as_prediction
from embrl.networks import MLP, Linear, orthonormal_rows
from embrl.types import Key

if TYPE_CHECKING:
    from embrl.embedding.model import ModelConfig
    from embrl.embedding.objectives.objective import Shape

Points: TypeAlias = tuple[Float[Array, "values m"], ...]
"""Where each value of each factor lies in X."""

PACE = 0.3
"""How fast, beside the linear part, what bends the effects of actions is learned."""


class TransitionModel(eqx.Module):
    """P(s' | x, e)."""

    @abc.abstractmethod
    def __call__(
        self, x: Float[Array, "*batch m"], e: Float[Array, "*batch d"], points: Points
    ) -> Prediction:
        """The prediction of s'."""


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

    def __call__(self, x: Array, e: Array, points: Points) -> Prediction:
        del points
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

    def __call__(self, x: Array, e: Array, points: Points) -> Logits:
        moves = self.move(x, e)
        beta = jnp.exp(self.log_beta)
        # Without ||p||^2, which is the same for all s' and falls out of the softmax.
        return tuple(
            beta * (2.0 * (x + move) @ point.T - (point**2).sum(-1))
            for move, point in zip(
                jnp.split(moves, len(self.factors), axis=-1), points, strict=True
            )
        )


class BoxTransition(TransitionModel):
    """Predicts a continuous s', scaled to (-1, 1): D x + move(x, e)."""

    decoder: Linear
    move: Move

    def __init__(self, m: int, d: int, hidden: Sequence[int], outputs: int, *, key: Key) -> None:
        key_decoder, key_move = jax.random.split(key)
        self.decoder = Linear(m, outputs, key=key_decoder)
        self.move = Move(m, d, hidden, outputs, key=key_move)

    def __call__(self, x: Array, e: Array, points: Points) -> Float[Array, "*batch p"]:
        del points
        return self.decoder(x) + self.move(x, e)


def new_transition(shape: "Shape", config: "ModelConfig", *, key: Key) -> TransitionModel:
    """The T that suits a space: a squared error for boxes, else the head that was asked for.

    Raises:
        EmbrlError: states are not embedded.
    """
    m, raw = shape.m("forward"), RawStates(shape.observation_space).features
    if isinstance(raw, int):
        return BoxTransition(m, shape.d, config.transition_hidden, raw, key=key)
    kind = {"metric": MetricTransition, "softmax": SoftmaxTransition}[config.head]
    return kind(m, shape.d, config.transition_hidden, raw, key=key)
