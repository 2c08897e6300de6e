"""Evaluation of a policy in whole episodes, apart from training."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embrl.algorithms.policy import OverallPolicy
from embrl.core.masks import instead_of_masked
from embrl.core.types import Key, Observation
from embrl.data.rollout import OpenEnvs, alternatives, open_envs, open_masks, random_actions
from embrl.envs.environment import Environment


class Episodes(NamedTuple):
    """Undiscounted returns and lengths of finished episodes."""

    returns: Float[Array, " episodes"]
    lengths: Int[Array, " episodes"]


def play(
    env: Environment,
    act: Callable[[Key, Observation, Bool[Array, "episodes n"] | None], Array],
    key: Key,
    episodes: int,
) -> Episodes:
    """Play episodes side by side, each to its end.

    Args:
        env: the environment.
        act: returns actions `[episodes]` for observations `[episodes, ...]` and masks; None where
            the environment has none.
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
        action = act(key_act, now.envs.observation, open_masks(env, now.envs.state))
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


def evaluate(
    env: Environment, policy: OverallPolicy, key: Key, episodes: int, rounds: Int[Array, ""]
) -> dict[str, Float[Array, ""]]:
    """Return mean returns of a stochastic policy and of its most likely action.

    Args:
        env: the environment.
        policy: the policy.
        key: random key.
        episodes: episodes of a round.
        rounds: number of rounds; an argument, so that longer evaluations need no new compilation.
    """

    def act(key: Key, observation: Observation, mask: Array | None) -> Array:
        return policy.act(observation, policy.noise(key, (episodes,)), mask)[0]

    def greedy(key: Key, observation: Observation, mask: Array | None) -> Array:
        del key
        return policy.mode(observation, mask)

    def one(number: Array, sums: dict[str, Array]) -> dict[str, Array]:
        key_act, key_greedy = jax.random.split(jax.random.fold_in(key, number))
        sampled = play(env, act, key_act, episodes)
        most_likely = play(env, greedy, key_greedy, episodes)
        return {
            "return_mean": sums["return_mean"] + sampled.returns.mean(),
            "square": sums["square"] + (sampled.returns**2).mean(),
            "greedy_return_mean": sums["greedy_return_mean"] + most_likely.returns.mean(),
            "length_mean": sums["length_mean"] + sampled.lengths.mean(),
        }

    names = ("return_mean", "square", "greedy_return_mean", "length_mean")
    sums = jax.lax.fori_loop(0, rounds, one, dict.fromkeys(names, jnp.float32(0.0)))
    means = {name: total / rounds for name, total in sums.items()}
    variance = means.pop("square") - means["return_mean"] ** 2
    return {**means, "return_std": jnp.sqrt(jnp.maximum(variance, 0.0))}


def random_return(env: Environment, key: Key, episodes: int = 10_000) -> float:
    """Return the mean return of uniformly random actions."""

    def act(key: Key, observation: Observation, mask: Array | None) -> Array:
        batch = observation.shape[:1]
        actions = random_actions(env.action_space, key, batch)
        if mask is None:
            return actions
        return instead_of_masked(actions, alternatives(key, batch), mask)

    return float(jax.jit(lambda env, key: play(env, act, key, episodes))(env, key).returns.mean())
