"""Convolutions of images, and a linear layer on what they return."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.images import FILTERS, Image
from embrl.core.types import Key


class Convolution(eqx.Module):
    """Convolution of an image, channels last, without bounds beyond its own."""

    weight: Float[Array, "side side inputs outputs"]
    bias: Float[Array, " outputs"]
    stride: int = eqx.field(static=True)
    residual: bool = eqx.field(static=True)
    """Whether the input, with its border filled by zeros, is added to the output."""

    def __init__(
        self, inputs: int, outputs: int, side: int, stride: int, residual: bool, *, key: Key
    ) -> None:
        fan_in = side * side * inputs
        # He et al. (2015): half of what ReLU takes in is lost.
        scale = np.sqrt((1.0 if residual else 2.0) / fan_in)
        self.weight = scale * jax.random.normal(key, (side, side, inputs, outputs))
        self.bias = jnp.zeros(outputs)
        self.stride, self.residual = stride, residual

    def __call__(self, x: Float[Array, "N h w c"]) -> Float[Array, "N h2 w2 c2"]:
        inside, side, stride = x, self.weight.shape[0], self.stride
        if self.residual:
            border = (side // 2, side // 2)
            inside = jnp.pad(jax.nn.relu(x), ((0, 0), border, border, (0, 0)))
        # A product of patches: XLA's convolutions take four times as long under a vmap on the CPU.
        spans = [(length - side) // stride * stride + 1 for length in inside.shape[1:3]]
        patches = [
            inside[:, i : i + spans[0] : stride, j : j + spans[1] : stride]
            for i in range(side)
            for j in range(side)
        ]
        weight = self.weight.reshape(-1, self.weight.shape[-1])
        found = jnp.concatenate(patches, axis=-1) @ weight
        found = found + self.bias
        return x + found if self.residual else jax.nn.relu(found)

    def size(self, length: int) -> int:
        """Return the length of a side of the output, for that of the input."""
        return length if self.residual else (length - self.weight.shape[0]) // self.stride + 1


class ImageLinear(eqx.Module):
    """Linear layer on the convolutions of an image, which comes as one vector of pixels."""

    convolutions: tuple[Convolution, ...]
    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]
    image: Image = eqx.field(static=True)

    def __init__(self, image: Image, outputs: int, *, scale: float = 1.0, key: Key) -> None:
        self.image = image
        height, width, channels = image.shape
        made = []
        for index, (filters, side, stride, residual) in enumerate(FILTERS[image.layers]):
            key_now = jax.random.fold_in(key, index)
            # An image that became smaller than a filter is read by a filter of its size.
            side = min(side, height, width) if not residual else side
            made.append(Convolution(channels, filters, side, stride, residual, key=key_now))
            height, width, channels = made[-1].size(height), made[-1].size(width), filters
        self.convolutions = tuple(made)
        inputs = height * width * channels
        self.weight = scale * jax.random.normal(key, (inputs, outputs)) / np.sqrt(inputs)
        self.bias = jnp.zeros(outputs)

    def __call__(self, pixels: Float[Array, "*batch pixels"]) -> Float[Array, "*batch outputs"]:
        lead = pixels.shape[:-1]
        x = pixels.reshape(-1, *self.image.shape)
        for convolution in self.convolutions:
            x = convolution(x)
        found = x.reshape(x.shape[0], -1) @ self.weight + self.bias
        return found.reshape(*lead, -1)
