"""Returns of greedy recommendations by counts of purchases, with alpha and the prices known.

python results/recommender_ceiling.py LOG
"""

import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.core.runtime import prepare_jax
from embrl.core.types import Key
from embrl.data.rollout import random_transitions
from embrl.envs.recommender import Recommender, RecommenderConfig
from embrl.training.evaluation import play

NUM_ENVS, EPISODES = 500, 4_000
LAST, PAIR = 10.0, 10.0
"""Weights in purchases: of item frequencies against counts after the last item, and of these
against counts after the last two."""


def earned(env: Recommender, p: Callable[[Int[Array, "N 2"]], Float[Array, "N K"]]) -> str:
    """Return the mean return of greedy choice where p(observations) predicts the next purchase."""

    def act(key: Key, observation: Array) -> Array:
        del key
        row = p(observation)
        boost = 2.0 * row  # alpha is 3
        mean = row @ env.prices
        return (boost * (env.prices - mean[:, None]) / (1 + boost)).argmax(-1).astype(jnp.int32)

    found = jax.jit(lambda key: play(env, act, key, EPISODES))(jax.random.key(5)).returns
    return f"{found.mean():.2f} +- {found.std() / EPISODES**0.5:.2f}"


def main() -> None:
    """Print the returns for several numbers of random timesteps, and for the true model."""
    prepare_jax()
    env = RecommenderConfig(data=sys.argv[1], top_items=835).build()
    items = len(env.prices)
    for timesteps in (30_000, 100_000, 300_000, 800_000):
        steps = jax.jit(random_transitions, static_argnums=(2, 3))(
            env, jax.random.key(0), timesteps, NUM_ENVS
        )
        older, last = np.asarray(steps.observation).reshape(-1, 2).T
        bought = np.asarray(steps.next_observation)[..., 1].ravel()
        after = np.zeros((items, items), np.float32)
        np.add.at(after, (last, bought), 1)
        frequency = after.sum(0) / after.sum()
        by_last = jnp.asarray((after + LAST * frequency) / (after.sum(1, keepdims=True) + LAST))
        print(timesteps, "last item", earned(env, lambda o, p=by_last: p[o[:, 1]]), flush=True)
        if timesteps < 800_000:
            continue
        after_two = np.zeros((items * items, items), np.uint8)
        np.add.at(after_two, (older * items + last, bought), 1)
        counts = jnp.asarray(after_two)

        def by_two(o: Array, p: Array = by_last, counts: Array = counts) -> Array:
            seen = counts[o[:, 0] * items + o[:, 1]].astype(jnp.float32)
            return (seen + PAIR * p[o[:, 1]]) / (seen.sum(1, keepdims=True) + PAIR)

        print(timesteps, "last two items", earned(env, by_two), flush=True)
    model = env.model
    rows = jax.jit(jax.vmap(lambda last: model.distribution(model.unseen(last))))
    true = rows(jnp.arange(items, dtype=jnp.int32))
    print("true", "last item", earned(env, lambda o: true[o[:, 1]]))


main()
