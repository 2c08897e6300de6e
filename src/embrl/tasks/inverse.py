"""Inverse reinforcement learning: the task that makes demonstrations likely."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from embrl.core.errors import SettingError
from embrl.core.spaces import check_action, check_observation
from embrl.tasks.networks import TaskNetworks, unit_task
from embrl.tasks.space import TaskSpace

STARTS = 128
"""States of the data whose tasks, to reach them, are tried first."""
KEPT = 2
"""Tasks, the likeliest of those, from which the likelihood is climbed."""
OTHERS = 31
"""Actions that a demonstrated one is compared with."""
STEPS = 30
LEARNING_RATE = 0.05
SHARPNESS = 2.0
"""Inverse temperature, in units of the spread of values between actions, at which the demonstrator
is taken to choose."""
ROWS = 64
"""Demonstrated steps are padded to multiples of this number, so that few programs are compiled."""
MOST = 512
"""Largest number of demonstrated steps that are used; more are thinned out evenly."""


class InferredTask(NamedTuple):
    """A task that explains demonstrations."""

    z: Float[np.ndarray, " k"]
    """The task, as `TaskSpace.policy` takes it."""
    log_likelihood: float
    """Mean log probability of a demonstrated action among `OTHERS` others; by chance it is
    -log(OTHERS + 1)."""


class _Demonstrated(NamedTuple):
    x: Float[Array, "N m"]
    e: Float[Array, "N C d"]
    """Embeddings of the demonstrated action, first, and of others."""
    weight: Float[Array, " N"]
    ahead: Float[Array, "N C k"] | None
    """F, if it does not depend on the task."""


def infer_task(
    space: TaskSpace,
    demonstrations: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> InferredTask:
    """Find the task under which demonstrated actions are most likely.

    The demonstrator is taken to choose actions with probabilities that grow exponentially with
    `F . z`. Tasks to reach the states of the demonstrations, and others of the data, are compared,
    and the likelihood is climbed from the best ones.

    Args:
        space: tasks of an embedding.
        demonstrations: for each, its observations `[T + 1, ...]` or `[T, ...]` and its actions
            `[T, ...]`.
        steps: gradient steps.
        seed: random seed of the states and actions that are compared.

    Raises:
        EmbrlError: there is no demonstration, its lengths differ, or it is not in the spaces.
    """
    rng = np.random.default_rng(seed)
    observations, actions, visited = _checked(space, demonstrations)
    thin = np.unique(np.linspace(0, len(actions) - 1, min(MOST, len(actions))).astype(int))
    observations, actions = observations[thin], actions[thin]
    embeddings = space.choices[1]
    others = embeddings[rng.integers(len(embeddings), size=(len(actions), OTHERS))]
    e = np.concatenate([space.embedding.g(actions)[:, None], others], 1).astype(np.float32)
    x = space.embed(observations)
    missing = -len(x) % ROWS
    weight = np.concatenate([np.ones(len(x)), np.zeros(missing)]) / len(x)
    x, e = (np.concatenate([part, np.repeat(part[:1], missing, 0)]) for part in (x, e))
    x, e = jnp.asarray(x), jnp.asarray(e)
    networks = space.model.networks
    ahead = None if networks.sees_task else _features(networks, x, e)
    shown = _Demonstrated(x, e, jnp.asarray(weight, jnp.float32), ahead)
    # Last states, then others that were visited, then any: as many in all calls.
    rest = space.model.states[rng.permutation(len(space.model.states))]
    points = np.concatenate([visited[: STARTS // 2], rest])[:STARTS]
    starts = np.resize(space.features(points), (STARTS, space.k)).astype(np.float32)
    z, value = _climb(networks, shown, jnp.asarray(starts), steps)
    best = int(np.argmax(np.asarray(value)))
    return InferredTask(space.task(np.asarray(z)[best]), float(np.asarray(value)[best]))


def log_likelihood(
    networks: TaskNetworks, shown: _Demonstrated, z: Float[Array, " k"]
) -> Float[Array, ""]:
    """Return the mean log probability of the demonstrated actions for a task of any length."""
    unit = unit_task(z)
    ahead = shown.ahead
    if ahead is None:
        ahead = networks.F(shown.x[:, None], shown.e, unit[None, None])
    values = ahead @ unit
    spread = jax.lax.stop_gradient(values.std(-1, keepdims=True)) + 1e-6
    return shown.weight @ jax.nn.log_softmax(SHARPNESS * values / spread)[:, 0]


@eqx.filter_jit
def _features(
    networks: TaskNetworks, x: Float[Array, "N m"], e: Float[Array, "N C d"]
) -> Float[Array, "N C k"]:
    # A state at a time: all known states are compared with each action.
    unused = jnp.zeros(networks.backward(x[:1]).shape[-1])
    return jax.lax.map(lambda pair: networks.F(pair[0][None], pair[1], unused), (x, e))


@eqx.filter_jit
def _climb(
    networks: TaskNetworks, shown: _Demonstrated, starts: Float[Array, "S k"], steps: int
) -> tuple[Float[Array, "K k"], Float[Array, " K"]]:
    """Return the best tasks found, each of the best point of its path, and their values."""

    def value(z: Array) -> Array:
        return log_likelihood(networks, shown, z)

    at_start = jax.lax.map(value, starts)
    z = unit_task(starts[jax.lax.top_k(at_start, KEPT)[1]])
    adam = optax.adam(LEARNING_RATE)

    def step(state: tuple, _: None) -> tuple[tuple, None]:
        z, memory, best, top = state
        values, gradient = jax.vmap(jax.value_and_grad(value))(z)
        better = values > top
        best, top = jnp.where(better[:, None], z, best), jnp.maximum(values, top)
        update, memory = adam.update(-gradient, memory)
        return (z + update, memory, best, top), None

    start = (z, adam.init(z), z, jnp.full(KEPT, -jnp.inf))
    (_, _, best, top), _ = jax.lax.scan(step, start, None, steps + 1)
    return best, top


def _checked(
    space: TaskSpace, demonstrations: Sequence[tuple[ArrayLike, ArrayLike]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return observations and actions of all steps; and visited states, later ones first."""
    if not len(demonstrations):
        raise SettingError("demonstrations", "at least one", "none")
    observations, actions, visited = [], [], []
    for number, (seen, done) in enumerate(demonstrations):
        states = check_observation(space.embedding.observation_space, seen)
        chosen = check_action(space.embedding.action_space, done)
        if not len(chosen) or len(states) - len(chosen) not in (0, 1):
            raise SettingError(
                f"demonstrations[{number}]",
                "T + 1 or T observations and T actions, at least one",
                f"{len(states)} and {len(chosen)}",
            )
        observations.append(states[: len(chosen)])
        actions.append(chosen)
        visited.append(states[::-1])
    longest = max(len(states) for states in visited)
    late_first = [states[i : i + 1] for i in range(longest) for states in visited]
    return np.concatenate(observations), np.concatenate(actions), np.concatenate(late_first)
