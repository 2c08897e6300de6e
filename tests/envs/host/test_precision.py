"""Numbers that float32 rounds away, and numbers outside their bounds: named, once."""

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from embrl.core.errors import EmbrlError, EmbrlWarning
from embrl.core.spaces import check_observation
from embrl.data.sources.recorded import Given, from_columns
from embrl.deploy.array_forms import Forms
from embrl.envs.gym import HostEnvironment
from embrl.envs.gym.flat_observations import Observations

FREE = spaces.Box(-np.inf, np.inf, (2,), np.float64)


def observing(space, of):
    """An environment that observes a function of the steps taken."""

    class Observing(gymnasium.Env):
        observation_space = space
        action_space = spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            self.steps = 0
            return of(0), {}

        def step(self, action):
            self.steps += 1
            return of(self.steps), 0.0, False, self.steps >= 20, {}

    return Observing


def said(space, of, steps=40, **options):
    host = HostEnvironment.of(observing(space, of), **options)
    with warnings.catch_warnings(record=True) as found, host.open(2, 0) as envs:
        warnings.simplefilter("always")
        for _ in range(steps):
            envs.step(np.array([0, 1]))
    return [str(each.message) for each in found]


CLOCKS = [
    (FREE, lambda t: np.array([t / 9, 1.7e9 + t]), "coordinate 1 of its observation"),
    (FREE, lambda t: np.array([86400.0 + t / 1e4, 0]), "coordinate 0 of its observation"),
    (spaces.Box(0, 2**60, (1,), np.int64), lambda t: np.array([10**15 + t]), "coordinate 0"),
    (
        spaces.Dict(at=spaces.Box(0, np.inf, (1,), np.float64), x=FREE),
        lambda t: {"at": np.array([1.7e9 + t]), "x": np.ones(2)},
        r"['at'] of its observation",
    ),
]


@pytest.mark.parametrize(("space", "of", "name"), CLOCKS)
def test_times_whose_changes_float32_loses_are_named_once(space, of, name):
    (message,) = said(space, of)
    assert message.startswith(f"Observing: {name}")
    assert "nearest" in message


@pytest.mark.parametrize(
    "of",
    [
        lambda t: np.array([np.sin(t), 1.0 + 1e-14 * t]),  # noise about 1, as of a quaternion
        lambda t: np.array([1e12 * np.sin(t), 2.0**23 + t]),  # great changes, and whole numbers
        lambda t: np.array([1.7e9, 0.0]),  # what does not change
        lambda t: np.array([1.7e9 + t, 0.0], np.float32),  # rounded already
    ],
)
def test_other_numbers_are_not(of):
    assert said(FREE, of) == []


def test_bounds_far_from_0_give_an_offset_by_which_nothing_is_lost():
    low = np.array([1.7e9, -1.0])
    space = spaces.Box(low, low + np.array([1e5, 2.0]), dtype=np.float64)
    times = np.stack([1.7e9 + np.arange(3), np.zeros(3)], -1)
    flat = Observations(space)
    assert flat(times).tolist() == [[0, 0], [1, 0], [2, 0]]
    assert flat.space == spaces.Box(np.array([0, -1], "f4"), np.array([1e5, 1], "f4"))
    assert said(space, lambda t: times[0] + [t, 0]) == []
    forms = Forms.of(flat.space, spaces.Discrete(2), space)
    assert (forms.enter(times) == flat(times)).all()
    assert forms.observation.low.tolist() == low.tolist()


BOX = spaces.Box(-1.5, 1.5, (2,))


def test_a_number_outside_its_bounds_is_taken_with_one_warning_that_names_it():
    def of(t):
        return np.array([0, 0.5 * t], np.float32)

    (message,) = said(BOX, of)
    assert "gave 2 in coordinate 1 of its observation at step 4, outside -1.5 to 1.5" in message
    host = HostEnvironment.of(observing(BOX, of), strict=True)
    with host.open(1, 0) as envs:
        for _ in range(3):
            envs.step(np.array([0]))
        with pytest.raises(EmbrlError, match=r"2 in coordinate 1.*strict"):
            envs.step(np.array([0]))


def test_the_same_holds_for_what_a_policy_is_given_and_for_recorded_observations():
    flat = Observations(BOX)
    outside = np.array([[0.0, 0.0], [0.0, 1.75]])
    with pytest.warns(EmbrlWarning, match=r"1\.75 in coordinate 1 is outside -1\.5 to 1\.5"):
        assert check_observation(BOX, outside, flat.warn).tolist() == outside.tolist()
    check_observation(BOX, outside, flat.warn)  # no second warning, which would be an error
    form = Forms.of(BOX, spaces.Discrete(2)).observation
    with pytest.warns(EmbrlWarning, match="row 1: 1.75 in coordinate 1 is outside"):
        assert form.checked(outside, warn=Observations(BOX).warn).tolist() == outside.tolist()
    columns = {"observation": outside, "action": [0, 1], "next_observation": outside}
    columns: Any = {name: np.array(value) for name, value in columns.items()}
    with pytest.warns(EmbrlWarning, match=r"1\.75 in row 1, column 1 is outside"):
        found = from_columns(columns, Given(BOX))
    assert found.transitions.observation[1, 0, 1] == 1.75
    for refused in (
        lambda: check_observation(BOX, outside),
        lambda: form.checked(outside),
        lambda: from_columns(columns, Given(BOX, strict=True)),
        lambda: check_observation(BOX, np.full(2, np.inf), flat.warn),
        lambda: form.checked(np.full((1, 2), np.nan), warn=flat.warn),
    ):
        with pytest.raises(EmbrlError):
            refused()
