"""Whole episodes of a trained policy, one after another, step by step, to be looked at."""

import itertools
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from embrl.algorithms.policy import OverallPolicy
from embrl.core.types import Key, Transition
from embrl.envs import AnyEnvironment, Environment

Look = Callable[[Callable[[], Any]], None]
"""Called before each step with what makes a picture of the state that is to be acted in."""


class Episode(NamedTuple):
    """One episode of `L` steps, in embrl's forms of observations and actions."""

    observations: np.ndarray
    """`[L + 1, ...]`, the last one included."""
    actions: np.ndarray
    """`[L, ...]`."""
    rewards: np.ndarray
    """float32 `[L]`."""
    terminated: bool
    """The end of the world, and no limit of steps."""
    cut: bool
    """It would have gone on: nobody wanted to see more."""

    @property
    def total(self) -> float:
        """The undiscounted return."""
        return float(self.rewards.sum(dtype=np.float64))

    @property
    def length(self) -> int:
        """Steps, L."""
        return len(self.rewards)


def play(
    env: AnyEnvironment,
    policy: OverallPolicy,
    key: Key,
    *,
    episodes: int,
    greedy: bool = False,
    most: int | None = None,
    look: Look | None = None,
) -> Iterator[Episode]:
    """Plays episodes, the same ones for the same key.

    Arguments:
        greedy: the likeliest internal action instead of a draw.
        most: steps after which an episode is cut; None: it is played to its end, if it has one.
        look: for environments on the host only.

    Raises:
        EmbrlError: the environment fails; the message says at which step.
    """
    stream: Generator[Transition] | None = None
    try:
        for number in range(episodes):
            if stream is None:
                begin = jax.random.fold_in(key, number)
                if isinstance(env, Environment):
                    stream = _compiled(env, policy, begin, greedy)
                else:
                    stream = _hosted(env, policy, begin, greedy, look)
            episode = _episode(stream, most)
            if episode.cut:  # lanes begin anew only where an episode ends
                stream.close()
                stream = None
            yield episode
    finally:
        if stream is not None:
            stream.close()


def _episode(stream: Iterator[Transition], most: int | None) -> Episode:
    steps: list[Transition] = []
    for step in stream:
        steps.append(step)
        if step.terminated or step.truncated or len(steps) == most:
            break
    last = steps[-1]
    return Episode(
        np.stack([step.observation for step in steps] + [last.next_observation]),
        np.stack([step.action for step in steps]),
        np.array([step.reward for step in steps], np.float32),
        bool(last.terminated),
        not (last.terminated or last.truncated),
    )


def _hosted(
    env: Any, policy: OverallPolicy, key: Key, greedy: bool, look: Look | None
) -> Generator[Transition]:
    choose = jax.jit(_mode if greedy else _act)
    seed = int(jax.random.bits(jax.random.fold_in(key, 0)))
    opened = env.open(1, seed) if look is None else env.render_lanes(1, seed)
    with opened as lanes:
        for t in itertools.count(1):
            if look is not None:
                look(lambda: lanes.render()[0])
            seen = lanes.observations
            action = np.asarray(choose(policy, seen, jax.random.fold_in(key, t)))
            after = lanes.step(action)
            columns = (seen, action, after.reward, after.observation)
            ended = (after.terminated, after.truncated)
            yield Transition(*(column[0] for column in (*columns, *ended)))


def _compiled(
    env: Environment, policy: OverallPolicy, key: Key, greedy: bool
) -> Generator[Transition]:
    choose = _mode if greedy else _act

    @jax.jit
    def step(env: Environment, policy: OverallPolicy, state: Any, seen: Any, key: Key) -> Any:
        key_act, key_step = jax.random.split(key)
        action = choose(policy, seen[None], key_act)[0]
        state, after = env.step(key_step, state, action)
        return state, Transition(seen, action, after.reward, *after[:1], *after[2:])

    reset = jax.jit(lambda env, key: env.reset(key))
    for number in itertools.count():
        key_reset, key_steps = jax.random.split(jax.random.fold_in(key, number))
        state, seen = reset(env, key_reset)
        for t in itertools.count():
            state, taken = step(env, policy, state, seen, jax.random.fold_in(key_steps, t))
            seen = taken.next_observation
            taken = jax.device_get(taken)
            yield taken
            if taken.terminated or taken.truncated:
                break


def _act(policy: OverallPolicy, seen: Any, key: Key) -> Any:
    seen = jnp.asarray(seen)
    return policy.act(seen, policy.noise(key, seen.shape[:1]))[0]


def _mode(policy: OverallPolicy, seen: Any, key: Key) -> Any:
    del key
    return policy.mode(jnp.asarray(seen))
