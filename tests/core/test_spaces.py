"""Gymnasium's spaces: what is read from them and what is refused."""

import json

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.core.errors import EmbrlError
from embrl.core.spaces import (
    action_count,
    check_action,
    check_mask,
    check_observation,
    difference,
    dimensions,
    factors,
    from_json,
    is_continuous,
    names_of,
    state_count,
    to_json,
)


def box(low: list[float], high: list[float], dtype: type = np.float32) -> spaces.Box:
    return spaces.Box(np.array(low, dtype), np.array(high, dtype), dtype=dtype)  # type: ignore[arg-type]


PAIR = spaces.MultiDiscrete([3, 5])
SQUARE = spaces.Box(0.0, 1.0, (2,))
OPEN = box([-np.inf, 0.0], [np.inf, np.inf])
UNEVEN = box([-1.0, 0.1, 10.0], [1.0, 0.3, 20.0], np.float64)


def test_factors_and_counts() -> None:
    assert factors(spaces.Discrete(1600)) == (1600,)
    assert factors(PAIR) == (3, 5)
    assert state_count(spaces.Discrete(1600)) == 1600
    assert state_count(PAIR) == 15
    assert action_count(spaces.Discrete(512)) == 512


def test_a_box_has_dimensions_and_no_states() -> None:
    assert [is_continuous(space) for space in (SQUARE, PAIR, spaces.Discrete(3))] == [
        True,
        False,
        False,
    ]
    assert dimensions(SQUARE) == 2
    assert dimensions(UNEVEN) == 3
    assert state_count(SQUARE) is None
    for function in (factors, action_count):
        with pytest.raises(EmbrlError, match="must be Discrete") as caught:
            function(SQUARE)
        assert str(SQUARE) in str(caught.value)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (box([0, 0], [1, 0]), "lower bound of coordinate 1 must be below .* 0.0, got 0.0"),
        (spaces.Box(0.0, 1.0, (2, 3)), "shape of a Box must be one axis"),
        (spaces.Box(0.0, 1.0, ()), "shape of a Box must be one axis"),
        (spaces.Box(0, 255, (128,), np.uint8), "shape of a Box must be one axis"),
        (PAIR, "observation space must be a Box"),
        (spaces.MultiBinary(3), "observation space must be a Box"),
    ],
    ids=str,
)
def test_other_boxes_are_refused_in_one_line(space: spaces.Space, message: str) -> None:
    with pytest.raises(EmbrlError, match=message) as caught:
        dimensions(space)
    assert "\n" not in str(caught.value)
    if is_continuous(space):
        for function in (to_json, lambda space: check_observation(space, [0.0])):
            with pytest.raises(EmbrlError, match=message):
                function(space)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(4, start=1),
        spaces.MultiDiscrete([2, 3], start=[0, 1]),
        spaces.MultiBinary(3),
    ],
    ids=str,
)
def test_other_spaces_are_refused_in_one_line(space: spaces.Space) -> None:
    for function in (factors, action_count, state_count):
        with pytest.raises(EmbrlError, match="must") as caught:
            function(space)
        assert "\n" not in str(caught.value)
        assert str(space) in str(caught.value)


def test_only_discrete_actions_are_counted() -> None:
    with pytest.raises(EmbrlError, match="action space must be Discrete"):
        action_count(PAIR)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(7),
        PAIR,
        spaces.MultiDiscrete([4]),
        SQUARE,
        box([-1, 0.1], [0.7, 1e30]),
        box([-1, -np.inf, -np.inf, 0], [1, np.inf, 5, np.inf]),
    ],
    ids=str,
)
def test_json_round_trip(space: spaces.Space) -> None:
    assert from_json(json.loads(json.dumps(to_json(space))), "space.json") == space


def test_a_box_without_bounds_is_strict_json() -> None:
    space = box([-np.inf, 0], [np.inf, 1e300], np.float64)
    written = to_json(space)
    assert written == {"kind": "Box", "low": [None, 0.0], "high": [None, None]}
    assert from_json(json.loads(json.dumps(written, allow_nan=False)), "space.json") == box(
        [-np.inf, 0], [np.inf, np.inf]
    )


