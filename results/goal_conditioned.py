"""Goal-conditioned Q-learning with relabelled goals, a rival in results/tasks.py.

`Q(x, e, phi(goal))` in the same embedding, from the same kind of random transitions: each is
relabelled with its own next cell, a cell that follows later in its episode, or any cell of the data
(Andrychowicz et al. 2017). The reward is 1 in the goal, where the episode ends.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from embrl.core.nn import MLP

OWN, LATER = 0.2, 0.5
"""Fractions of transitions with their own next cell and with a later one as the goal."""
CANDIDATES = 16
"""Random actions, and the transition's own, among which targets take the best."""
BATCH = 256
GAMMA = 0.9
POLYAK = 0.01
CHUNK = 500
HIDDEN = (256, 256)


class RandomSteps(NamedTuple):
    """Random transitions of parallel episodes, `[T, B]` each."""

    cell: np.ndarray
    action: np.ndarray
    after: np.ndarray
    ended: np.ndarray
    """True where the episode ended with this transition."""


def last_steps(ended: np.ndarray) -> np.ndarray:
    """Return for each transition the time of the last one of its episode, `[T, B]`."""
    last, found = np.full(ended.shape[1], len(ended) - 1), np.zeros(ended.shape, int)
    for time in range(len(ended) - 1, -1, -1):
        last = np.where(ended[time], time, last)
        found[time] = last
    return found


def train(
    steps: RandomSteps, x: np.ndarray, e: np.ndarray, *, gradient_steps: int, seed: int
) -> MLP:
    """Train Q.

    Args:
        steps: transitions.
        x: embeddings of all cells.
        e: embeddings of all actions.
        gradient_steps: number of gradient steps.
        seed: random seed.
    """
    m, d = x.shape[1], e.shape[1]
    network = MLP(2 * m, HIDDEN, 1, beside=d, activation=jax.nn.relu, key=jax.random.key(seed))
    adam = optax.adam(optax.cosine_decay_schedule(2e-3, gradient_steps))
    state = (network, network, adam.init(eqx.filter(network, eqx.is_array)))
    states, choices = jnp.asarray(x, jnp.float32), jnp.asarray(e, jnp.float32)
    rng, last = np.random.default_rng(seed), last_steps(steps.ended)

    def q(network: MLP, cells: jax.Array, goals: jax.Array, actions: jax.Array) -> jax.Array:
        return network(jnp.concatenate([states[cells], states[goals]], -1), choices[actions])[
            ..., 0
        ]

    def loss(network, target, cell, action, after, goal, others):
        ahead = q(target, after[:, None], goal[:, None], others[None]).max(-1)
        reached = after == goal
        aim = reached + GAMMA * ~reached * jnp.clip(ahead, 0.0, 1.0)
        return ((q(network, cell, goal, action) - jax.lax.stop_gradient(aim)) ** 2).mean()

    @eqx.filter_jit
    def run(state, batches):
        def step(state, batch):
            network, target, memory = state
            gradient = eqx.filter_grad(loss)(network, target, *batch)
            update, memory = adam.update(gradient, memory)
            network = eqx.apply_updates(network, update)
            target = jax.tree.map(
                lambda old, new: old + POLYAK * (new - old) if eqx.is_array(old) else old,
                target,
                network,
            )
            return (network, target, memory), None

        return jax.lax.scan(step, state, batches)[0]

    for _ in range(0, gradient_steps, CHUNK):
        state = run(state, _batches(steps, last, rng))
    return state[0]


def _batches(steps: RandomSteps, last: np.ndarray, rng: np.random.Generator) -> tuple:
    shape = (CHUNK, BATCH)
    time = rng.integers(len(steps.cell), size=shape)
    lane = rng.integers(steps.cell.shape[1], size=shape)
    kind, left = rng.random(shape), last[time, lane] - time
    later = time + np.where(kind < OWN, 0, np.minimum(rng.geometric(1 - GAMMA, shape), left))
    goal = steps.after[later, lane]
    any_goal = steps.after.ravel()[rng.integers(steps.after.size, size=shape)]
    goal = np.where(kind < OWN + LATER, goal, any_goal)
    others = steps.action.ravel()[rng.integers(steps.action.size, size=(CHUNK, CANDIDATES))]
    columns = (column[time, lane] for column in (steps.cell, steps.action, steps.after))
    return (*map(jnp.asarray, columns), jnp.asarray(goal), jnp.asarray(others))


def values(network: MLP, x: np.ndarray, goal: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Return the values of all actions, `[N, C]`, for a state and a goal in each row."""
    found = _values(network, jnp.concatenate([x, goal], -1), jnp.asarray(e, jnp.float32))
    return np.asarray(found)


@eqx.filter_jit
def _values(network: MLP, pairs: jax.Array, e: jax.Array) -> jax.Array:
    return network(pairs[:, None], e)[..., 0]
