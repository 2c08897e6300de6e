"""Rollouts: transitions of any policy in parallel environments, compiled or on the host."""

import itertools
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from embrl.core.spaces import action_count, bounds, is_continuous
from embrl.core.types import EnvState, Key, Observation, Transition
from embrl.envs.environment import Environment

if TYPE_CHECKING:
    from embrl.envs.gym import HostVectorEnv  # Gymnasium is not needed for compiled rollouts

Extra = TypeVar("Extra")


class OpenEnvs(NamedTuple):
    """`B` parallel environments in the middle of their episodes."""

    state: EnvState
    observation: Observation


def open_envs(env: Environment, key: Key, num_envs: int) -> OpenEnvs:
    """Reset `num_envs` parallel environments."""
    return OpenEnvs(*jax.vmap(env.reset)(jax.random.split(key, num_envs)))


def rollout(
    env: Environment,
    act: Callable[[Observation, Any], tuple[Array, Extra]],
    envs: OpenEnvs,
    key: Key,
    noise: Any,
) -> tuple[OpenEnvs, Transition, Extra]:
    """Take `T` steps in every environment.

    Where an episode ends, the environment is reset, but the transition keeps the true last
    observation.

    Args:
        env: the environment.
        act: returns the actions `[B]` for observations `[B, ...]` and one step's noise, and
            anything else to keep of the choice.
        envs: the parallel environments.
        key: random key.
        noise: a pytree with leading axes `[T, B]`.

    Returns:
        The environments to continue with, transitions `[T, B, ...]` and act's extras
        `[T, B, ...]`.
    """
    num_envs = envs.observation.shape[0]
    steps = jax.tree.leaves(noise)[0].shape[0]

    def step(envs: OpenEnvs, now: tuple[Key, Any]) -> tuple[OpenEnvs, tuple[Transition, Extra]]:
        key, noise = now
        key_step, key_reset = jax.random.split(key)
        action, extra = act(envs.observation, noise)
        keys = jax.random.split(key_step, num_envs)
        state, after = jax.vmap(env.step)(keys, envs.state, action)
        transition = Transition(envs.observation, action, *after[1:2], *after[:1], *after[2:])
        fresh = open_envs(env, key_reset, num_envs)
        done = after.terminated | after.truncated
        following = jax.tree.map(
            lambda new, old: jnp.where(done.reshape(-1, *[1] * (old.ndim - 1)), new, old),
            fresh,
            OpenEnvs(state, after.observation),
        )
        return following, (transition, extra)

    envs, (transitions, extras) = jax.lax.scan(step, envs, (jax.random.split(key, steps), noise))
    return envs, transitions, extras


Choose = Callable[[np.ndarray, int], tuple[Any, Any]]
"""Returns actions `[replicas, B, ...]`, and anything else to keep of the choice, for observations
like them and the number of the step."""


def host_steps(
    envs: "HostVectorEnv", choose: Choose, replicas: int = 1
) -> Iterator[tuple[Transition, Any]]:
    """Step environments on the host that belong to several replicas, without end.

    Args:
        envs: the environments of the first replica, of the second, ...
        choose: chooses the actions.
        replicas: how many.

    Yields:
        The transitions of a step, `[replicas, B, ...]`, and what `choose` wanted to keep.
    """

    def by_replica(values: np.ndarray) -> np.ndarray:
        return values.reshape(replicas, -1, *values.shape[1:])

    for t in itertools.count():
        seen = by_replica(envs.observations)
        action, extra = choose(seen, t)
        action = np.asarray(action)
        after = envs.step(action.reshape(-1, *action.shape[2:]))
        flat = (after.reward, after.observation, after.terminated, after.truncated)
        columns: Any = (seen, action, *map(by_replica, flat))
        yield Transition(*columns), extra


def host_rollout(
    envs: "HostVectorEnv", steps: int, choose: Choose, replicas: int
) -> tuple[Transition, Any]:
    """Take steps in environments on the host, as `host_steps` does.

    Args:
        envs: the environments of the first replica, of the second, ...
        steps: of each environment.
        choose: chooses the actions.
        replicas: how many.

    Returns:
        Transitions, and what `choose` wanted to keep, `[replicas, T, B, ...]`.
    """
    taken = itertools.islice(host_steps(envs, choose, replicas), steps)
    transitions, kept = zip(*taken, strict=True)
    stacked: Any = [np.stack(column, axis=1) for column in zip(*transitions, strict=True)]
    extras = None if kept[0] is None else np.stack(kept, axis=1)
    return Transition(*stacked), extras


