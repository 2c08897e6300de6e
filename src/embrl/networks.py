"""Multilayer perceptrons whose first layer takes vectors or discrete factors.

Everything acts on the last axis and lets any leading axes pass. Initial weights are scaled
normals: an orthogonal initialisation needs LAPACK, which deadlocks inside a vmapped compiled
program on the CPU.
"""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.types import Key

Activation = Callable[[Array], Array]


def orthonormal_rows(key: Key, rows: int, columns: int) -> Float[Array, "rows columns"]:
    """Random rows of length 1 at right angles to each other, as far as there is room for that.

    By Gram and Schmidt: a QR would need LAPACK.
    """
    made: list[Array] = []
    for row in jax.random.normal(key, (rows, columns)):
        for other in made[: columns - 1]:
            row = row - (row @ other) * other
        made.append(row / jnp.linalg.norm(row))
    return jnp.stack(made)


def mean_one(x: Float[Array, "*batch k"]) -> Float[Array, "*batch k"]:
    """Divides x by the mean of its absolute values (TD7's AvgL1Norm)."""
    return x / jnp.maximum(jnp.abs(x).mean(-1, keepdims=True), 1e-8)


class Linear(eqx.Module):
    """`x W + b`."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, *, scale: float = 1.0, key: Key) -> None:
        self.weight = scale * jax.random.normal(key, (inputs, outputs)) / np.sqrt(inputs)
        self.bias = jnp.zeros(outputs)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return x @ self.weight + self.bias


class FactorLinear(eqx.Module):
    """A linear layer on the one-hot of every factor, without ever building a one-hot.

    The rows of the factors' values are looked up and summed.
    """

    table: Float[Array, "values outputs"]
    bias: Float[Array, " outputs"]
    factors: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self, factors: Sequence[int], outputs: int, *, scale: float = 1.0, key: Key
    ) -> None:
        self.factors = tuple(factors)
        # A one-hot per factor: the number of inputs that are on is the fan-in.
        deviation = scale / np.sqrt(len(self.factors))
        self.table = deviation * jax.random.normal(key, (sum(self.factors), outputs))
        self.bias = jnp.zeros(outputs)

    def __call__(self, values: Int[Array, "*batch k"]) -> Float[Array, "*batch outputs"]:
        offsets = np.cumsum((0, *self.factors[:-1]), dtype=np.int32)
        return self.table[values + offsets].sum(-2) + self.bias


class MLP(eqx.Module):
    """Layers with an activation between them, none after the last."""

    layers: tuple[Linear | FactorLinear, ...]
    beside: Float[Array, "d outputs"] | None
    """The first layer's weights of the second input, if there is one."""
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        inputs: int | Sequence[int],
        hidden: Sequence[int],
        outputs: int,
        *,
        beside: int = 0,
        activation: Activation = jnp.tanh,
        first_scale: float = 1.0,
        last_scale: float = 1.0,
        key: Key,
    ) -> None:
        """
        Arguments:
            inputs: the length of a vector, or the factors of a discrete observation.
            beside: the length of a second vector that goes in beside it; 0 where there is none.
        """
        widths = (*hidden, outputs)
        keys = jax.random.split(key, len(widths))
        self.beside = None
        if beside:
            # The two share one fan-in, as if they were one vector.
            on = inputs if isinstance(inputs, int) else len(inputs)
            first_scale *= float(np.sqrt(on / (on + beside)))
            scale = first_scale * (last_scale if not hidden else 1.0) / np.sqrt(on)
            self.beside = scale * jax.random.normal(
                jax.random.fold_in(key, len(widths)), (beside, widths[0])
            )
        layers = []
        for index, width in enumerate(widths):
            scale = (first_scale if index == 0 else 1.0) * (
                last_scale if index == len(hidden) else 1.0
            )
            kind = Linear if isinstance(inputs, int) else FactorLinear
            layers.append(kind(inputs, width, scale=scale, key=keys[index]))  # type: ignore[arg-type]
            inputs = width
        self.layers = tuple(layers)
        self.activation = activation

    def __call__(
        self, x: Array, beside: Float[Array, "*#batch d"] | None = None
    ) -> Float[Array, "*batch outputs"]:
        x = self.layers[0](x)
        if self.beside is not None:
            assert beside is not None
            x = x + beside @ self.beside
        for layer in self.layers[1:]:
            x = layer(self.activation(x))
        return x
