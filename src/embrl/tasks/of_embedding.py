"""Task features of a fitted embedding, from the transitions that it was fitted on."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from embrl.core.errors import SettingError
from embrl.core.spaces import numbers_and_factors
from embrl.core.types import Transition
from embrl.deploy.plain_embedding import PlainEmbedding
from embrl.tasks.config import TasksConfig
from embrl.tasks.learning import learn_tasks
from embrl.tasks.next_states import EmbeddedSteps, KnownStates
from embrl.tasks.space import TaskModel

STATES = 2048
"""States of the data that are kept at most, for rewards that are functions."""
ACTIONS = 512
"""Actions of the data that are kept, where they are no list."""


def task_model(
    embedding: PlainEmbedding,
    transitions: Transition,
    config: TasksConfig,
    seed: int = 0,
    on_progress: Callable[[int, int, float], None] = lambda *_: None,
) -> TaskModel:
    """Learn F and B in an embedding.

    Args:
        embedding: phi and g, which stay as they are.
        transitions: of any policy, `[...]` with any leading axes.
        config: settings.
        seed: random seed.
        on_progress: called now and then with the steps done, all steps, and the loss.

    Raises:
        SettingError: a setting is out of range, or the states are indices that are not embedded.
    """
    config.validate()
    check_states(embedding.states, embedding.observation_space, embedding.method)
    lead = transitions.reward.ndim
    flat = jax.tree.map(
        lambda column: np.asarray(column).reshape(-1, *column.shape[lead:]), transitions
    )
    phi = embedding.phi_chain(norm=True)
    x, e, x_next = (
        jnp.asarray(part, jnp.float32)
        for part in (phi(flat.observation), embedding.g(flat.action), phi(flat.next_observation))
    )
    steps = EmbeddedSteps(x, e, x_next, jnp.asarray(flat.terminated))
    chosen = np.random.default_rng(seed).permutation(len(flat.reward))
    states, weights, ended = _distribution(
        flat.next_observation[chosen], np.asarray(flat.terminated, np.float32)[chosen]
    )
    known = KnownStates(phi(states).astype(np.float32), weights, ended)
    networks = learn_tasks(steps, known, config, jax.random.key(seed), on_progress)
    return TaskModel(config, networks, states, weights, flat.action[chosen[:ACTIONS]])


def _distribution(
    observations: np.ndarray, terminated: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return observations, their fractions, and those of ends of episodes: all, or a sample."""
    states, which, counts = np.unique(observations, axis=0, return_inverse=True, return_counts=True)
    ended = np.bincount(which.ravel(), terminated, len(states)) / counts
    if len(states) > STATES:
        states, counts, ended = observations[:STATES], np.ones(STATES), terminated[:STATES]
    return states, (counts / counts.sum()).astype(np.float32), ended.astype(np.float32)


def check_states(states: bool, observation_space: object, method: str) -> None:
    """Check that states are vectors.

    Raises:
        SettingError: they are indices, and the method does not embed them.
    """
    _, sizes = numbers_and_factors(observation_space)  # type: ignore[arg-type]
    if not states and sizes:
        raise SettingError(
            "method", "one that embeds states, for tasks in discrete states", method, "choose jsae"
        )
