"""First layers of networks: of vectors, discrete factors, rows of both, images and rings.

Everything acts on the last axis and allows any leading axes. Initial weights are scaled normals: an
orthogonal initialisation needs LAPACK, which deadlocks inside a vmapped compiled program on the
CPU.
"""

from collections.abc import Sequence
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.core.convolutions import ImageLinear
from embrl.core.images import Image
from embrl.core.products import LayerSize, Mixed, Ring, fan_in_of
from embrl.core.rings import RingLinear
from embrl.core.types import Key


class Linear(eqx.Module):
    """Linear layer, `x W + b`."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, *, scale: float = 1.0, key: Key) -> None:
        self.weight = scale * jax.random.normal(key, (inputs, outputs)) / np.sqrt(inputs)
        self.bias = jnp.zeros(outputs)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return x @ self.weight + self.bias


class FactorLinear(eqx.Module):
    """Linear layer on the concatenated one-hot vectors of discrete factors.

    No one-hot vector is built: the rows of the factors' values are looked up and summed.
    """

    table: Float[Array, "values outputs"]
    bias: Float[Array, " outputs"]
    factors: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self, factors: Sequence[int], outputs: int, *, scale: float = 1.0, key: Key
    ) -> None:
        self.factors = tuple(factors)
        # The fan-in is the number of inputs that are 1: one for each factor.
        deviation = scale / np.sqrt(len(self.factors))
        self.table = deviation * jax.random.normal(key, (sum(self.factors), outputs))
        self.bias = jnp.zeros(outputs)

    def __call__(self, values: Int[Array, "*batch k"]) -> Float[Array, "*batch outputs"]:
        offsets = np.cumsum((0, *self.factors[:-1]), dtype=np.int32)
        return self.table[values + offsets].sum(-2) + self.bias


class MixedLinear(eqx.Module):
    """Linear layer on a row of discrete factors and numbers."""

    rows: FactorLinear
    weight: Float[Array, "p outputs"]
    """Weights of the numbers."""

    def __init__(self, inputs: Mixed, outputs: int, *, scale: float = 1.0, key: Key) -> None:
        key_rows, key_numbers = jax.random.split(key)
        k, fan_in = len(inputs.sizes), fan_in_of(inputs)
        self.rows = FactorLinear(
            inputs.sizes, outputs, scale=scale * float(np.sqrt(k / fan_in)), key=key_rows
        )
        normal = jax.random.normal(key_numbers, (inputs.numbers, outputs))
        self.weight = scale * normal / np.sqrt(fan_in)

    def __call__(self, row: Float[Array, "*batch k+p"]) -> Float[Array, "*batch outputs"]:
        k = len(self.rows.factors)
        return self.rows(row[..., :k].astype(jnp.int32)) + row[..., k:] @ self.weight

    @property
    def bias(self) -> Float[Array, " outputs"]:
        """Bias of the layer, as in the other layers."""
        return self.rows.bias


FirstLayer: TypeAlias = Linear | FactorLinear | MixedLinear | ImageLinear | RingLinear
"""A layer, as a network's first one may be."""


def first_layer(inputs: LayerSize, outputs: int, *, scale: float = 1.0, key: Key) -> FirstLayer:
    """Return the layer for an input of this size."""
    match inputs:
        case int():
            return Linear(inputs, outputs, scale=scale, key=key)
        case Mixed():
            return MixedLinear(inputs, outputs, scale=scale, key=key)
        case Image():
            return ImageLinear(inputs, outputs, scale=scale, key=key)
        case Ring():
            return RingLinear(inputs, outputs, scale=scale, key=key)
        case _:
            return FactorLinear(inputs, outputs, scale=scale, key=key)
