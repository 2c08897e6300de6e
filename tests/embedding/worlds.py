"""A tiny world whose embedding can be foretold, and the models' arithmetic in NumPy."""

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from embrl.embedding.model import JointEmbedding, ModelConfig
from embrl.networks import MLP, FactorLinear, Linear
from embrl.types import Key, Transition

STATES = 8
MOVES = np.array([1, 1, -1, -1, 0, 0])
"""What each action does on the ring: every action has a duplicate."""


def ring(states: np.ndarray | None = None) -> Transition:
    """Every action once in each of `states` of a ring."""
    chosen = np.arange(STATES) if states is None else states
    state, action = (part.ravel() for part in np.meshgrid(chosen, np.arange(len(MOVES))))
    nothing = jnp.zeros(state.shape, bool)
    return Transition(
        observation=jnp.asarray(state, jnp.int32),
        action=jnp.asarray(action, jnp.int32),
        reward=jnp.zeros(state.shape),
        next_observation=jnp.asarray((state + MOVES[action]) % STATES, jnp.int32),
        terminated=nothing,
        truncated=nothing,
    )


def ring_model(config: ModelConfig, key: Key) -> JointEmbedding:
    """An untrained model of the ring."""
    return JointEmbedding(spaces.Discrete(STATES), spaces.Discrete(len(MOVES)), config, key=key)


def network(mlp: MLP, x: np.ndarray) -> np.ndarray:
    """A network of vectors with ReLU between its layers, in float64."""
    for index, layer in enumerate(mlp.layers):
        assert isinstance(layer, Linear)
        x = np.maximum(x, 0.0) if index else x
        x = x @ np.asarray(layer.weight, np.float64) + np.asarray(layer.bias, np.float64)
    return x


def embedded(model: JointEmbedding, observation: np.ndarray) -> np.ndarray:
    """phi without hidden layers: rows of a table, summed over factors, through a tanh."""
    [rows] = model.phi.network.layers
    assert isinstance(rows, FactorLinear)
    table = np.asarray(rows.table, np.float64)
    parts = np.split(table, np.cumsum(rows.factors)[:-1])
    values = observation.reshape(len(observation), -1)
    summed = sum(part[values[:, index]] for index, part in enumerate(parts))
    return np.tanh(summed + np.asarray(rows.bias, np.float64))
