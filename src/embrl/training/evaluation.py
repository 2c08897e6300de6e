"""Evaluation of a policy in whole episodes, apart from training."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embrl.core.types import Key, Observation
from embrl.data.rollout import OpenEnvs, open_envs, random_actions
from embrl.envs.environment import Environment


class Episodes(NamedTuple):
    """Undiscounted returns and lengths of finished episodes."""

    returns: Float[Array, " episodes"]
    lengths: Int[Array, " episodes"]


def play(
    env: Environment,
    act: Callable[[Key, Observation], Array],
    key: Key,
    episodes: int,
) -> Episodes:
    """Play episodes side by side, each to its end.

    Args:
        env: the environment.
        act: returns actions `[episodes]` for observations `[episodes, ...]`.
        key: random key.
        episodes: how many.
    """
    key_open, key_play = jax.random.split(key)

    class Running(NamedTuple):
        envs: OpenEnvs
        done: Bool[Array, " episodes"]
        returns: Float[Array, " episodes"]
        lengths: Int[Array, " episodes"]
        steps: Int[Array, ""]

    def step(now: Running) -> Running:
        key_act, key_step = jax.random.split(jax.random.fold_in(key_play, now.steps))
        action = act(key_act, now.envs.observation)
        keys = jax.random.split(key_step, episodes)
        state, after = jax.vmap(env.step)(keys, now.envs.state, action)
        return Running(
            OpenEnvs(state, after.observation),
            now.done | after.terminated | after.truncated,
            now.returns + jnp.where(now.done, 0.0, after.reward),
            now.lengths + ~now.done,
            now.steps + 1,
        )

    end = jax.lax.while_loop(
        lambda now: ~now.done.all(),
        step,
        Running(
            open_envs(env, key_open, episodes),
            jnp.zeros(episodes, bool),
            jnp.zeros(episodes),
            jnp.zeros(episodes, jnp.int32),
            jnp.int32(0),
        ),
    )
    return Episodes(end.returns, end.lengths)


def random_return(env: Environment, key: Key, episodes: int = 10_000) -> float:
    """Return the mean return of uniformly random actions."""

    def act(key: Key, observation: Observation) -> Array:
        return random_actions(env.action_space, key, (observation.shape[0],))

    return float(jax.jit(lambda env, key: play(env, act, key, episodes))(env, key).returns.mean())
