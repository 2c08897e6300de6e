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


MIN_REACH = 16
"""Smallest number of states near a task that the next generation is drawn from."""


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

    The first generation are tasks to reach states of the data. Of later ones, half are tasks to
    reach states that are valuable for the best tasks, fewer and fewer of them; a quarter is drawn
    from a Gaussian around these; and a quarter are tasks to reach any states: where returns are
    sparse, the best ones may be failures.

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
        generation = len(returns) // population
        new = _generation(space, tasks, returns, count, elites, generation, rng)
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
    generation: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "N k"]:
    features = space.state_features
    drawn = features[rng.integers(len(features), size=count)]
    if len(returns):
        best = np.argsort(-returns, kind="stable")[:elites]
        # Where few reach anything, most of the best ones are failures like the rest.
        better = best[returns[best] >= (returns.max() + np.median(returns)) / 2]
        spread = np.maximum(tasks[better].std(0), MIN_SPREAD * np.sqrt((drawn**2).mean()))
        near = tasks[better].mean(0) + spread * rng.normal(size=(count, space.k))
        # Ever nearer to the best tasks: where k is large, a random direction is far from all tasks.
        reach = max(len(features) >> 2 * generation, MIN_REACH)
        values = space.state_values(tasks[rng.choice(better, size=count)])
        ranked = np.argsort(-values, axis=1)[:, :reach]
        rank = rng.integers(ranked.shape[1], size=(count, 1))
        beside = features[np.take_along_axis(ranked, rank, axis=1)[:, 0]]
        kind = (np.arange(count) % 4)[:, None]
        drawn = np.where(kind % 2 == 0, beside, np.where(kind == 1, near, drawn))
    return np.stack([space.task(z) for z in drawn])
