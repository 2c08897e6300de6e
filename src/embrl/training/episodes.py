"""Whole episodes of a trained policy, one after another, step by step, to be looked at."""

import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from embrl.algorithms.policy import OverallPolicy
from embrl.core.errors import EmbrlWarning, check_positive
from embrl.core.types import Key, Transition
from embrl.data.host_rollout import host_steps
from embrl.data.rollout import single_steps
from embrl.envs import AnyEnvironment, Environment
from embrl.training.evaluation import longest_episode, of_cut_episodes, play

HOST_ENVS = 8
"""Environments on the host that an evaluation steps side by side, at most."""

OnState = Callable[[Callable[[], Any]], None]
"""Called before each step with a function that renders the state that is to be acted in."""


class Episode(NamedTuple):
    """One episode of `L` steps, in embrl's forms of observations and actions."""

    observations: np.ndarray
    """`[L + 1, ...]`, the last one included."""
    actions: np.ndarray
    """`[L, ...]`."""
    rewards: np.ndarray
    """float32 `[L]`."""
    terminated: bool
    """True if the episode terminated, not truncated."""
    cut: bool
    """True if it was stopped after a number of steps and would have continued."""
    transcript: tuple[str, ...] | None = None
    """The episode as lines of text, where its environment has such a form."""

    @property
    def total(self) -> float:
        """The undiscounted return."""
        return float(self.rewards.sum(dtype=np.float64))

    @property
    def length(self) -> int:
        """Number of steps, L."""
        return len(self.rewards)


def play_episodes(
    env: AnyEnvironment,
    policy: OverallPolicy,
    key: Key,
    *,
    episodes: int,
    greedy: bool = False,
    max_steps: int | None = None,
    on_state: OnState | None = None,
) -> Iterator[Episode]:
    """Play episodes, the same ones for the same key.

    Args:
        env: the environment.
        policy: the policy.
        key: random key.
        episodes: how many.
        greedy: whether to take the most likely internal action instead of drawing one.
        max_steps: steps after which an episode is cut; None: as in `longest_episode`, with a
            warning.
        on_state: looks at each state, if the environment can be drawn.

    Raises:
        EmbrlError: the environment fails; the message says at which step.
    """
    policy = policy.in_environment(env)
    stream: Generator[Transition] | None = None
    longest = int(longest_episode(env, max_steps))
    try:
        for number in range(episodes):
            if stream is None:
                begin = jax.random.fold_in(key, number)
                if isinstance(env, Environment):
                    stream = _compiled(env, policy, begin, greedy, on_state)
                else:
                    stream = _hosted(env, policy, begin, greedy, on_state)
            episode = _episode(stream, longest)
            if episode.cut:  # environments reset only where an episode ends
                stream.close()
                stream = None
                if max_steps is None:
                    warn_of_cut_episodes(env, 1, longest)
                    max_steps = longest  # there is one warning
            if isinstance(env, Environment):
                said = env.transcript(episode.observations, episode.actions, episode.rewards)
                episode = episode._replace(transcript=said)
            yield episode
    finally:
        if stream is not None:
            stream.close()


class Evaluation(NamedTuple):
    """Undiscounted returns and lengths of whole episodes."""

    returns: np.ndarray
    """float64 `[episodes]`."""
    lengths: np.ndarray
    """int64 `[episodes]`."""
    cut: int = 0
    """Number of them that were cut after a number of steps, and would have continued."""

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    @property
    def std(self) -> float:
        """Standard deviation of the returns."""
        return float(self.returns.std())


