"""Whole episodes, in environments and with policies whose every number can be told beforehand."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from embrl.core.types import TimeStep
from embrl.envs import Environment
from embrl.envs.gym import HostEnvironment
from embrl.training.episodes import play_episodes

KEY = jax.random.key(0)


class Steps(Environment):
    """Observes the steps taken; each pays the action. Ends after `end`."""

    end: int = 4
    truncates: bool = False

    @property
    def observation_space(self):
        return spaces.Box(0.0, 100.0, (1,))

    @property
    def action_space(self):
        return spaces.Box(-1.0, 2.0, (2,))

    def reset(self, key):
        return jnp.float32(0.0), jnp.zeros(1)

    def step(self, key, state, action):
        state = state + 1.0
        over = state >= self.end
        reward = action.sum()
        return state, TimeStep(state[None], reward, over & ~self.truncates, over & self.truncates)


class HostSteps(gymnasium.Env):
    """The same on the host."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, end=4, render_mode=None):
        self.end, self.render_mode = end, render_mode
        self.observation_space = spaces.Box(0.0, 100.0, (1,))
        self.action_space = spaces.Box(-1.0, 2.0, (2,))
        self.now = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.now = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.now += 1
        seen = np.full(1, self.now, np.float32)
        return seen, float(action.sum()), self.now >= self.end, False, {}

    def render(self):
        return np.full((2, 3, 3), self.now, np.uint8)


class Told(eqx.Module):
    """Half of the steps taken and a number drawn; greedy without the number."""

    allowed = None

    def in_environment(self, env):
        return self

    def noise(self, key, batch):
        return jax.random.uniform(key, batch)

    def act(self, observation, noise, mask=None):
        return jnp.concatenate([observation / 2.0, noise[:, None]], -1), None

    def mode(self, observation, mask=None):
        return jnp.concatenate([observation / 2.0, jnp.zeros_like(observation)], -1)


ENVIRONMENTS = {"compiled": Steps(), "host": HostEnvironment.of(HostSteps)}


@pytest.mark.parametrize("env", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_an_episode_is_all_that_happened(env):
    episodes = list(play_episodes(env, Told(), KEY, episodes=2, greedy=True))  # type: ignore[arg-type]
    assert len(episodes) == 2
    for episode in episodes:
        np.testing.assert_array_equal(episode.observations[:, 0], [0, 1, 2, 3, 4])
        np.testing.assert_array_equal(episode.actions[:, 0], [0, 0.5, 1, 1.5])
        np.testing.assert_array_equal(episode.rewards, [0, 0.5, 1, 1.5])
        assert episode.total == episode.rewards.sum()
        assert episode.length == 4
        assert episode.terminated
        assert not episode.cut


@pytest.mark.parametrize("env", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_draws_are_the_same_for_a_key_and_differ_between_episodes(env):
    def drawn(key):
        played = play_episodes(env, Told(), key, episodes=3)  # type: ignore[arg-type]
        return np.stack([episode.actions[:, 1] for episode in played])

    first = drawn(KEY)
    np.testing.assert_array_equal(first, drawn(KEY))
    assert len(np.unique(first)) == first.size
    assert not np.array_equal(first, drawn(jax.random.key(1)))


@pytest.mark.parametrize("env", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_a_cut_episode_says_so_and_the_next_begins_anew(env):
    played = list(play_episodes(env, Told(), KEY, episodes=2, max_steps=3))  # type: ignore[arg-type]
    for episode in played:
        assert (episode.length, episode.cut, episode.terminated) == (3, True, False)
        np.testing.assert_array_equal(episode.observations[:, 0], [0, 1, 2, 3])
    assert not np.array_equal(played[0].actions, played[1].actions)
    whole = list(play_episodes(env, Told(), KEY, episodes=1, max_steps=4))  # type: ignore[arg-type]
    assert not whole[0].cut


def test_a_limit_of_steps_is_an_end_but_not_of_the_world():
    (episode,) = play_episodes(Steps(truncates=True), Told(), KEY, episodes=1)  # type: ignore[arg-type]
    assert (episode.length, episode.terminated, episode.cut) == (4, False, False)


def test_pictures_are_of_the_states_that_are_acted_in():
    shown = []
    list(
        play_episodes(
            ENVIRONMENTS["host"],  # type: ignore[arg-type]
            Told(),  # type: ignore[arg-type]
            KEY,
            episodes=2,
            on_state=lambda render: shown.append(render()[0, 0, 0]),
        )
    )
    assert shown == [0, 1, 2, 3] * 2


def test_looking_away_closes_the_environment():
    closed = []

    class Closing(HostSteps):
        def close(self):
            closed.append(self.now)

    played = play_episodes(HostEnvironment.of(Closing), Told(), KEY, episodes=5)  # type: ignore[arg-type]
    next(played)
    played.close()  # type: ignore[attr-defined]
    assert closed[-1] in (0, 4)
    assert len(closed) == 2  # also the one whose spaces were looked at
