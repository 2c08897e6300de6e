"""Gymnasium's spaces: what is read from them and what is refused."""

import json

import numpy as np
import pytest
from gymnasium import spaces

from embrl.errors import EmbrlError
from embrl.spaces import (
    action_count,
    check_observation,
    factors,
    from_json,
    state_count,
    to_json,
)

PAIR = spaces.MultiDiscrete([3, 5])


def test_factors_and_counts() -> None:
    assert factors(spaces.Discrete(1600)) == (1600,)
    assert factors(PAIR) == (3, 5)
    assert state_count(spaces.Discrete(1600)) == 1600
    assert state_count(PAIR) == 15
    assert action_count(spaces.Discrete(512)) == 512


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1.0, 1.0, (3,)),
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
    with pytest.raises(EmbrlError, match="actions must be Discrete"):
        action_count(PAIR)


@pytest.mark.parametrize("space", [spaces.Discrete(7), PAIR, spaces.MultiDiscrete([4])], ids=str)
def test_json_round_trip(space: spaces.Space) -> None:
    assert from_json(json.loads(json.dumps(to_json(space))), "space.json") == space


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
    ],
    ids=str,
)
def test_damaged_json_is_refused_with_its_file(value: dict) -> None:
    with pytest.raises(EmbrlError, match=r"^runs/a/space\.json describes no space"):
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
    ("space", "observation", "message"),
    [
        (spaces.Discrete(4), 4, r"observation 4 is not in Discrete\(4\)"),
        (spaces.Discrete(4), -1, r"observation -1 is not in Discrete\(4\)"),
        (spaces.Discrete(4), [0, 9, 9], r"observation 9 at \[1\] is not in"),
        (spaces.Discrete(4), 1.0, "whole numbers, not float64"),
        (spaces.Discrete(4), True, "whole numbers, not bool"),
        (PAIR, [3, 0], r"observation 3 at \[0\] is not in MultiDiscrete"),
        (PAIR, [[0, 0], [0, 5]], r"observation 5 at \[1, 1\] is not in MultiDiscrete"),
        (PAIR, [1, 2, 0], r"end in an axis of 2, not \[3\]"),
        (PAIR, 1, r"end in an axis of 2, not \[\]"),
        (PAIR, [[1], [2]], r"end in an axis of 2, not \[2, 1\]"),
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
