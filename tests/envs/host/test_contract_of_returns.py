"""What environments return beside observations: spaces, tuples, rewards, flags."""

import decimal
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from embrl.core.errors import EmbrlError, EmbrlWarning
from embrl.envs.gym import HostEnvironment
from embrl.envs.gym.contract import NotOneValue, results


def returning(reward: Any = 1.0, terminated: Any = False) -> Any:
    class Returning(gymnasium.Env):
        observation_space = spaces.Box(-1, 1, (2,))
        action_space = spaces.Discrete(3)

        def reset(self, *, seed=None, options=None):
            return np.zeros(2, np.float32), {}

        def step(self, action):
            return np.zeros(2, np.float32), reward, terminated, False, {}

    return Returning


ONE = [
    np.array([2.0]),
    np.float64(2),
    2,
    decimal.Decimal(2),
    np.array(2),
    np.array([2], object),
    [2.0],
    np.ones((1, 1)) * 2,
]


@pytest.mark.parametrize("value", ONE, ids=repr)
def test_a_reward_of_one_number_is_a_number_whatever_holds_it(value):
    (reward, terminated, _), arrays = results([value, 2.0], [np.array([True]), False], [0, 1])
    assert reward.tolist() == [2, 2]
    assert (reward.dtype, terminated.dtype) == (np.float32, bool)
    assert terminated.tolist() == [True, False]
    assert arrays


NONE = [np.zeros(2), None, "1.0", {"a": 1.0}, 1j, [], [1.0, [2.0]], 10**400]


@pytest.mark.parametrize("value", NONE, ids=repr)
def test_other_rewards_and_flags_are_refused_and_which_environment_returned_them(value):
    with pytest.raises(NotOneValue, match=r"reward must be a number") as caught:
        results([1.0, value], [False, False], [False, False])
    assert caught.value.index == 1
    with pytest.raises(NotOneValue, match=r"terminated must be true or false"):
        results([1.0, 1.0], [value, False], [False, False])


@pytest.mark.parametrize("flag", [2, 0.5, np.nan])
def test_a_flag_is_0_or_1(flag):
    with pytest.raises(NotOneValue, match="truncated must be true or false"):
        results([1.0], [False], [flag])


@pytest.mark.parametrize("vector", ["sync", "threads", "async"])
def test_one_warning_for_arrays_and_one_line_for_vectors_however_it_is_stepped(vector):
    host = HostEnvironment.of(returning(np.array([3.0])), "Sized", vector)
    with host.open(2, 0) as envs, pytest.warns(EmbrlWarning, match="Sized .* step 1") as warned:
        assert [envs.step(np.array([0, 1])).reward.tolist() for _ in range(2)] == [[3, 3]] * 2
    assert len(warned) == 1
    host = HostEnvironment.of(returning(np.zeros(2)), "Vector", vector)
    place = r"Vector: environment 0 of 2 failed at step 1: reward must be .* of shape \[2\]"
    with host.open(2, 0) as envs, pytest.raises(EmbrlError, match=place):
        envs.step(np.array([0, 1]))


class Lists(returning()):
    def reset(self, *, seed=None, options=None):
        return [np.zeros(2, np.float32), {}]

    def step(self, action):
        return [np.zeros(2, np.float32), 1.0, False, False, {}]


class WithoutInfo(returning()):
    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), None


@pytest.mark.parametrize("made", [Lists, WithoutInfo])
def test_what_gymnasium_takes_is_taken(made):
    with HostEnvironment.of(made).open(2, 0) as envs:
        assert envs.step(np.array([0, 1])).reward.tolist() == [1, 1]


class OldStep(returning()):
    def step(self, action):
        return np.zeros(2, np.float32), 1.0, False, {}


class OldReset(returning()):
    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32)  # two numbers, which look like a pair


class NoSeed(returning()):
    def reset(self):
        return np.zeros(2, np.float32), {}


@pytest.mark.parametrize("kind", [OldStep, OldReset, NoSeed])
def test_the_interface_before_gym_0_26_is_named(kind):
    with (
        pytest.raises(EmbrlError, match=r"gym before 0\.26"),
        HostEnvironment.of(kind).open(1, 0) as e,
    ):
        e.step(np.array([0]))


@pytest.mark.parametrize("space", [None, (2,), spaces.Box, 4])
def test_a_space_that_is_none_is_named_with_its_value(space):
    class Spaceless(returning()):
        action_space = space

    with pytest.raises(EmbrlError, match=r"Spaceless: action_space must be a gymnasium\.Space"):
        HostEnvironment.of(Spaceless)


def test_an_environment_of_the_old_package_is_told_from_other_objects():
    old: Any = type("CartPoleEnv", (), {"__module__": "gym.envs.classic_control"})()
    with pytest.raises(EmbrlError, match="old package gym"):
        HostEnvironment.of(old)
    with pytest.raises(EmbrlError, match="old package gym"):
        HostEnvironment.of(lambda: old)
    alike: Any = type("Alike", (), {"reset": None, "step": None})
    with pytest.raises(EmbrlError, match=r"derive its class from gymnasium\.Env"):
        HostEnvironment.of(alike)
