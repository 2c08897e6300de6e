"""Transitions of a policy that is a Python function."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError, told
from embrl.core.spaces import check_action
from embrl.core.types import Key, Transition
from embrl.data.rollout import single_steps
from embrl.envs import Environment
from embrl.envs.gym import HostEnvironment
from embrl.envs.gym.contract import close_of, reset_of, results, step_of
from embrl.envs.gym.precision import PrecisionWatch

Behaviour = Callable[[Any], Any]
"""Returns an action for an observation; for Gymnasium's environments, both in their own form."""


def play_host(env: HostEnvironment, policy: Behaviour, timesteps: int, seed: int) -> Transition:
    """Return the transitions of a policy in one of Gymnasium's environments, `[T, 1, ...]`.

    Steps the bare environment: the policy sees observations as it gives them, which
    `embrl.data.rollout.host_steps` has already converted.

    Args:
        env: the environment.
        policy: chooses the actions.
        timesteps: number of timesteps, T.
        seed: of the environment.

    Raises:
        EmbrlError: the policy or the environment raised an error, an action is not in the action
            space, or an observation or a reward is not finite or not in its space.
    """
    bare = env.make()
    try:
        observation = _guarded(env.name, "reset()", lambda: reset_of(bare, seed=seed))[0]
        rows, watch = [], PrecisionWatch(env.name, env.observations)
        for step in range(timesteps):
            action = _guarded(env.name, f"the policy at step {step}", policy, observation)
            action = _in_dtype(bare.action_space, action)
            if not bare.action_space.contains(action):
                raise EmbrlError(
                    f"{env.name}: the policy's action {action!r} at step {step} is not in "
                    f"{bare.action_space}"
                )
            after, *rest, _ = _guarded(env.name, f"step {step}", step_of, bare, action)
            watch(observation)
            now, following = env.observations(observation), env.observations(after)
            ((reward,), *ends), _ = _guarded(
                env.name, f"step {step}", results, *([value] for value in rest)
            )
            env.observations.check(following[None], lambda _: env.name, f"at step {step}")
            if not np.isfinite(reward):
                raise EmbrlError(f"{env.name} gave the reward {reward} at step {step}")
            chosen = env.actions.from_original(action)
            rows.append((now, chosen, reward, following, *(end for (end,) in ends)))
            observation = after
            if any(end for (end,) in ends):
                observation = _guarded(env.name, "reset()", reset_of, bare)[0]
    finally:
        close_of(bare, env.name)
    return _stacked(rows)


def play_compiled(env: Environment, policy: Behaviour, timesteps: int, key: Key) -> Transition:
    """Return the transitions of a policy in one of embrl's environments, `[T, 1, ...]`.

    Args:
        env: the environment.
        policy: chooses the actions.
        timesteps: number of timesteps, T.
        key: random key.

    Raises:
        EmbrlError: the policy raised an error, or an action is not in the action space.
    """
    count = itertools.count()

    def act(seen: np.ndarray, key: Key, mask: np.ndarray | None) -> Any:
        del key, mask
        step = next(count)
        action = _guarded(
            "", f"the policy at step {step}", policy, seen if seen.ndim else int(seen)
        )
        try:
            return check_action(env.action_space, action)
        except EmbrlError as error:
            raise EmbrlError(f"the policy at step {step}: {error}") from error

    return _stacked(itertools.islice(single_steps(env, act, key), timesteps))


def _stacked(rows: Iterable[tuple[Any, ...]]) -> Transition:
    """Return steps, with the fields of a transition each, as `[T, 1, ...]`."""
    observation, action, reward, following, terminated, truncated = (
        np.stack([np.asarray(value) for value in column])[:, None]
        for column in zip(*rows, strict=True)
    )
    columns: Any = (
        observation,
        action,
        reward.astype(np.float32),
        following,
        terminated.astype(bool),
        truncated.astype(bool),
    )
    return Transition(*columns)


def _in_dtype(space: spaces.Space, action: Any) -> Any:
    """Return numbers of a `Box` in its dtype, without which they are not in it; others as are."""
    if not isinstance(space, spaces.Box):
        return action
    try:
        values = np.asarray(action)
    except ValueError:  # of no fixed shape
        return action
    whole = space.dtype.kind == "f" or values.dtype.kind in "biu"
    return values.astype(space.dtype) if values.dtype.kind in "biuf" and whole else action


def _guarded(name: str, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of the user's, and name it in the message if it raises an error."""
    try:
        return function(*arguments)
    except EmbrlError as error:
        if not name:
            raise
        raise EmbrlError(f"{name}: {what} failed: {error}") from error
    except Exception as error:  # whatever the user's own code raises
        where = f"{name}: " if name else ""
        raise EmbrlError(f"{where}{what} raised {told(error)}") from error