def test_a_box_in_json_is_its_bounds_in_float32() -> None:
    assert to_json(SQUARE) == {"kind": "Box", "low": [0.0, 0.0], "high": [1.0, 1.0]}
    again = from_json(to_json(UNEVEN), "space.json")
    assert isinstance(again, spaces.Box)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again.low, UNEVEN.low.astype(np.float32))
    np.testing.assert_array_equal(again.high, UNEVEN.high.astype(np.float32))


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"kind": "Box", "sizes": [3]},
        {"kind": "Discrete", "sizes": [3, 4]},
        {"kind": "Discrete", "sizes": [0]},
        {"kind": "Discrete", "sizes": ["3"]},
        {"kind": "MultiDiscrete", "sizes": []},
        {"kind": "MultiDiscrete", "sizes": [3, -1]},
        {"kind": "Box", "low": [], "high": []},
        {"kind": "Box", "low": [0.0], "high": [1.0, 1.0]},
        {"kind": "Box", "low": [1.0], "high": [0.0]},
        {"kind": "Box", "low": [0.0], "high": [float("inf")]},
        {"kind": "Box", "low": [0.0], "high": [float("nan")]},
        {"kind": "Box", "low": [0.0], "high": [1e300]},
        {"kind": "Box", "low": [0], "high": [10**400]},
        {"kind": "Box", "low": ["0"], "high": [1.0]},
        {"kind": "Box", "low": [0.0]},
        {"kind": "Box", "low": [None], "high": [float("-inf")]},
    ],
    ids=lambda value: str(value)[:60],
)
def test_damaged_json_is_refused_with_its_file(value: dict) -> None:
    with pytest.raises(EmbrlError, match=r"^runs/a/space\.json describes no known space"):
        from_json(value, "runs/a/space.json")


@pytest.mark.parametrize(
    ("space", "observation"),
    [
        (spaces.Discrete(4), 3),
        (spaces.Discrete(4), np.int64(0)),
        (spaces.Discrete(4), [0, 1, 2, 3]),
        (spaces.Discrete(4), [[0, 1], [2, 3]]),
        (PAIR, [2, 4]),
        (PAIR, [[[0, 0]], [[2, 4]]]),
    ],
)
def test_observations_pass_with_any_leading_axes(space: spaces.Space, observation: object) -> None:
    checked = check_observation(space, observation)  # type: ignore[arg-type]
    assert checked.dtype == np.int32
    np.testing.assert_array_equal(checked, np.asarray(observation))


@pytest.mark.parametrize(
    ("space", "observation"),
    [
        (SQUARE, [0.0, 1.0]),
        (SQUARE, [0, 1]),
        (SQUARE, np.full((5, 3, 2), 0.25)),
        (SQUARE, np.zeros((0, 2))),
        (UNEVEN, [0.0, 0.2, 10.0]),
        (OPEN, [-1e30, 1e30]),
        # 0.1 and 0.3 are no float32: rounded up and down they may lie outside the float64 bounds.
        (UNEVEN, UNEVEN.low.astype(np.float32)),
        (UNEVEN, UNEVEN.high.astype(np.float32)),
        (UNEVEN, [UNEVEN.low, UNEVEN.high]),
    ],
)
def test_numbers_pass_with_any_leading_axes(space: spaces.Space, observation: object) -> None:
    checked = check_observation(space, observation)  # type: ignore[arg-type]
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, np.asarray(observation, np.float32))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_what_gymnasium_samples_passes(data: st.DataObject) -> None:
    bounds = st.floats(-1e6, 1e6, width=32)
    pairs = data.draw(st.lists(st.tuples(bounds, bounds).filter(lambda p: p[0] < p[1]), min_size=1))
    low, high = np.array(pairs).T
    space = box(low, high, data.draw(st.sampled_from([np.float32, np.float64])))
    space.seed(data.draw(st.integers(0, 2**31 - 1)))
    samples = np.stack([space.sample() for _ in range(3)])
    np.testing.assert_array_equal(check_observation(space, samples), samples.astype(np.float32))
    at = data.draw(st.integers(0, len(pairs) - 1))
    samples[1, at] = np.nextafter(np.float32(high[at]), np.float32(np.inf))
    with pytest.raises(EmbrlError, match=rf" at \[1, {at}\] is not in"):
        check_observation(space, samples)


