"""Rollouts in an environment that counts, so that every number in them is predictable."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from jaxtyping import Array

from embrl.core.types import Key, TimeStep, Transition
from embrl.data.rollout import OpenEnvs, open_envs, random_transitions, rollout
from embrl.envs import Environment

KEY = jax.random.key(0)
LIMIT = 4
"""Steps until an episode of the counter is truncated."""
QUIT = 6
"""The action that terminates an episode."""

FIRST_ACTIONS = [5, 5, 4, 6, 3, 2, 2, 6, 1, 2, 2, 5, 1, 2, 5, 0, 1, 2, 6, 3, 1, 2, 6, 5]


class Count(NamedTuple):
    """Where the counter stands, and where this episode began."""

    now: Array
    steps: Array


class Counter(Environment):
    """Counts up by the action from a random multiple of 100; QUIT terminates."""

    @property
    def observation_space(self) -> spaces.MultiDiscrete:
        return spaces.MultiDiscrete([10_000, LIMIT + 1])

    @property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(QUIT + 1)

    def reset(self, key: Key) -> tuple[Count, Array]:
        state = Count(100 * jax.random.randint(key, (), 0, 100), jnp.int32(0))
        return state, jnp.stack(state)

    def step(self, key: Key, state: Count, action: Array) -> tuple[Count, TimeStep]:
        del key
        state = Count(state.now + action, state.steps + 1)
        terminated = action == QUIT
        return state, TimeStep(
            observation=jnp.stack(state),
            reward=action.astype(jnp.float32),
            terminated=terminated,
            truncated=(state.steps >= LIMIT) & ~terminated,
        )


def follow(actions: np.ndarray, key: Key = KEY) -> tuple[OpenEnvs, Transition, Array]:
    """Plays actions `[T, B]`."""
    envs = open_envs(Counter(), key, actions.shape[1])

    def act(observation: Array, noise: Array, mask: Any) -> tuple[Array, Array]:
        assert mask is None
        return noise, observation[..., 0] + noise

    *found, masks = jax.jit(lambda: rollout(Counter(), act, envs, key, jnp.asarray(actions)))()
    assert masks is None
    return tuple(found)  # type: ignore[return-value]


class Halves(Counter):
    """The counter, seen as half its numbers, which are floats."""

    @property
    def observation_space(self) -> spaces.Box:  # type: ignore[override]
        return spaces.Box(0.0, 5_000.0, (2,))

    def reset(self, key: Key) -> tuple[Count, Array]:
        state, seen = super().reset(key)
        return state, seen.astype(jnp.float32) / 2

    def step(self, key: Key, state: Count, action: Array) -> tuple[Count, TimeStep]:
        state, after = super().step(key, state, action)
        return state, after._replace(observation=after.observation.astype(jnp.float32) / 2)


@pytest.fixture(scope="module")
def played() -> Transition:
    """Forty steps of five environments, with both kinds of episode end."""
    actions = np.random.default_rng(0).integers(QUIT + 1, size=(40, 5)).astype(np.int32)
    _, transitions, extras = follow(actions)
    np.testing.assert_array_equal(transitions.action, actions)
    np.testing.assert_array_equal(extras, transitions.observation[..., 0] + actions)
    assert transitions.terminated.sum() > 5
    assert transitions.truncated.sum() > 5
    return jax.tree.map(np.asarray, transitions)


def test_the_true_last_observation_is_kept_where_an_episode_ends(played: Transition) -> None:
    counted = played.observation[..., 0] + played.action
    np.testing.assert_array_equal(played.next_observation[..., 0], counted)
    np.testing.assert_array_equal(played.next_observation[..., 1], played.observation[..., 1] + 1)
    np.testing.assert_array_equal(played.reward, played.action)


def test_terminated_and_truncated_stay_apart(played: Transition) -> None:
    np.testing.assert_array_equal(played.terminated, played.action == QUIT)
    at_limit = played.next_observation[..., 1] == LIMIT
    np.testing.assert_array_equal(played.truncated, at_limit & (played.action != QUIT))


def test_transitions_chain_within_an_episode_and_start_anew_after_it(played: Transition) -> None:
    done = (played.terminated | played.truncated)[:-1]
    after, then = played.next_observation[:-1], played.observation[1:]
    np.testing.assert_array_equal(after[~done], then[~done])
    starts = then[done]
    np.testing.assert_array_equal(starts[:, 1], 0)
    np.testing.assert_array_equal(starts[:, 0] % 100, 0)
    assert len(np.unique(starts[:, 0])) > len(starts) // 3  # resets have keys of their own


def test_episodes_begin_alike_whether_drawn_before_or_step_by_step(
    played: Transition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embrl.data.rollout.AHEAD", 0)
    _, transitions, _ = follow(np.asarray(played.action))
    for mine, its in zip(transitions, played, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_a_rollout_can_be_continued() -> None:
    actions = np.random.default_rng(1).integers(QUIT, size=(6, 3)).astype(np.int32)
    envs, transitions, _ = follow(actions)
    going_on = ~np.asarray(transitions.truncated[-1])
    np.testing.assert_array_equal(
        envs.observation[going_on], transitions.next_observation[-1][going_on]
    )
    np.testing.assert_array_equal(envs.observation, jnp.stack(envs.state, axis=-1))


def test_envs_start_apart() -> None:
    envs = open_envs(Counter(), KEY, 20)
    assert len(np.unique(envs.observation[:, 0])) > 15


@pytest.mark.parametrize(("timesteps", "envs", "steps"), [(40, 4, 10), (41, 4, 11), (3, 5, 1)])
def test_there_are_at_least_as_many_transitions_as_asked_for(
    timesteps: int, envs: int, steps: int
) -> None:
    transitions = jax.eval_shape(lambda: random_transitions(Counter(), KEY, timesteps, envs))
    assert transitions.action.shape == (steps, envs)
    assert transitions.next_observation.shape == (steps, envs, 2)


def test_random_transitions_stand_in_the_order_of_time() -> None:
    played = jax.jit(lambda: random_transitions(Counter(), KEY, 200, 5))()
    done = np.asarray(played.terminated | played.truncated)[:-1]
    after, then = np.asarray(played.next_observation)[:-1], np.asarray(played.observation)[1:]
    assert 0 < done.sum() < done.size
    np.testing.assert_array_equal(after[~done], then[~done])
    np.testing.assert_array_equal(then[done][:, 1], 0)


def random_actions(sticky_action_prob: float) -> np.ndarray:
    """`[T, B]`."""
    collect = jax.jit(lambda p: random_transitions(Counter(), KEY, 4000, 8, p))
    return np.asarray(collect(sticky_action_prob).action)


def test_random_actions_are_uniform() -> None:
    counts = np.bincount(random_actions(0.0).ravel(), minlength=QUIT + 1)
    expected = 4000 / (QUIT + 1)
    # Chi-square with 6 degrees of freedom: above 22.5 once in a thousand.
    assert ((counts - expected) ** 2 / expected).sum() < 22.5


@pytest.mark.parametrize("sticky_action_prob", [0.0, 0.75, 1.0])
def test_sticky_action_prob_is_the_probability_of_repeating(sticky_action_prob: float) -> None:
    actions = random_actions(sticky_action_prob)
    repeats = (actions[1:] == actions[:-1]).mean()
    # A fresh action may be the same by chance.
    expected = sticky_action_prob + (1 - sticky_action_prob) / (QUIT + 1)
    assert repeats == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 4000))
    assert len(np.unique(actions[0])) > 1


def test_the_same_key_gives_the_same_transitions() -> None:
    collect = jax.jit(lambda key: random_transitions(Counter(), key, 100, 4))
    once, again, other = collect(KEY), collect(KEY), collect(jax.random.key(1))
    for one, two in zip(once, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (once.action != other.action).any()
    assert (once.observation != other.observation).any()


def test_float_observations_come_through_as_they_are() -> None:
    counted, halves = (
        jax.jit(lambda env=env: random_transitions(env, KEY, 200, 5, 0.25))()
        for env in (Counter(), Halves())
    )
    np.testing.assert_array_equal(halves.action, counted.action)
    assert counted.truncated.any()
    assert counted.terminated.any()
    for seen, whole in (
        (halves.observation, counted.observation),
        (halves.next_observation, counted.next_observation),
    ):
        assert seen.dtype == jnp.float32
        np.testing.assert_array_equal(seen, np.asarray(whole) / 2)


def test_the_random_streams_are_those_of_the_first_version() -> None:
    # Recorded then, when transitions came flat: time first, environments second.
    actions = jax.jit(lambda: random_transitions(Counter(), KEY, 24, 4, 0.5).action)()
    np.testing.assert_array_equal(np.asarray(actions).ravel(), FIRST_ACTIONS)