def single_steps(
    env: Environment, act: Callable[[np.ndarray, Key], Any], key: Key
) -> Generator[Transition]:
    """Step one compiled environment from Python, episode after episode, without end.

    For whoever looks at single steps, or acts in Python; `rollout` is thousands of times faster.

    Args:
        env: the environment.
        act: returns the action for an observation and a random key.
        key: random key.

    Yields:
        Transitions of NumPy arrays.
    """
    reset = jax.jit(lambda env, key: env.reset(key))
    take = jax.jit(lambda env, key, state, action: env.step(key, state, action))
    for episode in itertools.count():
        key_reset, key_steps = jax.random.split(jax.random.fold_in(key, episode))
        state, seen = reset(env, key_reset)
        seen = np.asarray(seen)
        for t in itertools.count():
            key_act, key_step = jax.random.split(jax.random.fold_in(key_steps, t))
            action = np.asarray(act(seen, key_act))
            state, after = take(env, key_step, state, action)
            after = jax.device_get(after)
            columns: Any = (seen, action, *after[1:2], *after[:1], *after[2:])
            yield Transition(*columns)
            seen = after.observation
            if after.terminated or after.truncated:
                break


def random_transitions(
    env: Environment,
    key: Key,
    timesteps: int,
    num_envs: int,
    sticky_action_prob: float = 0.0,
    allowed: np.ndarray | None = None,
) -> Transition:
    """Return at least `timesteps` transitions of uniformly random actions, `[T, B, ...]`.

    Args:
        env: the environment.
        key: random key.
        timesteps: over all parallel environments; T is the smallest number that suffices.
        num_envs: parallel environments.
        sticky_action_prob: probability of repeating the previous action; 0 is plain random.
        allowed: bool `[n]`, the discrete actions that are tried; None: all.
    """
    steps = -(-timesteps // num_envs)
    key_open, key_act, key_keep, key_step = jax.random.split(key, 4)
    actions = random_actions(env.action_space, key_act, (steps, num_envs), allowed)
    keep = jax.random.uniform(key_keep, (steps, num_envs)) < sticky_action_prob
    actions = hold(actions, keep)
    envs = open_envs(env, key_open, num_envs)
    _, transitions, _ = rollout(env, lambda _, action: (action, None), envs, key_step, actions)
    return transitions


def random_actions(
    space: gymnasium.Space,
    key: Key,
    batch: tuple[int, ...],
    allowed: np.ndarray | None = None,
) -> Array:
    """Return uniformly random actions.

    Dimensions without a finite range are drawn as Gymnasium does: from the standard normal
    distribution or, with one bound, at an exponentially distributed distance from it.

    Args:
        space: of the actions.
        key: random key.
        batch: leading axes.
        allowed: bool `[n]`, the discrete actions to draw from; None: all.

    Returns:
        int32 `[*batch]`, or float32 `[*batch, p]` for a `Box`.
    """
    if allowed is not None:
        choices = np.flatnonzero(allowed).astype(np.int32)
        return jnp.asarray(choices)[jax.random.randint(key, batch, 0, len(choices), jnp.int32)]
    if not is_continuous(space):
        return jax.random.randint(key, batch, 0, action_count(space), jnp.int32)
    low, high = bounds(space)
    shape = (*batch, len(low))
    with np.errstate(over="ignore", invalid="ignore"):  # the largest float32 stands for no bound
        narrow = np.isfinite(high - low)
    from_below, from_above = np.isfinite(low), np.isfinite(high)
    from_below, from_above = (
        from_below & (narrow | ~from_above),
        from_above & (narrow | ~from_below),
    )
    bottom, top = np.where(from_below, low, 0.0), np.where(from_above, high, 0.0)
    if (from_below & from_above).all():
        return jax.random.uniform(key, shape, minval=bottom, maxval=top)
    keys = jax.random.split(key, 3)
    uniform, normal = jax.random.uniform(keys[0], shape), jax.random.normal(keys[1], shape)
    distance = jax.random.exponential(keys[2], shape)
    one_sided = jnp.where(from_below, bottom + distance, top - distance)
    action = jnp.where(from_below | from_above, one_sided, normal)
    return jnp.where(from_below & from_above, bottom + uniform * (top - bottom), action)


def hold(actions: Array, keep: Array) -> Array:
    """Return actions `[T, B, ...]` where `keep`, `[T, B]`, repeats the previous one."""

    def step(last: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        action, kept = now
        action = jnp.where(kept.reshape(-1, *[1] * (action.ndim - 1)), last, action)
        return action, action

    return jax.lax.scan(step, actions[0], (actions, keep))[1]
