"""Meta-learning by search: new tasks solved in a few episodes, from their returns alone."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from embrl.core.errors import SettingError
from embrl.tasks.space import TaskPolicy, TaskSpace

POPULATION = 16
ELITES = 4
MIN_SPREAD = 0.1
"""Smallest standard deviation of a generation, in units of a feature's mean square."""


class TaskFound(NamedTuple):
    """Result of a search."""

    z: Float[np.ndarray, " k"]
    """Task of the episode with the largest return."""
    returns: Float[np.ndarray, " episodes"]
    """Return of each episode, in order."""


def search_tasks(
    space: TaskSpace,
    play: Callable[[list[TaskPolicy]], np.ndarray],
    *,
    episodes: int,
    population: int = POPULATION,
    elites: int = ELITES,
    seed: int = 0,
) -> TaskFound:
    """Search the task whose policy has the largest return, by the cross-entropy method.

    The first generation are tasks to reach states of the data, and so is half of each later one:
    where returns are sparse, the other half may be drawn around failures.

    Args:
        space: tasks of an embedding.
        play: returns the return of an episode of each policy, `[N]`.
        episodes: number of episodes in all, at least 1.
        population: episodes in a generation.
        elites: best ones, which the next generation is drawn around.
        seed: random seed.

    Raises:
        EmbrlError: a setting is out of range, or a return is not finite.
    """
    if episodes < 1:
        raise SettingError("episodes", "at least 1", episodes)
    if not 2 <= elites <= population:
        raise SettingError("elites", f"2 to {population}, the population", elites)
    rng = np.random.default_rng(seed)
    tasks, returns = np.zeros((0, space.k), np.float32), np.zeros(0)
    while len(returns) < episodes:
        count = min(population, episodes - len(returns))
        new = _generation(space, tasks, returns, count, elites, rng)
        found = np.asarray(play([space.policy(z) for z in new]), np.float64)
        if found.shape != (count,) or not np.isfinite(found).all():
            raise SettingError("returns of play", f"{count} finite numbers", found.tolist())
        tasks, returns = np.concatenate([tasks, new]), np.concatenate([returns, found])
    return TaskFound(tasks[returns.argmax()], returns)


def _generation(
    space: TaskSpace,
    tasks: np.ndarray,
    returns: np.ndarray,
    count: int,
    elites: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "N k"]:
    drawn = space.state_features[rng.integers(len(space.state_features), size=count)]
    if len(returns):
        best = np.argsort(-returns, kind="stable")[:elites]
        # Where few reach anything, most of the best ones are failures like the rest.
        better = best[returns[best] >= (returns.max() + np.median(returns)) / 2]
        spread = np.maximum(tasks[better].std(0), MIN_SPREAD * np.sqrt((drawn**2).mean()))
        near = tasks[better].mean(0) + spread * rng.normal(size=(count, space.k))
        drawn = np.where((np.arange(count) % 2 == 0)[:, None], near, drawn)
    return np.stack([space.task(z) for z in drawn])
