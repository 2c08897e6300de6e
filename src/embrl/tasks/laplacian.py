"""Tasks by the policy of the data: eigenfunctions of its walk, and where one action leads.

B has a hidden layer of random weights, so that it is found by linear algebra; F is the mean of what
lies ahead of the next states that a model of one step expects. Nothing is bootstrapped. In exchange
the values are those of the policy that took the data, and a task's policy is one step of
improvement on it.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.types import Key
from embrl.tasks.config import TasksConfig
from embrl.tasks.networks import TaskNetworks
from embrl.tasks.next_states import EmbeddedSteps, KnownStates, NextStates, learn_next_states

MOST = 100_000
"""Transitions at most that B is computed from."""
SHARPNESS = 2.0
"""Scale of the random weights of B."""
SMALLEST = 1e-6
"""Share of the largest second moment of hidden features below which directions are rounding."""


def learn_laplacian(
    steps: EmbeddedSteps,
    known: KnownStates,
    config: TasksConfig,
    key: Key,
    on_progress: Callable[[int, int, float], None],
) -> TaskNetworks:
    """Compute B, and train F.

    With `G = sum_t gamma^t P^t B` of the policy of the data, F is `E[G(x') | x, e]`: the value of
    an action for a reward `B . z`.

    Args:
        steps: transitions.
        known: next states of the data, over which F takes means.
        config: settings.
        key: random key.
        on_progress: called now and then with the steps done, all steps, and the loss.
    """
    key_new, key_bias, key_steps = jax.random.split(key, 3)
    networks = TaskNetworks(
        steps.x.shape[-1], steps.e.shape[-1], config, states=len(known.x), key=key_new
    )
    first = networks.backward.layers[0]
    assert isinstance(first.weight, jax.Array)  # type: ignore[union-attr]
    weight = SHARPNESS * np.asarray(first.weight)  # type: ignore[union-attr]
    bias = np.asarray(jax.random.normal(key_bias, first.bias.shape)) * SHARPNESS

    def hidden(x: Array | np.ndarray) -> np.ndarray:
        return np.maximum(np.asarray(x) @ weight + bias, 0.0)

    going_on = 1.0 - np.asarray(steps.terminated[:MOST], np.float64)
    last, successor = eigenfunctions(
        hidden(steps.x[:MOST]), hidden(steps.x_next[:MOST]), going_on, config
    )
    backward = _with_layer(networks.backward, 0, weight, bias)
    backward = _with_layer(backward, 1, last, np.zeros(config.dim))
    b = hidden(known.x) @ last
    # Of states that end an episode, nothing follows.
    ahead = b + (1.0 - known.terminated[:, None]) * (b @ successor - b)
    assert isinstance(networks.forward, NextStates)
    forward = learn_next_states(
        networks.forward, steps, known, ahead, config, key_steps, on_progress
    )
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
