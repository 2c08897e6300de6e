"""Evaluation of a policy in whole episodes, apart from training."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embrl.algorithms.policy import OverallPolicy
from embrl.core.products import replaced_where_masked
from embrl.core.types import Key, Observation
from embrl.data.rollout import OpenEnvs, alternatives, open_envs, open_masks, random_actions
from embrl.envs import AnyEnvironment, Environment

MAX_EPISODE_STEPS = 10_000
"""Steps after which an episode of an evaluation is cut, where the environment's limit is less."""

CUT = "cut_episodes"
"""Metric of an evaluation that is no column: how many of its episodes were cut."""


def longest_episode(env: AnyEnvironment, asked: int | None) -> Any:
    """Return the number of steps after which an episode of an evaluation is cut.

    Args:
        env: the environment.
        asked: the number that a user wants; None: the environment's limit, or `MAX_EPISODE_STEPS`
            if that is more.
    """
    if asked is not None:
        return asked
    limit = env.max_episode_steps
    if isinstance(limit, jax.Array):
        return jnp.maximum(limit, MAX_EPISODE_STEPS)
    return max(limit or 0, MAX_EPISODE_STEPS)


def of_cut_episodes(name: str, cut: int, longest: int) -> str:
    """Return the warning that episodes were cut.

    Args:
        name: name of the environment.
        cut: how many were.
        longest: after how many steps.
    """
    count = "1 episode was" if cut == 1 else f"{cut:,} episodes were"
    return (
        f"{name}: {count} cut after {longest:,} steps, as they had not ended, and count with the "
        "rewards until then; set evaluation.max_episode_steps, or a limit of the environment "
        "(env.max_episode_steps)"
    )


class Episodes(NamedTuple):
    """Undiscounted returns and lengths of episodes."""

    returns: Float[Array, " episodes"]
    lengths: Int[Array, " episodes"]
    ended: Bool[Array, " episodes"] | bool = True
    """False if an episode was cut, and would have continued; True alone: none was."""


def play(
    env: Environment,
    act: Callable[[Key, Observation, Bool[Array, "episodes n"] | None], Array],
    key: Key,
    episodes: int,
    longest: Any = MAX_EPISODE_STEPS,
) -> Episodes:
    """Play episodes side by side, each to its end.

    Args:
        env: the environment.
        act: returns actions `[episodes]` for observations `[episodes, ...]` and masks; None where
            the environment has none.
        key: random key.
        episodes: how many.
        longest: steps after which an episode is cut.
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
        lambda now: ~now.done.all() & (now.steps < longest),
        step,
        Running(
            open_envs(env, key_open, episodes),
            jnp.zeros(episodes, bool),
            jnp.zeros(episodes),
            jnp.zeros(episodes, jnp.int32),
            jnp.int32(0),
        ),
    )
    return Episodes(end.returns, end.lengths, end.done)


def evaluate(
    env: Environment,
    policy: OverallPolicy,
    key: Key,
    episodes: int,
    rounds: Int[Array, ""],
    max_episode_steps: int | None = None,
) -> dict[str, Float[Array, ""]]:
    """Return mean returns of a stochastic policy and of its most likely action.

    Args:
        env: the environment.
        policy: the policy.
        key: random key.
        episodes: episodes of a round.
        rounds: number of rounds; an argument, so that longer evaluations need no new compilation.
        max_episode_steps: as in `longest_episode`.

    Returns:
        The means, and how many episodes were cut (`CUT`).
    """
    longest = longest_episode(env, max_episode_steps)

    def act(key: Key, observation: Observation, mask: Array | None) -> Array:
        return policy.act(observation, policy.noise(key, (episodes,)), mask)[0]

    def greedy(key: Key, observation: Observation, mask: Array | None) -> Array:
        del key
        return policy.mode(observation, mask)

    def one(number: Array, sums: dict[str, Array]) -> dict[str, Array]:
        key_act, key_greedy = jax.random.split(jax.random.fold_in(key, number))
        sampled = play(env, act, key_act, episodes, longest)
        most_likely = play(env, greedy, key_greedy, episodes, longest)
        cut = sum(jnp.logical_not(each.ended).sum() for each in (sampled, most_likely))
        return {
            "return_mean": sums["return_mean"] + sampled.returns.mean(),
            "square": sums["square"] + (sampled.returns**2).mean(),
            "greedy_return_mean": sums["greedy_return_mean"] + most_likely.returns.mean(),
            "length_mean": sums["length_mean"] + sampled.lengths.mean(),
            CUT: sums[CUT] + cut,
        }

    names = ("return_mean", "square", "greedy_return_mean", "length_mean", CUT)
    sums = jax.lax.fori_loop(0, rounds, one, dict.fromkeys(names, jnp.float32(0.0)))
    cut = sums.pop(CUT)
    means = {name: total / rounds for name, total in sums.items()}
    variance = means.pop("square") - means["return_mean"] ** 2
    return {**means, "return_std": jnp.sqrt(jnp.maximum(variance, 0.0)), CUT: cut}


def random_return(
    env: Environment, key: Key, episodes: int = 10_000, max_episode_steps: int | None = None
) -> float:
    """Return the mean return of uniformly random actions, in episodes that may be cut."""
    longest = longest_episode(env, max_episode_steps)

    def act(key: Key, observation: Observation, mask: Array | None) -> Array:
        batch = observation.shape[:1]
        actions = random_actions(env.action_space, key, batch)
        if mask is None:
            return actions
        uniform = alternatives(key, batch, env.action_space)
        return replaced_where_masked(env.action_space, actions, uniform, mask)

    played = jax.jit(lambda env, key: play(env, act, key, episodes, longest))(env, key)
    return float(played.returns.mean())