def evaluate_policy(
    env: AnyEnvironment,
    policy: OverallPolicy,
    key: Key,
    episodes: int,
    deterministic: bool,
    max_episode_steps: int | None = None,
) -> Evaluation:
    """Play episodes side by side, each to its end; the same ones for the same key.

    Args:
        env: the environment.
        policy: the policy.
        key: random key.
        episodes: how many.
        deterministic: whether to take the most likely internal action instead of drawing one.
        max_episode_steps: steps after which an episode is cut, with a warning; None: as in
            `longest_episode`.

    Raises:
        SettingError: `episodes` is below 1.
        EmbrlError: the environment fails.
    """
    check_positive("episodes", episodes)
    policy = policy.in_environment(env)
    choose = _most_likely if deterministic else _sampled
    longest = int(longest_episode(env, max_episode_steps))
    if isinstance(env, Environment):

        @jax.jit
        def run(env: Environment, policy: OverallPolicy, key: Key) -> Any:
            def act(key: Key, seen: Any, mask: Any) -> Any:
                return choose(policy, seen, key, mask)

            return play(env, act, key, episodes, longest)

        found = jax.device_get(run(env, policy, key))
        cut = int((~found.ended).sum())
        warn_of_cut_episodes(env, cut, longest)
        return Evaluation(np.asarray(found.returns, float), np.asarray(found.lengths, int), cut)
    act = jax.jit(choose)
    num_envs = min(episodes, HOST_ENVS)
    quota = np.full(num_envs, episodes // num_envs) + (np.arange(num_envs) < episodes % num_envs)
    returns: list[float] = []
    lengths: list[int] = []
    total, length, cut = np.zeros(num_envs), np.zeros(num_envs, int), 0
    cuts = env.max_episode_steps is None or env.max_episode_steps > longest
    seed = int(jax.random.bits(jax.random.fold_in(key, 0)))
    with env.open(num_envs, seed, max_episode_steps=longest, evaluation=True) as envs:
        keys = jax.random.fold_in(key, 1)
        steps = host_steps(
            envs,
            lambda seen, t, masks: (
                act(policy, seen[0], jax.random.fold_in(keys, t), _first(masks))[None],
                None,
            ),
            allowed=policy.allowed,
        )
        while quota.any():
            step = jax.tree.map(lambda column: column[0], next(steps).transition)
            total, length = total + step.reward, length + 1
            over = (length >= longest) & ~step.terminated
            for at in np.flatnonzero(step.terminated | step.truncated | over):
                # As many of each environment: more of those that end first would be short.
                if quota[at]:
                    cut += bool(over[at]) and cuts
                    returns.append(total[at])
                    lengths.append(length[at])
                    quota[at] -= 1
                total[at], length[at] = 0.0, 0
    warn_of_cut_episodes(env, cut, longest)
    return Evaluation(np.array(returns), np.array(lengths), cut)


def warn_of_cut_episodes(env: AnyEnvironment, cut: int, longest: int) -> None:
    """Warn that episodes were cut, if any were."""
    if cut:
        name = type(env).__name__ if isinstance(env, Environment) else env.name
        warnings.warn(EmbrlWarning(of_cut_episodes(name, cut, longest)), stacklevel=3)


def _episode(stream: Iterator[Transition], max_steps: int | None) -> Episode:
    steps: list[Transition] = []
    for step in stream:
        steps.append(step)
        if step.terminated or step.truncated or len(steps) == max_steps:
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
    env: Any, policy: OverallPolicy, key: Key, greedy: bool, on_state: OnState | None
) -> Generator[Transition]:
    act = jax.jit(_most_likely if greedy else _sampled)
    seed = int(jax.random.bits(jax.random.fold_in(key, 0)))
    rendered = on_state is not None
    opened = env.open_rendered(1, seed) if rendered else env.open(1, seed, evaluation=True)
    with opened as envs:

        def choose(seen: np.ndarray, t: int, masks: np.ndarray | None) -> tuple[Any, None]:
            if on_state is not None:
                on_state(lambda: envs.render()[0])
            now = jax.random.fold_in(key, t + 1)
            return act(policy, seen[0], now, _first(masks))[None], None

        for step, *_ in host_steps(envs, choose, allowed=policy.allowed):
            yield jax.tree.map(lambda column: column[0, 0], step)


def _compiled(
    env: Environment,
    policy: OverallPolicy,
    key: Key,
    greedy: bool,
    on_state: OnState | None,
) -> Generator[Transition]:
    act = jax.jit(_most_likely if greedy else _sampled)
    return single_steps(
        env,
        lambda seen, key, mask: act(policy, seen[None], key, None if mask is None else mask[None])[
            0
        ],
        key,
        None if on_state is None else lambda state: on_state(lambda: env.render(state)),
    )


def _first(masks: np.ndarray | None) -> np.ndarray | None:
    return None if masks is None else masks[0]


def _sampled(policy: OverallPolicy, seen: Any, key: Key, masks: Any) -> Any:
    seen = jnp.asarray(seen)
    return policy.act(seen, policy.noise(key, seen.shape[:1]), masks)[0]


def _most_likely(policy: OverallPolicy, seen: Any, key: Key, masks: Any) -> Any:
    del key
    return policy.mode(jnp.asarray(seen), masks)
