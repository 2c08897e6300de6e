"""Tiny worlds whose embedding can be foretold, and the models' arithmetic in NumPy."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from embrl.core.layers import FactorLinear
from embrl.core.nn import MLP
from embrl.core.types import Key, Transition
from embrl.data.replay import Segments, draw_segments
from embrl.embedding.config import EmbeddingConfig, PretrainConfig
from embrl.embedding.encoders import ActionEncoder, StateEncoder
from embrl.embedding.model import JointEmbedding
from embrl.embedding.pretraining import FitState, Weights, fit, learning_rate, start
from embrl.embedding.transition import NONLINEAR_RATE, Move

STATES = 8
MOVES = np.array([1, 1, -1, -1, 0, 0])
"""What each action does on the ring: every action has a duplicate."""
ACTIONS = spaces.Discrete(len(MOVES))


def ring(states: np.ndarray | None = None) -> Transition:
    """Every action once in each of `states` of a ring."""
    chosen = np.arange(STATES) if states is None else states
    state, action = (part.ravel() for part in np.meshgrid(chosen, np.arange(len(MOVES))))
    return steps(state, action, (state + MOVES[action]) % STATES)


def steps(
    state: Any,
    action: Any,
    next_state: Any,
    reward: Any = 0.0,
    terminated: Any = False,
    truncated: Any = False,
) -> Transition:
    """Transitions of these numbers; whole ones become int32, others float32."""

    def number(value: Any) -> jax.Array:
        array = np.asarray(value)
        return jnp.asarray(array.astype(np.int32 if array.dtype.kind == "i" else np.float32))

    def of_each(value: Any, dtype: Any) -> jax.Array:
        return jnp.asarray(np.broadcast_to(np.asarray(value, dtype), np.shape(action)))

    return Transition(
        observation=number(state),
        action=number(action),
        reward=of_each(reward, np.float32),
        next_observation=number(next_state),
        terminated=of_each(terminated, bool),
        truncated=of_each(truncated, bool),
    )


def anywhere(space: spaces.Space, actions: int = 4, count: int = 20) -> Transition:
    """Transitions from anywhere to anywhere."""
    rng = np.random.default_rng(0)
    shape = (2, count, *(space.shape or ()))
    if isinstance(space, spaces.Box):
        before, after = rng.uniform(space.low, space.high, size=shape)
    else:
        high: Any = space.n if isinstance(space, spaces.Discrete) else space.nvec  # type: ignore[union-attr]
        before, after = rng.integers(high, size=shape)
    return steps(
        before,
        rng.integers(actions, size=count),
        after,
        rng.normal(size=count),
        rng.random(count) < 0.3,
    )


def in_lane(transitions: Transition) -> Transition:
    """`[N]` transitions as N steps of a single lane, `[N, 1]`."""
    return jax.tree.map(lambda column: column[:, None], transitions)


def batch(transitions: Transition) -> Segments:
    """`[N]` transitions as segments of one step, each once."""
    return Segments(
        jax.tree.map(lambda column: column[None], transitions),
        jnp.asarray(np.ones((1, *transitions.action.shape), bool)),
    )


def drawing(transitions: Transition, count: int) -> Callable[[Key], Segments]:
    """Single steps of these `[N]`, at random."""
    return lambda key: draw_segments(in_lane(transitions), key, count)


def ring_model(config: EmbeddingConfig, key: Key, **choices: Any) -> JointEmbedding:
    """An untrained model of the ring."""
    return JointEmbedding(spaces.Discrete(STATES), ACTIONS, config, key=key, **choices)


def trained(
    model: JointEmbedding,
    draw: Callable[[Key], Segments],
    weights: Weights,
    count: int,
    frozen: tuple[str, ...] = (),
) -> tuple[JointEmbedding, np.ndarray]:
    """A model after `count` steps, and their losses."""
    keys = jax.random.split(jax.random.key(0), count)
    rates = learning_rate(PretrainConfig(gradient_steps=count), jnp.arange(count))

    @eqx.filter_jit
    def run(state: FitState) -> tuple[FitState, jax.Array]:
        return fit(state, draw, keys, rates, weights=weights, frozen=frozen)

    state, losses = run(start(model))
    return state.model, np.asarray(losses)


def leaves(tree: Any) -> list[np.ndarray]:
    """All arrays."""
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


def between(points: Any) -> np.ndarray:
    """Distances of all pairs."""
    points = np.asarray(points, np.float64)
    return np.linalg.norm(points[:, None] - points, axis=-1)


def alike_lie_together(e: Any, effects: Any = MOVES) -> bool:
    """Whether actions that do the same lie closer, by half, than any two that do not."""
    distance, same = between(e), np.equal.outer(effects, effects)
    duplicates = distance[same & ~np.eye(len(effects), dtype=bool)]
    return duplicates.max() < 0.5 * distance[~same].min()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """In float64."""
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def cross_entropy(logits: np.ndarray, target: Any) -> float:
    """In nats, mean over the batch."""
    log_p = log_softmax(logits)
    return float(-log_p[np.arange(len(log_p)), np.asarray(target)].mean())


def network(mlp: MLP, x: np.ndarray, beside: np.ndarray | None = None) -> np.ndarray:
    """A network of vectors, or of factors, in float64."""
    activation = {jnp.tanh: np.tanh, jax.nn.relu: lambda z: np.maximum(z, 0.0)}[mlp.activation]
    for index, layer in enumerate(mlp.layers):
        if isinstance(layer, FactorLinear):
            offsets = np.cumsum((0, *layer.factors[:-1]))
            x = np.asarray(layer.table, np.float64)[x + offsets].sum(-2)
        else:
            x = activation(x) if index else x
            x = x @ np.asarray(layer.weight, np.float64)
        x = x + np.asarray(layer.bias, np.float64)
        if not index and beside is not None:
            x = x + beside @ np.asarray(mlp.beside, np.float64)
    return x


def embedded(model: JointEmbedding, observation: Any) -> np.ndarray:
    """phi without hidden layers: rows of a table, summed over factors, through a tanh."""
    assert isinstance(model.phi, StateEncoder)
    observation = np.asarray(observation)
    return np.tanh(network(model.phi.network, observation.reshape(len(observation), -1)))


def acted(model: JointEmbedding, action: Any) -> np.ndarray:
    """g."""
    assert isinstance(model.g, ActionEncoder)
    return np.tanh(np.asarray(model.g.rows, np.float64))[np.asarray(action)]


def moved(move: Move, x: np.ndarray, e: np.ndarray) -> np.ndarray:
    """What an action changes: L e + c (M(x) e + h(x, e))."""
    assert move.matrix is not None
    matrix = NONLINEAR_RATE * network(move.matrix, x).reshape(len(x), -1, e.shape[-1])
    moves = ((matrix + np.asarray(move.linear, np.float64).T) @ e[:, :, None])[..., 0]
    return moves + NONLINEAR_RATE * network(move.network, np.hstack([x, e]))


def laid_out(model: JointEmbedding, x: Any, e: Any) -> JointEmbedding:
    """The same model with states and actions at these places."""
    return eqx.tree_at(
        lambda m: (m.phi.network.layers[0].table, m.g.rows),
        model,
        tuple(jnp.asarray(np.arctanh(np.asarray(each, np.float32))) for each in (x, e)),
    )
