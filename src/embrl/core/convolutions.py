"""Convolutions of images, and a linear layer on what they return."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.images import FILTERS, LUMINANCE, Image
from embrl.core.types import Key

TOGETHER = 16
"""Images that are read together: what convolutions make of them stays in a processor's cache."""


class Convolution(eqx.Module):
    """Convolution of images, channels first and images last, without bounds beyond their own.

    With the images last, products are of few rows and very many columns, which XLA computes faster
    on a CPU than the reverse.
    """

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

    def __call__(self, x: Float[Array, "c h w N"]) -> Float[Array, "c2 h2 w2 N"]:
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
        # A plain product of matrices: the gradient of jnp.tensordot takes half as long again.
        columns = jnp.concatenate(patches).reshape(len(weight), -1)
        found = (weight.T @ columns + self.bias[:, None]).reshape(-1, *patches[0].shape[1:])
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
        rows = pixels.reshape(-1, pixels.shape[-1])
        found = _few_at_a_time(self._read, rows) if self.convolutions else self._linear(rows)
        return found.reshape(*pixels.shape[:-1], -1)

    def _linear(self, x: Float[Array, "N inputs"]) -> Float[Array, "N outputs"]:
        return x @ self.weight + self.bias

    def _read(self, pixels: Float[Array, "N pixels"]) -> Float[Array, "N outputs"]:
        x = pixels.reshape(-1, *self.image.shape).transpose(3, 1, 2, 0)
        for convolution in self.convolutions:
            x = convolution(x)
        return self._linear(x.transpose(3, 1, 2, 0).reshape(len(pixels), -1))


def weights_of_colours(
    weight: Float[Array, "*sides grey outputs"],
) -> Float[Array, "*sides colours outputs"]:
    """Return weights that answer to colours as these do to their luminance.

    Those of each grey channel are shared out among its red, green and blue, so that training can
    tell the three apart from here on.
    """
    grey = weight.shape[-2]
    return jnp.repeat(weight, 3, axis=-2) * jnp.tile(jnp.array(LUMINANCE), grey)[:, None]


def _few_at_a_time(
    read: Callable[[Float[Array, "N pixels"]], Float[Array, "N outputs"]],
    rows: Float[Array, "N pixels"],
) -> Float[Array, "N outputs"]:
    """Return what is read of rows, `TOGETHER` at a time; gradients read them once more."""
    groups = len(rows) // TOGETHER
    if groups < 2:
        return read(rows)
    whole = rows[: groups * TOGETHER].reshape(groups, TOGETHER, -1)
    found = jax.lax.map(eqx.filter_checkpoint(read), whole).reshape(groups * TOGETHER, -1)
    rest = rows[groups * TOGETHER :]
    return jnp.concatenate([found, read(rest)]) if len(rest) else found
