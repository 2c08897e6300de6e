"""Networks of actors and critics, by what a policy sees of a state."""

import dataclasses
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.nn import MLP, Activation, Linear, mean_one
from embrl.core.types import Key


@dataclasses.dataclass(frozen=True)
class JointFeatures:
    """phi(s), and the state's own numbers after it."""

    m: int
    """How many numbers phi(s) has."""
    p: int
    """How many the state has."""


Features = int | Sequence[int] | JointFeatures
"""The length of a vector, the factors of a discrete observation, or both of a state."""


class Joined(eqx.Module):
    """A network of both, as in TD7 (Fujimoto et al. 2023): what stands beside phi(s)
    goes through a layer of its own, whose outputs are brought to a mean absolute value of 1.

    Without it the larger of the two drowns the other, and the action with it: SAC on Ant-v5 learned
    little beside any m numbers of mean square 1, be they of a random network.
    """

    own: Linear
    beside: Float[Array, "d width"] | None
    """The same layer's weights of the second input, if there is one."""
    network: MLP
    """Of phi(s) and of that layer's outputs."""
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
        """
        Arguments:
            hidden: at least one layer; the first is as wide as the layer before it.
        """
        key_own, key_beside, key_network = jax.random.split(key, 3)
        fan_in, width = inputs.p + beside, hidden[0]
        self.own = Linear(inputs.p, width, scale=float(np.sqrt(inputs.p / fan_in)), key=key_own)
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
        """Those after the first."""
        return self.network.layers

    def __call__(
        self, x: Array, beside: Float[Array, "*#batch d"] | None = None
    ) -> Float[Array, "*batch outputs"]:
        phi, own = x[..., : self.m], self.own(x[..., self.m :])
        if self.beside is not None:
            assert beside is not None
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
    """Layers of what a policy sees; the rest as `MLP` has it."""
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
