"""Transitions from a JAX environment: any number of lanes, reset where episodes end."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from embrl.core.spaces import action_count, bounds, is_continuous
from embrl.core.types import EnvState, Key, Observation, Transition
from embrl.envs.environment import Environment
from embrl.envs.host import HostLanes

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


# DOC Actions drawn without looking.


def random_actions(
    space: gymnasium.Space,
    key: Key,
    batch: tuple[int, ...],
    allowed: np.ndarray | None = None,
) -> Array:
    """Every action of a space is as likely as any other.

    Numbers without a finite range are drawn as Gymnasium does: from the standard normal
    distribution, or, with one bound, at an exponentially distributed distance from it.

    Arguments:
        allowed: bool `[n]`, the discrete actions to draw from; None: all.

    **Returns** int32 `[*batch]`, or float32 `[*batch, p]` for a `Box`.
    """
    if allowed is not None:
        places = np.flatnonzero(allowed).astype(np.int32)
        return jnp.asarray(places)[jax.random.randint(key, batch, 0, len(places), jnp.int32)]
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
    """Actions `[T, B, ...]` where `keep`, `[T, B]`, repeats the lane's last one."""

    def step(last: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        action, kept = now
        action = jnp.where(kept.reshape(-1, *[1] * (action.ndim - 1)), last, action)
        return action, action

    return jax.lax.scan(step, actions[0], (actions, keep))[1]


# DOC Transitions from environments on the host.


Choose = Callable[[np.ndarray, int], tuple[Any, Any]]
"""Actions `[rows, B, ...]`, and what else is to be kept of the choice, for observations like them
and the number of the step."""


def host_rollout(lanes: HostLanes, steps: int, choose: Choose, rows: int) -> tuple[Transition, Any]:
    """So many steps of lanes that belong to several rows, row by row: transitions and what else was
    kept, `[rows, T, B, ...]`.
    """

    def by_row(values: np.ndarray) -> np.ndarray:
        return values.reshape(rows, -1, *values.shape[1:])

    kept: list[Any] = []
    columns: list[tuple[np.ndarray, ...]] = []
    for t in range(steps):
        seen = lanes.observations
        action, extra = choose(by_row(seen), t)
        action = np.asarray(action)
        after = lanes.step(action.reshape(-1, *action.shape[2:]))
        flat = (seen, after.reward, after.observation, after.terminated, after.truncated)
        observation, *others = (by_row(column) for column in flat)
        columns.append((observation, action, *others))
        kept.append(None if extra is None else np.asarray(extra))
    stacked = [np.stack(column, axis=1) for column in zip(*columns, strict=True)]
    extras = None if kept[0] is None else np.stack(kept, axis=1)
    return Transition(*stacked), extras  # type: ignore[arg-type]
