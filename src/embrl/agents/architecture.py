"""Architecture of an agent, and its weights as one vector."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.errors import EmbrlError, UnknownNameError
from embrl.core.nn import ACTIVATIONS

AnyArray = TypeVar("AnyArray", Array, np.ndarray)


class Layer(NamedTuple):
    """Linear layer `x W + b`."""

    weight: Float[Array, "*batch inputs outputs"]
    bias: Float[Array, "*batch outputs"]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Multilayer perceptron from an observation to one logit per action.

    An agent is a vector of `size` weights: layer after layer, the weight matrix `[inputs, outputs]`
    row by row, then the bias.

    Raises:
        EmbrlError: a width is below 1, or the activation is unknown.
    """

    inputs: int
    """Numbers in an observation."""
    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    outputs: int
    """Number of actions."""
    activation: str = "tanh"
    """Activation of the hidden layers: `tanh` or `relu`."""

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise UnknownNameError("activation", self.activation, ACTIVATIONS)
        if min(self.widths) < 1:
            raise EmbrlError(f"widths of an agent must be 1 or more, got {self}")

    def __str__(self) -> str:
        """Return the short form, for example `4-32-32-2 tanh`."""
        return f"{'-'.join(map(str, self.widths))} {self.activation}"

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of all layers, the input first."""
        return (self.inputs, *self.hidden, self.outputs)

    @property
    def size(self) -> int:
        """Number of weights of an agent, biases included."""
        return sum((n + 1) * m for n, m in zip(self.widths, self.widths[1:], strict=False))

    def layers(self, w: AnyArray) -> tuple[Layer, ...]:
        """Split agents `[*batch, size]` into layers, as views where possible.

        Raises:
            EmbrlError: `w` has another length.
        """
        if w.shape[-1:] != (self.size,):
            raise EmbrlError(
                f"weights must be [..., {self.size}] for an agent {self}, got {list(w.shape)}"
            )
        layers, at = [], 0
        for inputs, outputs in zip(self.widths, self.widths[1:], strict=False):
            middle, end = at + inputs * outputs, at + (inputs + 1) * outputs
            weight = w[..., at:middle].reshape(*w.shape[:-1], inputs, outputs)
            layers.append(Layer(weight, w[..., middle:end]))  # type: ignore[arg-type]
            at = end
        return tuple(layers)

    def flat(self, layers: Sequence[Layer]) -> Float[Array, "*batch size"]:
        """Concatenate layers into vectors of weights; the inverse of `layers`.

        Raises:
            EmbrlError: the layers do not match the architecture.
        """
        parts, widths = [], self.widths
        if len(layers) != len(widths) - 1:
            raise EmbrlError(
                f"layers must be {len(widths) - 1} for an agent {self}, got {len(layers)}"
            )
        for number, (weight, bias) in enumerate(layers):
            wanted = widths[number : number + 2]
            if weight.shape[-2:] != wanted or bias.shape[-1:] != wanted[1:]:
                raise EmbrlError(
                    f"layer {number} of an agent {self} must be {wanted}, got {weight.shape[-2:]} "
                    f"with a bias of {bias.shape[-1:]}"
                )
            parts += [weight.reshape(*weight.shape[:-2], math.prod(wanted)), bias]
        concatenate = np.concatenate if isinstance(parts[0], np.ndarray) else jnp.concatenate
        return concatenate(parts, axis=-1)  # type: ignore[return-value]

    def logits(
        self, w: Float[Array, "*batch size"], x: Float[Array, "*batch steps inputs"]
    ) -> Float[Array, "*batch steps outputs"]:
        """Return the logits of each agent for its own observations."""
        return self.activities(w, x)[-1]

    def activities(
        self, w: Float[Array, "*batch size"], x: Float[Array, "*batch steps inputs"]
    ) -> tuple[Float[Array, "*batch steps width"], ...]:
        """Return each hidden layer's activations and, last, the logits."""
        activation, found = ACTIVATIONS[self.activation], []
        for number, layer in enumerate(self.layers(w)):
            x = x @ layer.weight + layer.bias[..., None, :]
            if number < len(self.hidden):
                x = activation(x)
            found.append(x)
        return tuple(found)
