"""Transitions from a JAX environment: any number of lanes, reset where episodes end."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from embrl.data.random_actions import hold, random_actions
from embrl.envs.environment import Environment
from embrl.types import EnvState, Key, Observation, Transition

Extra = TypeVar("Extra")


class Lanes(NamedTuple):
    """`B` environments side by side, in the middle of their episodes."""

    state: EnvState
    observation: Observation


def open_lanes(env: Environment, key: Key, lanes: int) -> Lanes:
    """Starts `lanes` episodes."""
    return Lanes(*jax.vmap(env.reset)(jax.random.split(key, lanes)))


def rollout(
    env: Environment,
    act: Callable[[Observation, Any], tuple[Array, Extra]],
    lanes: Lanes,
    key: Key,
    noise: Any,
) -> tuple[Lanes, Transition, Extra]:
    """Takes `T` steps in every lane.

    Arguments:
        act: the actions `[B]` for observations `[B, ...]` and one step's noise, and whatever else
            is to be kept of the choice.
        noise: a pytree with leading axes `[T, B]`.

    **Returns** the lanes to go on with, transitions `[T, B, ...]` and act's extras `[T, B, ...]`.
    Where an episode ends, the lane is reset, but the transition keeps the true last observation.
    """
    count = lanes.observation.shape[0]
    steps = jax.tree.leaves(noise)[0].shape[0]

    def step(lanes: Lanes, now: tuple[Key, Any]) -> tuple[Lanes, tuple[Transition, Extra]]:
        key, noise = now
        key_step, key_reset = jax.random.split(key)
        action, extra = act(lanes.observation, noise)
        state, after = jax.vmap(env.step)(jax.random.split(key_step, count), lanes.state, action)
        transition = Transition(lanes.observation, action, *after[1:2], *after[:1], *after[2:])
        fresh = open_lanes(env, key_reset, count)
        done = after.terminated | after.truncated
        following = jax.tree.map(
            lambda new, old: jnp.where(done.reshape(-1, *[1] * (old.ndim - 1)), new, old),
            fresh,
            Lanes(state, after.observation),
        )
        return following, (transition, extra)

    lanes, (transitions, extras) = jax.lax.scan(step, lanes, (jax.random.split(key, steps), noise))
    return lanes, transitions, extras


def random_transitions(
    env: Environment,
    key: Key,
    samples: int,
    lanes: int,
    persistence: float = 0.0,
    allowed: np.ndarray | None = None,
) -> Transition:
    """At least `samples` transitions of uniformly random actions, `[T, B, ...]`: the fewest
    steps of all lanes that make as many.

    Arguments:
        persistence: the probability of repeating the lane's last action. 0 is plain random.
        allowed: bool `[n]`, the discrete actions that are tried; None: all.
    """
    steps = -(-samples // lanes)
    key_open, key_act, key_keep, key_step = jax.random.split(key, 4)
    actions = random_actions(env.action_space, key_act, (steps, lanes), allowed)
    keep = jax.random.uniform(key_keep, (steps, lanes)) < persistence
    actions = hold(actions, keep)
    _, transitions, _ = rollout(
        env, lambda _, action: (action, None), open_lanes(env, key_open, lanes), key_step, actions
    )
    return transitions
