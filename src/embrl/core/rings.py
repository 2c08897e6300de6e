"""Readings around a circle, as of a lidar, and the first layer that reads them.

Convolutions wrap around, as the last reading is beside the first: what phi sees of an obstacle does
not depend on where the circle is cut open.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.products import Ring
from embrl.core.types import Key

FILTERS = ((8, 5, 2), (16, 5, 2))
"""Convolutions: filters, readings that each sees (odd), and stride."""


class RingConvolution(eqx.Module):
    """Convolution around a circle, and ReLU."""

    weight: Float[Array, "width*inputs outputs"]
    bias: Float[Array, " outputs"]
    width: int = eqx.field(static=True)
    stride: int = eqx.field(static=True)

    def __init__(self, inputs: int, outputs: int, width: int, stride: int, *, key: Key) -> None:
        fan_in = width * inputs
        self.weight = np.sqrt(2.0 / fan_in) * jax.random.normal(key, (fan_in, outputs))
        self.bias = jnp.zeros(outputs)
        self.width, self.stride = width, stride

    def __call__(self, x: Float[Array, "*batch n c"]) -> Float[Array, "*batch n2 c2"]:
        half, length = self.width // 2, x.shape[-2]
        x = jnp.concatenate([x[..., length - half :, :], x, x[..., :half, :]], axis=-2)
        # A product of patches, as for images: no gradient of a gather, which is slow on the CPU.
        patches = [x[..., i : i + length : self.stride, :] for i in range(self.width)]
        return jax.nn.relu(jnp.concatenate(patches, axis=-1) @ self.weight + self.bias)


class RingLinear(eqx.Module):
    """Linear layer on the convolutions of readings around a circle, and on what follows them."""

    convolutions: tuple[RingConvolution, ...]
    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]
    ring: Ring = eqx.field(static=True)

    def __init__(self, ring: Ring, outputs: int, *, scale: float = 1.0, key: Key) -> None:
        self.ring = ring
        length, channels, made = ring.readings, 1, []
        for index, (filters, width, stride) in enumerate(FILTERS):
            key_now = jax.random.fold_in(key, index)
            made.append(RingConvolution(channels, filters, width, stride, key=key_now))
            length, channels = -(-length // stride), filters
        self.convolutions = tuple(made)
        inputs = length * channels + ring.numbers
        self.weight = scale * jax.random.normal(key, (inputs, outputs)) / np.sqrt(inputs)
        self.bias = jnp.zeros(outputs)

    def __call__(self, vector: Float[Array, "*batch p"]) -> Float[Array, "*batch outputs"]:
        x = vector[..., : self.ring.readings, None]
        for convolution in self.convolutions:
            x = convolution(x)
        x = x.reshape(*x.shape[:-2], -1)
        rest = vector[..., self.ring.readings :]
        return jnp.concatenate([x, rest], axis=-1) @ self.weight + self.bias
