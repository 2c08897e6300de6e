"""Observations and actions in the environment's own form, against the conversions of its lanes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.core.errors import EmbrlError
from embrl.deploy import export as exporting
from embrl.deploy.array_forms import Form, Forms
from embrl.envs.gym.flat_actions import Actions
from embrl.envs.gym.flat_observations import Observations
from embrl.portable.steps import Digits

shapes = st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple)


@st.composite
def discrete(draw: Any) -> gymnasium.Space:
    if draw(st.booleans()):
        return spaces.Discrete(draw(st.integers(1, 40)), start=draw(st.integers(-5, 2**40)))
    shape = draw(shapes)
    if draw(st.booleans()):
        return spaces.MultiBinary(shape)
    nvec = [draw(st.integers(1, 4)) for _ in range(int(np.prod(shape)))]
    start = [draw(st.integers(-3, 3)) for _ in nvec]
    return spaces.MultiDiscrete(
        np.array(nvec).reshape(shape),
        dtype=draw(st.sampled_from([np.int64, np.int32])),
        start=np.array(start).reshape(shape),
    )


@st.composite
def boxes(draw: Any, most: float = np.inf) -> spaces.Box:
    shape = draw(st.just(()) | shapes)
    dtype = draw(st.sampled_from([np.float32, np.float64, np.int64, np.int8]))
    low = np.full(shape, draw(st.integers(-9, 0)))
    high = low + np.array(draw(st.integers(1, 9)))
    if np.dtype(dtype).kind == "f" and most == np.inf and draw(st.booleans()):
        high = np.full(shape, np.inf)
    return spaces.Box(low.astype(dtype), high.astype(dtype), shape, dtype)  # type: ignore[arg-type]


def sampled(space: gymnasium.Space) -> np.ndarray:
    space.seed(0)
    return np.stack([np.asarray(space.sample()) for _ in range(20)])


@settings(deadline=None, max_examples=60)
@given(discrete() | boxes(), discrete() | boxes(most=9.0))
def test_the_same_observations_and_actions(seen, chosen):
    lanes_see, lanes_do = Observations(seen), Actions(chosen)
    forms = Forms.of(lanes_see.space, lanes_do.space, seen, chosen)
    values = sampled(seen)
    assert forms.observation.dtype == np.dtype(seen.dtype).name
    entered = forms.enter(forms.observation.checked(values))
    np.testing.assert_array_equal(entered, lanes_see(values))
    assert entered.dtype == lanes_see.dtype
    ours = sampled(lanes_do.space)
    left, truth = forms.leave(ours), np.asarray(lanes_do.to_original(ours))
    np.testing.assert_array_equal(left, truth)
    assert left.shape == (20, *forms.action.shape)
    forms.action.checked(left)  # actions are in their space


@settings(deadline=None)
@given(discrete() | boxes())
def test_a_form_comes_back_from_plain_values(space):
    form = Forms.of(Observations(space).space, spaces.Discrete(2), space).observation
    back = Form.from_json(form.to_json(), where=Any)  # type: ignore[arg-type]
    assert (back.kind, back.shape, back.dtype) == (form.kind, form.shape, form.dtype)
    np.testing.assert_array_equal(back.low, form.low)
    np.testing.assert_array_equal(back.high, form.high)
    with pytest.raises(EmbrlError, match=r"policy\.json is damaged"):
        Form.from_json(form.to_json() | {"dtype": "S5"}, Path("policy.json"))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_digits_are_numpys(sizes):
    numbers = np.arange(np.prod(sizes))
    truth = np.stack(np.unravel_index(numbers, sizes), -1)
    np.testing.assert_array_equal(Digits.of(np.array(sizes))(numbers), truth)


def built(build: Any, on_host: bool = True) -> Any:
    """What an export says of an environment, whose run had two states and three actions."""
    config: Any = SimpleNamespace(
        environment="mine", env=SimpleNamespace(build=build, host=on_host)
    )
    spaces_: Any = SimpleNamespace(
        observation_space=spaces.MultiDiscrete([2, 2]), action_space=spaces.Discrete(3)
    )
    return exporting._forms(config, spaces_)


def host(observations: gymnasium.Space, actions: gymnasium.Space) -> Any:
    seen, done = Observations(observations), Actions(actions)
    return SimpleNamespace(
        observations=seen,
        actions=done,
        observation_space=seen.space,
        action_space=done.space,
        masked=False,
    )


def test_the_environment_s_own_form():
    forms, notes = built(lambda: host(spaces.MultiBinary(2), spaces.Discrete(3, start=5)))
    assert (forms.observation.kind, forms.action.low, notes) == ("MultiBinary", 5, ())


def test_what_is_no_single_array_is_exported_in_embrl_s_form_and_said():
    two = spaces.Tuple((spaces.Discrete(2), spaces.Discrete(2)))
    forms, (note,) = built(lambda: host(two, spaces.Discrete(3)))
    assert forms.observation.kind == "MultiDiscrete"
    assert note.startswith("Observations are in embrl's form, MultiDiscrete([2 2]): Tuple(")


def test_another_environment_is_not_taken_for_the_run_s():
    forms, (note,) = built(lambda: host(spaces.MultiBinary(3), spaces.Discrete(3, start=5)))
    assert forms.action.low == 0
    assert "the spaces of mine are not those of the run" in note


def test_a_run_of_an_object_is_exported_with_the_object():
    class Mine(gymnasium.Env):
        observation_space = spaces.MultiBinary(2)
        action_space = spaces.Discrete(3, start=5)

    config: Any = SimpleNamespace(environment="object:Mine", env=None)
    restored: Any = SimpleNamespace(
        observation_space=spaces.MultiDiscrete([2, 2]), action_space=spaces.Discrete(3)
    )
    forms, notes = exporting._forms(config, restored, Mine)
    assert (forms.observation.kind, forms.action.low, notes) == ("MultiBinary", 5, ())
    restored.action_space = spaces.Discrete(4)
    with pytest.raises(
        EmbrlError, match=r"Discrete\(4\) as the run had, got Mine with .* and Discrete\(3\)"
    ):
        exporting._forms(config, restored, Mine)


def test_an_environment_that_cannot_be_made_is_named():
    def build() -> None:
        raise EmbrlError("the environment is an object")

    forms, (note,) = built(build)
    assert forms.action.low == 0
    assert note == "Observations and actions are in embrl's forms: the environment is an object."


def test_a_compiled_environment_has_embrl_s_forms():
    forms, notes = built(pytest.fail, on_host=False)  # it is not even made
    assert (forms.observation.kind, notes) == ("MultiDiscrete", ())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[0.0, 1.0, 2.0]], "row 7 must have shape [2], got [3]"),
        ([[0.0, 1.0], [0.0, 3.5]], "row 8 must be 0.0 to 3.0 at [1], got 3.5"),
        ([[0.0, 1.0], [-np.inf, 3.0]], "row 8 must be 0.0 to 3.0 at [0], got -inf"),
        ([["a", "b"]], "row 7 must be numbers, got <U1"),
    ],
)
def test_rows_that_do_not_fit_are_named(values, said):
    form = Forms.of(spaces.Box(0, 3, (2,)), spaces.Discrete(2)).observation
    with pytest.raises(EmbrlError) as caught:
        form.checked(np.array(values), first=7)
    assert said in str(caught.value)
