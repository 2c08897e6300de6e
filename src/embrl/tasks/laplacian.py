"""Tasks by the policy of the data: eigenfunctions of its walk, and what one action changes.

B has a hidden layer of random weights, so that it is found by linear algebra, and F is regression:
nothing is bootstrapped. In exchange the values are those of the policy that took the data, and a
task's policy is one step of improvement on it.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from embrl.core.nn import adam
from embrl.core.types import Key
from embrl.embedding.pretraining import cosine_decay
from embrl.tasks.config import TasksConfig
from embrl.tasks.networks import EmbeddedSteps, TaskNetworks

MOST = 20_000
"""Transitions at most that B is computed from."""
SHARPNESS = 2.0
"""Scale of the random weights of B."""
SMALLEST = 1e-6
"""Share of the largest second moment of hidden features below which directions are rounding."""
STEPS_PER_CALL = 200
"""Gradient steps between two reports."""


def learn_laplacian(
    steps: EmbeddedSteps,
    config: TasksConfig,
    key: Key,
    on_progress: Callable[[int, int, float], None],
) -> TaskNetworks:
    """Compute B, and train F.

    With `G = sum_t gamma^t P^t B` of the policy of the data, F is `E[G(x') | x, e] - G(x)`: the
    value of an action against that of its state, for a reward `B . z`.

    Args:
        steps: transitions.
        config: settings.
        key: random key.
        on_progress: called now and then with the steps done, all steps, and the loss.
    """
    key_new, key_bias, key_steps = jax.random.split(key, 3)
    networks = TaskNetworks(steps.x.shape[-1], steps.e.shape[-1], config, key=key_new)
    first = networks.backward.layers[0]
    assert isinstance(first.weight, jax.Array)  # type: ignore[union-attr]
    weight = SHARPNESS * np.asarray(first.weight)  # type: ignore[union-attr]
    bias = np.asarray(jax.random.normal(key_bias, first.bias.shape)) * SHARPNESS

    def hidden(x: np.ndarray) -> np.ndarray:
        return np.maximum(x @ weight + bias, 0.0)

    now, after = hidden(np.asarray(steps.x[:MOST])), hidden(np.asarray(steps.x_next[:MOST]))
    going_on = 1.0 - np.asarray(steps.terminated[:MOST], np.float64)
    last, successor = eigenfunctions(now, after, going_on, config)
    backward = _with_layer(networks.backward, 0, weight, bias)
    backward = _with_layer(backward, 1, last, np.zeros(config.dim))
    into = np.asarray(last @ successor, np.float32)
    change = np.concatenate(
        [
            hidden(np.asarray(x_next)) @ into * (1.0 - np.asarray(ended)[:, None])
            - hidden(np.asarray(x)) @ into
            for x, x_next, ended in _blocks(steps)
        ]
    ).astype(np.float32)
    spread = change.std(0) + 1e-8
    forward = _regress(networks.forward, steps, change / spread, config, key_steps, on_progress)
    layer = forward.layers[-1]
    forward = _with_layer(forward, -1, layer.weight * spread, layer.bias * spread)
    return eqx.tree_at(lambda n: (n.forward, n.backward), networks, (forward, backward))


def _with_layer(network: Any, index: int, weight: Any, bias: Any) -> Any:
    """Return a network with other numbers in one layer."""
    return eqx.tree_at(
        lambda net: (net.layers[index].weight, net.layers[index].bias),
        network,
        (jnp.asarray(weight, jnp.float32), jnp.asarray(bias, jnp.float32)),
    )


def eigenfunctions(
    now: Float[np.ndarray, "N D"],
    after: Float[np.ndarray, "N D"],
    going_on: Float[np.ndarray, " N"],
    config: TasksConfig,
) -> tuple[Float[np.ndarray, "D k"], Float[np.ndarray, "k k"]]:
    """Return weights W of the slowest features, and their sums over time.

    The features `B = h W` are orthonormal on the data, and those that change least from a state to
    the next: eigenfunctions of the symmetric part of the walk. `G = B S` solves
    `G = B + gamma P G` by least squares on the data (LSTD, Bradtke & Barto 1996).

    Args:
        now: hidden features of states.
        after: those of the next states.
        going_on: 0 where the episode terminated, else 1.
        config: settings.

    Returns:
        W and S.
    """
    count, now, after = len(now), now.astype(np.float64), after.astype(np.float64)
    both = (now.T @ now + after.T @ after) / (2 * count)
    cross = now.T @ after / count
    values, vectors = np.linalg.eigh(both)
    keep = values > values[-1] * SMALLEST
    whitening = vectors[:, keep] / np.sqrt(values[keep])
    walk = whitening.T @ (cross + cross.T) @ whitening / 2
    slowest = np.linalg.eigh(walk)[1][:, ::-1][:, : config.dim]
    weights = np.zeros((now.shape[1], config.dim))
    weights[:, : slowest.shape[1]] = whitening @ slowest
    b, b_after = now @ weights, (after @ weights) * going_on[:, None]
    moment = b.T @ b / count
    ahead = b.T @ b_after / count
    successor = np.linalg.lstsq(moment - config.gamma * ahead, moment, rcond=1e-8)[0]
    return weights, successor


def _blocks(steps: EmbeddedSteps, size: int = 16_384):
    for start in range(0, len(steps.x), size):
        rows = slice(start, start + size)
        yield steps.x[rows], steps.x_next[rows], steps.terminated[rows]


def _regress(
    network: Any,
    steps: EmbeddedSteps,
    target: Float[np.ndarray, "N k"],
    config: TasksConfig,
    key: Key,
    on_progress: Callable[[int, int, float], None],
) -> Any:
    """Return the network from states and actions to a target, by least squares."""
    arrays = (jnp.asarray(steps.x), jnp.asarray(steps.e), jnp.asarray(target))
    state = (network, adam().init(eqx.filter(network, eqx.is_array)))
    done, total = 0, config.gradient_steps
    chunk = min(STEPS_PER_CALL, total)
    while done < total:
        state, losses = _train(state, arrays, key, done + jnp.arange(chunk), config)
        done = min(done + chunk, total)
        on_progress(done, total, float(np.asarray(losses).mean()))
    return state[0]


@eqx.filter_jit
def _train(
    state: tuple[Any, optax.OptState],
    arrays: tuple[Array, Array, Array],
    key: Key,
    numbers: Array,
    config: TasksConfig,
) -> tuple[tuple[Any, optax.OptState], Float[Array, " steps"]]:
    def loss(network: Any, x: Array, e: Array, target: Array) -> Array:
        return ((network(x, e) - target) ** 2).mean()

    def step(state: tuple, number: Array) -> tuple[tuple, Array]:
        network, memory = state
        drawn = jax.random.fold_in(key, number)
        rows = jax.random.randint(drawn, (config.batch_size,), 0, len(arrays[0]))
        value, gradient = eqx.filter_value_and_grad(loss)(network, *(a[rows] for a in arrays))
        update, memory = adam().update(gradient, memory)
        rate = cosine_decay(config.learning_rate, config.gradient_steps, number)
        return (
            eqx.apply_updates(network, jax.tree.map(lambda u: -rate * u, update)),
            memory,
        ), value

    return jax.lax.scan(step, state, numbers)
