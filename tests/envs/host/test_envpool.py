"""envpool, by a stand-in that behaves as envpool's documentation says: an ended episode is
reset at the next step, whose action is discarded; `reset(env_id)` resets some environments;
results come in any order, with `info["env_id"]`.
"""

import sys
import types
from typing import Any

import gymnasium
import numpy as np
import pytest
from counting import configured
from gymnasium import spaces

from embrl.core.errors import EmbrlError

BOX, CHOICE = spaces.Box(-10.0, 1e9, (2,), np.float64), spaces.Discrete(2)


class Pool:
    made: "list[Pool]" = []  # noqa: RUF012

    def __init__(self, num_envs, seed, max_episode_steps=3):
        self.seeds, self.limit = seed, max_episode_steps
        self.count, self.done = np.zeros(num_envs, int), np.ones(num_envs, bool)
        self.episodes, self.discarded, self.closed = np.zeros(num_envs, int), 0, False
        Pool.made.append(self)

    def reset(self, env_id):
        assert env_id.dtype == np.int32
        self.count[env_id], self.done[env_id] = 0, False
        self.episodes[env_id] += 1
        return self._seen(env_id[::-1]), {"env_id": env_id[::-1]}

    def step(self, actions):
        self.discarded += int(self.done.sum())
        if (actions == 1).any() and self.count.max() == 1:
            raise RuntimeError("broken")
        self.count = np.where(self.done, 0, self.count + 1)
        truncated = self.count >= self.limit
        terminated = (self.count == 2) & (np.arange(len(self.count)) == 1)
        self.done = terminated | truncated
        order = np.arange(len(self.count))[::-1]
        return (
            self._seen(order),
            self.count[order].astype(np.float64),
            terminated[order],
            truncated[order],
            {"env_id": order},
        )

    def _seen(self, indices):
        return np.stack([self.episodes[indices] * 100 + indices, self.count[indices]], -1).astype(
            float
        )

    def close(self):
        self.closed = True


@pytest.fixture
def envpool(monkeypatch):
    module = types.ModuleType("envpool")
    spec = types.SimpleNamespace(gymnasium_observation_space=BOX, gymnasium_action_space=CHOICE)
    vars(module).update(
        list_all_envs=lambda: ["Pendulum-v1"],
        make_spec=lambda name, **options: spec,
        make_gymnasium=lambda name, **options: Pool(**options),
    )
    monkeypatch.setitem(sys.modules, "envpool", module)
    Pool.made.clear()
    from embrl.envs.gym import registration

    registration._built.cache_clear()
    yield module
    registration._built.cache_clear()


def test_true_last_observations_and_no_lost_action(envpool):
    environment = configured("Pendulum-v1", vector="envpool", max_episode_steps=4).build()
    assert environment.action_space == CHOICE
    with environment.open(3, 0) as parallel:
        assert parallel.observations.tolist() == [[100, 0], [101, 0], [102, 0]]
        zeros = np.zeros(3, int)
        parallel.step(zeros)
        step = parallel.step(zeros)
        assert step.observation.tolist() == [[100, 2], [101, 2], [102, 2]]
        assert step.terminated.tolist() == [False, True, False]
        assert parallel.observations.tolist() == [[100, 2], [201, 0], [102, 2]]
        parallel.step(zeros)
        step = parallel.step(zeros)
        assert step.truncated.tolist() == [True, False, True]
        assert step.reward.tolist() == [4, 2, 4]
        assert parallel.observations.tolist() == [[200, 0], [301, 0], [202, 0]]
    assert Pool.made[0].discarded == 0
    assert Pool.made[0].closed
    assert len(set(Pool.made[0].seeds)) == 3


def test_what_it_raises_is_one_line(envpool):
    with configured("Pendulum-v1", vector="envpool").build().open(2, 0) as parallel:
        parallel.step(np.array([0, 0]))
        with pytest.raises(
            EmbrlError, match=r"^Pendulum-v1: envpool raised RuntimeError at step 2: b"
        ):
            parallel.step(np.array([1, 1]))


def test_other_names_are_refused(envpool):
    with pytest.raises(EmbrlError, match="unknown environment of envpool 'CartPole-v1'"):
        configured("CartPole-v1", vector="envpool").build()


def test_without_envpool_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(EmbrlError, match=r"pip install 'embrl\[envpool\]'"):
        configured("Acrobot-v1", vector="envpool").build()


def test_the_real_one_resets_itself_so():
    pytest.importorskip("envpool", reason="needs envpool: pip install 'embrl[envpool]'")
    environment = configured("Pendulum-v1", vector="envpool", max_episode_steps=5).build()
    with environment.open(3, 0) as parallel:
        before = parallel.observations
        for t in range(1, 11):
            step = parallel.step(np.full((3, 1), 0.5, np.float32))
            assert (step.truncated == (t % 5 == 0)).all()
            # A fifth of a second at most: the angle moves on, and by little, unless it was reset.
            turn = np.arccos(np.clip((before[:, :2] * step.observation[:, :2]).sum(-1), -1, 1))
            assert (turn <= 0.4 + 1e-3).all()
            assert (turn > 0).all()
            before = parallel.observations


@pytest.mark.parametrize(("name", "unseen"), [("Ant-v5", 2), ("HalfCheetah-v5", 1)])
def test_the_real_ones_robots_move_as_gymnasiums(name, unseen):
    """From the same first states: the place, which is not observed, changes nothing.

    Three steps, as contacts are solved to a tolerance and differences grow.
    """
    pytest.importorskip("mujoco", reason="needs embrl[gymnasium]")
    pytest.importorskip("envpool", reason="needs envpool: pip install 'embrl[envpool]'")
    robots: list[Any] = [gymnasium.make(name).unwrapped for _ in range(8)]
    model, space = robots[0].model, robots[0].action_space
    positions = model.nq - unseen
    generator = np.random.default_rng(0)
    with configured(name, vector="envpool").build().open(len(robots), 0) as parallel:
        for robot, seen in zip(robots, parallel.observations, strict=True):
            robot.reset(seed=0)
            place, velocity = np.zeros(unseen), seen[positions : positions + model.nv]
            robot.set_state(np.concatenate([place, seen[:positions]]), velocity)
        for _ in range(3):
            actions = generator.uniform(-1, 1, (len(robots), *space.shape)).astype(np.float32)
            pool = parallel.step(actions)
            for i, (robot, action) in enumerate(zip(robots, actions, strict=True)):
                observation, reward, terminated, *_ = robot.step(action)
                np.testing.assert_allclose(pool.observation[i], observation, rtol=5e-3, atol=5e-3)
                np.testing.assert_allclose(pool.reward[i], reward, rtol=0, atol=1e-3)
                assert pool.terminated[i] == terminated
