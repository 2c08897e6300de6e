"""Model of one step in an embedding: which known state an action leads to."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from embrl.core.nn import MLP, adam
from embrl.core.types import Key
from embrl.embedding.pretraining import cosine_decay
from embrl.tasks.config import TasksConfig
from embrl.tasks.gradient_steps import take_steps

POINTS = 32
"""Dimensions in which queries and states are compared."""


class EmbeddedSteps(NamedTuple):
    """Transitions in an embedding."""

    x: Float[Array, "N m"]
    """States."""
    e: Float[Array, "N d"]
    """Actions."""
    x_next: Float[Array, "N m"]
    """Next states."""
    terminated: Bool[Array, " N"]


class KnownStates(NamedTuple):
    """States that follow in the data: each once, or a sample."""

    x: Float[np.ndarray, "N m"]
    """The states."""
    weights: Float[np.ndarray, " N"]
    """Fractions of the data that they stand for."""
    terminated: Float[np.ndarray, " N"]
    """Fractions of the transitions into each that ended an episode."""


class NextStates(eqx.Module):
    """F as the mean, over known states, of what lies ahead of them.

        F(x, e) = sum_i p_i(x, e) G_i,    p_i = softmax_i(query(x, e) . keys(x_i) + log w_i)

    with w the fractions of the data. Query and keys are learned by contrast: a transition's own
    next state against those of the others in its batch, whose optimum is the density of the next
    state over that of the data (Oord et al. 2018). No network has to learn G again, which differs
    sharply between neighbouring states.
    """

    query: MLP
    keys: MLP
    points: Float[Array, "N p"]
    """Keys of the known states."""
    log_weights: Float[Array, " N"]
    ahead: Float[Array, "N k"]
    """G of the known states."""

    def __init__(self, m: int, d: int, config: TasksConfig, states: int, *, key: Key) -> None:
        key_query, key_keys = jax.random.split(key)
        hidden = (config.hidden, config.hidden)
        relu = jax.nn.relu
        self.query = MLP(m, hidden, POINTS, beside=d, activation=relu, key=key_query)
        self.keys = MLP(m, (config.hidden,), POINTS, activation=relu, key=key_keys)
        self.points = jnp.zeros((states, POINTS))
        self.log_weights = jnp.zeros(states)
        self.ahead = jnp.zeros((states, config.dim))

    def __call__(self, x: Float[Array, "*#b m"], e: Float[Array, "*#b d"]) -> Float[Array, "*b k"]:
        """Return F of actions e in states x."""
        logits = self.query(x, e) @ self.points.T + self.log_weights
        return jax.nn.softmax(logits, axis=-1) @ self.ahead


def learn_next_states(
    network: NextStates,
    steps: EmbeddedSteps,
    known: KnownStates,
    ahead: Float[np.ndarray, "N k"],
    config: TasksConfig,
    key: Key,
    on_progress: Callable[[int, int, float], None],
) -> NextStates:
    """Train query and keys, and put the known states in.

    Args:
        network: as initialised.
        steps: transitions.
        known: states over which means are taken.
        ahead: what lies ahead of each of them.
        config: settings.
        key: random key.
        on_progress: called now and then with the steps done, all steps, and the loss.
    """
    state = (network, adam().init(eqx.filter(network, eqx.is_array)))
    state = take_steps(
        lambda state, numbers: _train(state, steps, key, numbers, config),
        state,
        config,
        on_progress,
    )
    network = state[0]
    found = (
        network.keys(jnp.asarray(known.x, jnp.float32)),
        jnp.log(jnp.asarray(known.weights, jnp.float32)),
        jnp.asarray(ahead, jnp.float32),
    )
    return eqx.tree_at(lambda n: (n.points, n.log_weights, n.ahead), network, found)


def contrast(network: NextStates, batch: EmbeddedSteps) -> Float[Array, ""]:
    """Return the cross-entropy of each own next state among all of the batch, in nats."""
    logits = network.query(batch.x, batch.e) @ network.keys(batch.x_next).T
    return -jnp.diag(jax.nn.log_softmax(logits, axis=-1)).mean()


@eqx.filter_jit
def _train(
    state: tuple[NextStates, optax.OptState],
    steps: EmbeddedSteps,
    key: Key,
    numbers: Array,
    config: TasksConfig,
) -> tuple[tuple[NextStates, optax.OptState], Float[Array, " steps"]]:
    def step(state: tuple, number: Array) -> tuple[tuple, Array]:
        network, memory = state
        drawn = jax.random.fold_in(key, number)
        rows = jax.random.randint(drawn, (config.batch_size,), 0, len(steps.x))
        batch = jax.tree.map(lambda column: column[rows], steps)
        value, gradient = eqx.filter_value_and_grad(contrast)(network, batch)
        update, memory = adam().update(gradient, memory)
        rate = cosine_decay(config.learning_rate, config.gradient_steps, number)
        update = jax.tree.map(lambda u: -rate * u, update)
        return (eqx.apply_updates(network, update), memory), value

    return jax.lax.scan(step, state, numbers)
