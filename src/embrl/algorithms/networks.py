"""Networks of actors and critics, for each kind of policy input."""

import dataclasses
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.errors import EmbrlError
from embrl.core.images import Image
from embrl.core.layers import FirstLayer, first_layer
from embrl.core.nn import MLP, Activation, mean_one
from embrl.core.products import InputSize, fan_in_of
from embrl.core.types import Key


@dataclasses.dataclass(frozen=True)
class JointFeatures:
    """Size of a joint input: phi(s), followed by the observation itself."""

    m: int
    """Dimensions of phi(s)."""
    p: int | Image
    """Length of the observation as a vector, or an image as one."""


Features = InputSize | JointFeatures
"""Size of an observation's features, or of a joint input."""


class Joined(eqx.Module):
    """Network of a joint input, as in TD7 (Fujimoto et al. 2023).

    The observation, and the action if there is one, pass through a linear layer whose outputs are
    scaled to a mean absolute value of 1. Without it the larger of the two inputs drowns the other:
    SAC on Ant-v5 learned little beside any m numbers of mean square 1, even those of a random
    network.
    """

    own: FirstLayer
    beside: Float[Array, "d width"] | None
    """Weights of the same layer for a second input, such as an action; None without one."""
    network: MLP
    """Layers on top of phi(s) and that layer's outputs."""
    m: int = eqx.field(static=True)

    def __init__(
        self,
        inputs: JointFeatures,
        hidden: Sequence[int],
        outputs: int,
        *,
        beside: int = 0,
        activation: Activation = jnp.tanh,
        last_scale: float = 1.0,
        key: Key,
    ) -> None:
        """Build the layers.

        Args:
            inputs: size of the joint input.
            hidden: at least one hidden layer; the linear layer has the width of the first.
            outputs: number of outputs.
            beside: dimensions of the second input; 0: there is none.
            activation: of the hidden layers.
            last_scale: scale of the last layer's initial weights.
            key: random key.
        """
        key_own, key_beside, key_network = jax.random.split(key, 3)
        length, width = fan_in_of(inputs.p), hidden[0]
        fan_in = length + beside
        self.own = first_layer(inputs.p, width, scale=float(np.sqrt(length / fan_in)), key=key_own)
        self.beside = None
        if beside:
            self.beside = jax.random.normal(key_beside, (beside, width)) / np.sqrt(fan_in)
        self.network = MLP(
            inputs.m + width,
            hidden,
            outputs,
            activation=activation,
            last_scale=last_scale,
            key=key_network,
        )
        self.m = inputs.m

    @property
    def layers(self) -> tuple:
        """Layers after the linear layer."""
        return self.network.layers

    def __call__(
        self, x: Array, beside: Float[Array, "*#batch d"] | None = None
    ) -> Float[Array, "*batch outputs"]:
        phi, own = x[..., : self.m], self.own(x[..., self.m :])
        if self.beside is not None:
            if beside is None:
                raise EmbrlError("this network needs a second input, such as an action")
            own = own + beside @ self.beside
        phi = jnp.broadcast_to(phi, (*own.shape[:-1], self.m))
        return self.network(jnp.concatenate([phi, mean_one(own)], axis=-1))


Network = MLP | Joined


def network(
    inputs: Features,
    hidden: Sequence[int],
    outputs: int,
    *,
    beside: int = 0,
    activation: Activation = jnp.tanh,
    last_scale: float = 1.0,
    key: Key,
) -> Network:
    """Return a network for a policy input; the arguments are those of `MLP`."""
    kind = Joined if isinstance(inputs, JointFeatures) else MLP
    return kind(
        inputs,  # type: ignore[arg-type]
        hidden,
        outputs,
        beside=beside,
        activation=activation,
        last_scale=last_scale,
        key=key,
    )
