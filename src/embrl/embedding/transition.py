"""T: from an embedded state and action to a distribution of the next state.

Either kind gives an array of logits for each factor of the observation. A single softmax over all
combinations of factors would be far larger, and in a recommender it would mostly learn to copy the
older item, which is already known.
"""

import abc
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.networks import MLP, orthonormal_rows
from embrl.types import Key

Logits = tuple[Float[Array, "*batch values"], ...]
"""One array for each factor."""

Points = tuple[Float[Array, "values m"], ...]
"""Where each value of each factor lies in X."""


PACE = 0.3
"""How fast, beside the linear part, what bends the effects of actions is learned."""


class TransitionModel(eqx.Module):
    """P(s' | x, e)."""

    @abc.abstractmethod
    def __call__(
        self, x: Float[Array, "*batch m"], e: Float[Array, "*batch d"], points: Points
    ) -> Logits:
        """Logits of s'."""


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

    def __call__(self, x: Array, e: Array, points: Points) -> Logits:
        del points
        logits = self.network(jnp.concatenate([x, e], axis=-1))
        return tuple(jnp.split(logits, np.cumsum(self.factors)[:-1], axis=-1))


class MetricTransition(TransitionModel):
    """Predicts where s' lies in X; a state is the likelier the nearer its embedding.

        p = x + L e + c (M(x) e + h(x, e)),    log P(s' | x, e) = -beta ||p - phi(s')||^2 + const

    The head has no weights of its own for a state: what is learned of it as a next state is
    learned of its embedding, so that few visits suffice and the space comes to have a metric.
    L is a matrix, M(x) a matrix that depends on x; both networks M and h start at zero and learn
    at a slower pace c: so learning begins with actions that act alike everywhere, and linearly in
    e. Begun otherwise, h can put actions anywhere and still tell them apart, and in some seeds
    the action embedding comes out folded (docs/decisions/0005). With several factors, a point is
    predicted for each.
    """

    linear: Float[Array, "d outputs"]
    matrix: MLP
    network: MLP
    log_beta: Float[Array, ""]
    factors: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self, m: int, d: int, hidden: Sequence[int], factors: Sequence[int], *, key: Key
    ) -> None:
        key_linear, key_matrix, key_network = jax.random.split(key, 3)
        outputs = m * len(factors)
        self.factors = tuple(factors)
        self.linear = orthonormal_rows(key_linear, d, outputs)
        self.matrix = MLP(
            m, hidden, outputs * d, activation=jax.nn.relu, last_scale=0.0, key=key_matrix
        )
        self.network = MLP(
            m + d, hidden, outputs, activation=jax.nn.relu, last_scale=0.0, key=key_network
        )
        # Precise enough that neighbours in a space that starts small can be told apart.
        self.log_beta = jnp.float32(np.log(90.0))

    def __call__(self, x: Array, e: Array, points: Points) -> Logits:
        matrix = self.matrix(x).reshape(*x.shape[:-1], -1, e.shape[-1])
        bent = (matrix * e[..., None, :]).sum(-1) + self.network(jnp.concatenate([x, e], axis=-1))
        moves = e @ self.linear + PACE * bent
        beta = jnp.exp(self.log_beta)
        # Without ||p||^2, which is the same for all s' and falls out of the softmax.
        return tuple(
            beta * (2.0 * (x + move) @ point.T - (point**2).sum(-1))
            for move, point in zip(
                jnp.split(moves, len(self.factors), axis=-1), points, strict=True
            )
        )
