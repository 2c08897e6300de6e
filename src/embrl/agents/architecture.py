"""The shape of an agent, and its weights as one vector."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.errors import EmbrlError, UnknownNameError

AnyArray = TypeVar("AnyArray", Array, np.ndarray)

ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}


class Layer(NamedTuple):
    """`x W + b`."""

    weight: Float[Array, "*batch inputs outputs"]
    bias: Float[Array, "*batch outputs"]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A multilayer perceptron from an observation to a logit for each action.

    An agent is a vector of weights w of length `size`: layer after layer, the weight matrix
    `[inputs, outputs]` row by row, then the bias.

    Raises:
        EmbrlError: a width below 1, or an unknown activation.
    """

    inputs: int
    """Of a vector that is observed."""
    hidden: tuple[int, ...]
    outputs: int
    """Actions."""
    activation: str = "tanh"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise UnknownNameError("activation", self.activation, ACTIVATIONS)
        if min(self.widths) < 1:
            raise EmbrlError(f"an agent of widths {self}: each must be 1 or more")

    def __str__(self) -> str:
        """As people write it: `4-32-32-2 tanh`."""
        return f"{'-'.join(map(str, self.widths))} {self.activation}"

    @property
    def widths(self) -> tuple[int, ...]:
        """Of all layers, the input's first."""
        return (self.inputs, *self.hidden, self.outputs)

    @property
    def size(self) -> int:
        """Weights of an agent, biases included."""
        return sum((n + 1) * m for n, m in zip(self.widths, self.widths[1:], strict=False))

    def layers(self, w: AnyArray) -> tuple[Layer, ...]:
        """The layers of agents `[*batch, size]`, as views where that is possible.

        Raises:
            EmbrlError: w has another length.
        """
        if w.shape[-1:] != (self.size,):
            raise EmbrlError(f"an agent {self} has {self.size} weights, not {w.shape[-1:]}")
        layers, at = [], 0
        for inputs, outputs in zip(self.widths, self.widths[1:], strict=False):
            middle, end = at + inputs * outputs, at + (inputs + 1) * outputs
            weight = w[..., at:middle].reshape(*w.shape[:-1], inputs, outputs)
            layers.append(Layer(weight, w[..., middle:end]))  # type: ignore[arg-type]
            at = end
        return tuple(layers)

    def flat(self, layers: Sequence[Layer]) -> Float[Array, "*batch size"]:
        """The vectors of weights that `layers` are of: exactly those.

        Raises:
            EmbrlError: the layers are of another shape.
        """
        parts, widths = [], self.widths
        if len(layers) != len(widths) - 1:
            raise EmbrlError(f"an agent {self} has {len(widths) - 1} layers, not {len(layers)}")
        for number, (weight, bias) in enumerate(layers):
            wanted = widths[number : number + 2]
            if weight.shape[-2:] != wanted or bias.shape[-1:] != wanted[1:]:
                raise EmbrlError(
                    f"layer {number} of an agent {self} is {wanted}, not {weight.shape[-2:]} "
                    f"with a bias of {bias.shape[-1:]}"
                )
            parts += [weight.reshape(*weight.shape[:-2], math.prod(wanted)), bias]
        concatenate = np.concatenate if isinstance(parts[0], np.ndarray) else jnp.concatenate
        return concatenate(parts, axis=-1)  # type: ignore[return-value]

    def logits(
        self, w: Float[Array, "*batch size"], x: Float[Array, "*batch steps inputs"]
    ) -> Float[Array, "*batch steps outputs"]:
        """What each agent makes of its own rows of observations."""
        return self.activities(w, x)[-1]

    def activities(
        self, w: Float[Array, "*batch size"], x: Float[Array, "*batch steps inputs"]
    ) -> tuple[Float[Array, "*batch steps width"], ...]:
        """Of every hidden layer, after its activation, and the logits at last."""
        activation, found = ACTIVATIONS[self.activation], []
        for number, layer in enumerate(self.layers(w)):
            x = x @ layer.weight + layer.bias[..., None, :]
            if number < len(self.hidden):
                x = activation(x)
            found.append(x)
        return tuple(found)