@pytest.mark.parametrize(
    ("space", "observation", "message"),
    [
        (SQUARE, [0.5, 1.5], r"observation 1.5 at \[1\] is not in Box\(0.0, 1.0, \(2,\)"),
        (SQUARE, [[0.5, 0.5], [-0.1, 0.5]], r"observation -0.1 at \[1, 0\] is not in Box"),
        (SQUARE, [0.5, float("nan")], r"observation nan at \[1\] is not in"),
        (SQUARE, [0.5, float("inf")], r"observation inf at \[1\] is not in"),
        (SQUARE, [0.5, 1e300], r"observation 1e\+300 at \[1\] is not in"),
        (OPEN, [float("inf"), 0.0], r"observation inf at \[0\] is not in"),
        (OPEN, [0.0, float("inf")], r"observation inf at \[1\] is not in"),
        (OPEN, [0.0, -1.0], r"observation -1.0 at \[1\] is not in"),
        (SQUARE, [True, False], "must be numbers, got bool"),
        (SQUARE, ["0", "1"], "must be numbers, got <U1"),
        (SQUARE, [0.5], r"must be 2, got shape \[1\]"),
        (SQUARE, 0.5, r"must be 2, got shape \[\]"),
        (SQUARE, np.zeros((2, 3)), r"must be 2, got shape \[2, 3\]"),
        (spaces.Discrete(4), 4, r"observation 4 is not in Discrete\(4\)"),
        (spaces.Discrete(4), -1, r"observation -1 is not in Discrete\(4\)"),
        (spaces.Discrete(4), [0, 9, 9], r"observation 9 at \[1\] is not in"),
        (spaces.Discrete(4), 1.0, "must be integers, got float64"),
        (spaces.Discrete(4), True, "must be integers, got bool"),
        (PAIR, [3, 0], r"observation 3 at \[0\] is not in MultiDiscrete"),
        (PAIR, [[0, 0], [0, 5]], r"observation 5 at \[1, 1\] is not in MultiDiscrete"),
        (PAIR, [1, 2, 0], r"must be 2, got shape \[3\]"),
        (PAIR, 1, r"must be 2, got shape \[\]"),
        (PAIR, [[1], [2]], r"must be 2, got shape \[2, 1\]; .*policy\(environment=\.\.\.\)"),
    ],
)
def test_wrong_observations_are_refused(
    space: spaces.Space, observation: object, message: str
) -> None:
    with pytest.raises(EmbrlError, match=message) as caught:
        check_observation(space, observation)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])),
        spaces.Box(np.zeros((2, 2)), np.array([[1.0, 2.0], [3.0, 4.0]]), dtype=np.float64),
    ],
    ids=["MultiDiscrete", "Box"],
)
def test_a_space_that_is_written_in_lines_is_refused_in_one_line(space: spaces.Space) -> None:
    with pytest.raises(EmbrlError) as caught:
        factors(space)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("has", "needs", "said"),
    [
        (spaces.Discrete(8), spaces.Discrete(16), "it has 8 values, and must have 16"),
        (PAIR, spaces.MultiDiscrete([3, 7]), "factor 1 has 5 values, and must have 7"),
        (PAIR, spaces.MultiDiscrete([3]), "it has 2 factors, and must have 1"),
        (SQUARE, UNEVEN, "it has 2 coordinates, and must have 3"),
        (SQUARE, box([0.0, -1.0], [1.0, 1.0]), "coordinate 1 is 0 to 1, and must be -1 to 1"),
        (OPEN, SQUARE, "coordinate 0 is -inf to inf, and must be 0 to 1"),
        (SQUARE, PAIR, "it is Box"),
    ],
)
def test_two_spaces_differ_in_one_thing_that_is_named(has, needs, said) -> None:
    found = difference(has, needs)
    assert found is not None
    assert said in found
    assert difference(has, has) is None


def test_actions_are_checked_as_observations_are() -> None:
    assert check_action(spaces.Discrete(4), [[0, 3]]).tolist() == [[0, 3]]
    assert check_action(SQUARE, [0, 1]).dtype == np.float32
    for space, action, said in [
        (spaces.Discrete(4), 4, r"action 4 is not in Discrete\(4\)"),
        (spaces.Discrete(4), 1.0, "must be integers, got float64"),
        (SQUARE, [0.5], r"must be numbers \[..., 2\], got float64\[1\]"),
        (SQUARE, [[0.5, 2.0]], r"action 2.0 at \[0, 1\] is not in"),
    ]:
        with pytest.raises(EmbrlError, match=said):
            check_action(space, action)


@pytest.mark.parametrize(
    "check",
    [
        lambda rows: check_observation(PAIR, rows),
        lambda rows: check_action(spaces.Discrete(4), rows),
        lambda rows: check_mask(spaces.Discrete(2), rows),
        lambda rows: names_of(("a", "b"), rows),
    ],
)
def test_rows_of_several_lengths_are_no_array(check) -> None:
    with pytest.raises(EmbrlError, match="must be an array of numbers, got rows of several"):
        check([[1], [1, 0]])


def test_a_mask_has_the_axes_of_what_it_is_for() -> None:
    assert check_mask(spaces.Discrete(2), [1, 0], None, (3,)).tolist() == [[True, False]] * 3
    with pytest.raises(EmbrlError, match=r"mask must .* got shape \[2, 2\]"):
        check_mask(spaces.Discrete(2), np.ones((2, 2)), None, (3,))


def test_a_name_is_that_of_an_action() -> None:
    assert names_of(("a", "b"), np.array([6, 5]), first=5).tolist() == ["b", "a"]
    for action in (2, "1", None, 0.0):
        with pytest.raises(EmbrlError, match="action must be an index from 0 to 1, got"):
            names_of(("a", "b"), action)
