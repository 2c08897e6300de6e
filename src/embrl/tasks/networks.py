"""Networks of tasks: B(x), features of states; F(x, e, z), the features that lie ahead."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.layers import Linear
from embrl.core.nn import MLP
from embrl.core.types import Key
from embrl.tasks.config import TasksConfig
from embrl.tasks.next_states import NextStates

RANDOM_FEATURES = 1024
"""Hidden units of B where they are random (`embrl.tasks.laplacian`)."""


class TaskNetworks(eqx.Module):
    """Forward and backward features of one embedding (Touati & Ollivier 2021).

    For every task z, with the policy that maximises `F(x, e, z) . z`,

        F(x, e, z) . B(x') rho(x')  =  sum_t gamma^t P(x_t+1 = x' | x_0 = x, e_0 = e, policy of z)

    with rho the distribution of the states in the data. So `z = E_rho[r(x) B(x)]` makes
    `F(x, e, z) . z` the value of action e for the reward r.
    """

    forward: MLP | NextStates
    """F: of the state and the task side by side, and the action beside them; or of known states."""
    backward: MLP
    """B."""
    sees_task: bool = eqx.field(static=True)
    """True if F depends on the task, whose policy it is of; else it is of the data's policy."""

    def __init__(self, m: int, d: int, config: TasksConfig, *, states: int = 0, key: Key) -> None:
        """Initialise both networks.

        Args:
            m: dimensions of x, a state.
            d: dimensions of e, an action.
            config: settings.
            states: number of known states, if F is of those.
            key: random key.
        """
        key_forward, key_backward = jax.random.split(key)
        hidden, k = (config.hidden, config.hidden), config.dim
        self.sees_task = config.features == "forward_backward"
        if not self.sees_task:
            wide = (RANDOM_FEATURES,)
            self.backward = MLP(m, wide, k, activation=jax.nn.relu, key=key_backward)
            self.forward = NextStates(m, d, config, states, key=key_forward)
            return
        network = MLP(m + k, hidden, k, beside=d, activation=jax.nn.relu, key=key_forward)
        # States and actions have fewer numbers than tasks, and count as much.
        first, beside = network.layers[0].weight, network.beside  # type: ignore[union-attr]
        self.forward = eqx.tree_at(
            lambda net: (net.layers[0].weight, net.beside),
            network,
            (first.at[:m].multiply(np.sqrt(k / m)), beside * (2 * np.sqrt(k / d))),
        )
        self.backward = MLP(m, hidden, k, activation=jax.nn.relu, key=key_backward)

    def F(
        self, x: Float[Array, "*#batch m"], e: Float[Array, "*#batch d"], z: Float[Array, "*#b k"]
    ) -> Float[Array, "*batch k"]:
        """Return the forward features of actions e in states x for tasks z."""
        if not self.sees_task:
            return self.forward(x, e)
        shape = jnp.broadcast_shapes(x.shape[:-1], z.shape[:-1])
        pair = [jnp.broadcast_to(part, (*shape, part.shape[-1])) for part in (x, z)]
        return self.forward(jnp.concatenate(pair, axis=-1), e)

    def best(
        self, x: Float[Array, "N m"], e: Float[Array, "C d"], z: Float[Array, "N k"]
    ) -> Float[Array, "N k"]:
        """Return the forward features of the action with the largest `F . z` in each state."""
        assert isinstance(self.forward, MLP)
        *hidden, last = self.forward.layers
        assert isinstance(last, Linear)
        network = eqx.tree_at(lambda net: net.layers, self.forward, tuple(hidden))
        found = jax.nn.relu(network(jnp.concatenate([x, z], -1)[:, None], e))
        # F of every action would cost more than the layers before: z is put into the last one.
        values = jnp.einsum("nch,nh->nc", found, z @ last.weight.T)
        chosen = values.argmax(-1)[:, None, None]
        return last(jnp.take_along_axis(found, chosen, axis=1)[:, 0])

    def B(self, x: Float[Array, "*batch m"]) -> Float[Array, "*batch k"]:
        """Return the features of states."""
        return self.backward(x)


def unit_task(z: Float[Array, "*batch k"]) -> Float[Array, "*batch k"]:
    """Return tasks of length sqrt(k): the length of a task changes no policy."""
    k = z.shape[-1]
    return z * jnp.sqrt(k) / jnp.maximum(jnp.linalg.norm(z, axis=-1, keepdims=True), 1e-8)
