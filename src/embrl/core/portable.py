"""Networks and boxes of numbers as portable steps, which need no JAX."""

import jax
import jax.numpy as jnp
import numpy as np

from embrl.core.convolutions import ImageLinear
from embrl.core.errors import EmbrlError
from embrl.core.layers import FactorLinear, FirstLayer, MixedLinear
from embrl.core.nn import MLP
from embrl.core.rings import RingLinear
from embrl.core.scaling import FARTHEST, RawBox
from embrl.portable.steps import (
    Added,
    Affine,
    Beside,
    Cast,
    Chain,
    Clipped,
    Convolved,
    FactorRows,
    Original,
    PortableStep,
    Relu,
    Reshaped,
    RingConvolved,
    Scaled,
    Slice,
    Squashed,
    Standardised,
    Tanh,
    Unstandardised,
)

ACTIVATION_STEPS: tuple[tuple[object, PortableStep], ...] = (
    (jnp.tanh, Tanh()),
    (jax.nn.relu, Relu()),
)
"""Activations in JAX, and their steps."""

LARGEST = np.finfo(np.float32).max
"""Bound of coordinates that are left alone, however far they go."""


def mlp_steps(network: MLP) -> tuple[PortableStep, ...]:
    """Return the steps of a network's layers, without a second input.

    Raises:
        EmbrlError: If it has another activation than tanh or ReLU.
    """
    steps: list[PortableStep] = []
    for index, layer in enumerate(network.layers):
        if index:
            steps.append(_activation(network))
        steps.append(layer_step(layer))
    return tuple(steps)


def layer_step(layer: FirstLayer) -> PortableStep:
    """Return the step of a network's layer."""
    if isinstance(layer, FactorLinear):
        offsets = np.cumsum((0, *layer.factors[:-1]), dtype=np.int32)
        return FactorRows(plain(layer.table), plain(layer.bias), offsets)
    if isinstance(layer, ImageLinear):
        return Chain(_image_steps(layer))
    if isinstance(layer, RingLinear):
        return Chain(_ring_steps(layer))
    if isinstance(layer, MixedLinear):
        k = len(layer.rows.factors)
        none = np.zeros(layer.weight.shape[-1], np.float32)
        rows = Chain((Slice(0, k), Cast("int32"), layer_step(layer.rows)))
        return Added((rows, Chain((Slice(k), Affine(plain(layer.weight), none)))))
    return Affine(plain(layer.weight), plain(layer.bias))


def _image_steps(layer: ImageLinear) -> tuple[PortableStep, ...]:
    """Return the steps from the pixels of an image, as one vector, to a layer's output."""
    (height, width, channels), steps = layer.image.shape, []
    for convolution in layer.convolutions:
        side, _, _, filters = convolution.weight.shape
        weight = plain(convolution.weight).reshape(-1, filters)
        bias, stride, residual = plain(convolution.bias), convolution.stride, convolution.residual
        steps.append(Convolved(weight, bias, side, stride, residual))
        height, width, channels = convolution.size(height), convolution.size(width), filters
    pixels, last = layer.image.pixels, height * width * channels
    if steps:
        begin, end = Reshaped((pixels,), layer.image.shape), (height, width, channels)
        steps = [begin, *steps, Reshaped(end, (last,))]
    return (*steps, Affine(plain(layer.weight), plain(layer.bias)))


def _ring_steps(layer: RingLinear) -> tuple[PortableStep, ...]:
    """Return the steps from a vector that begins with a ring to a layer's output."""
    readings, steps = layer.ring.readings, []
    length, channels = readings, 1
    for part in layer.convolutions:
        steps.append(RingConvolved(plain(part.weight), plain(part.bias), part.width, part.stride))
        length, channels = -(-length // part.stride), part.bias.shape[-1]
    begin, end = Reshaped((readings,), (readings, 1)), (length, channels)
    around = Chain((Slice(0, readings), begin, *steps, Reshaped(end, (length * channels,))))
    rest = Chain((Slice(readings),))
    parts = (around, rest) if layer.ring.numbers else (around,)
    return (Beside(parts), Affine(plain(layer.weight), plain(layer.bias)))


def scaled_steps(box: RawBox) -> tuple[PortableStep, ...]:
    """Return the steps from a box of observations or actions to a network's input."""
    low, high, ranged = box.limits()
    if ranged.all():
        return (Scaled(low, high, ranged, None),)
    if box.scale is None:
        far = np.full(len(low), LARGEST)
        return (
            Scaled(
                low, high, ranged, Chain((Clipped(-far, far) if box.unchanged else Squashed(),))
            ),
        )
    far = np.full(len(low), FARTHEST, np.float32)
    standardised = Standardised(plain(box.scale.centre), plain(box.scale.width))
    return (Scaled(low, high, ranged, Chain((standardised, Clipped(-far, far)))),)


def original_steps(box: RawBox) -> tuple[PortableStep, ...]:
    """Return the steps from a network's output back to the box, and into its bounds."""
    low, high, ranged = box.limits()
    other = None
    if not ranged.all():
        other = Chain(())
        if box.scale is not None:
            other = Chain((Unstandardised(plain(box.scale.centre), plain(box.scale.width)),))
    bounds = (np.array(side, np.float32) for side in (box.low, box.high))
    return (Original(low, high, ranged, other), Clipped(*bounds))


def decoder_chain(network: MLP | None, box: RawBox) -> Chain:
    """Return the chain from points to continuous actions, by the network that inverts g, if any."""
    steps = () if network is None else mlp_steps(network)
    return Chain((*steps, *original_steps(box)))


def plain(array: object) -> np.ndarray:
    """Return a NumPy array."""
    return np.asarray(array)


def _activation(network: MLP) -> PortableStep:
    for known, step in ACTIVATION_STEPS:
        if network.activation is known:
            return step
    raise EmbrlError(f"activation must be tanh or relu outside of JAX, got {network.activation}")
