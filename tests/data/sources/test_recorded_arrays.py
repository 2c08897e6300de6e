"""Arrays as transitions: what is made of them, and what is refused, by hand."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.core.errors import EmbrlError, EmbrlWarning
from embrl.core.types import Transition
from embrl.data.sources import Given, Recorded, from_transition
from embrl.data.sources.recorded import from_columns


def columns(**changes):
    """Four steps: an episode of two that ends, and two of one that goes on."""
    return {
        "observations": np.array([0, 1, 3, 4]),
        "actions": np.array([1, 0, 2, 1]),
        "rewards": np.array([0.0, 1.0, 0.5, 0.0]),
        "next_observations": np.array([1, 2, 4, 5]),
        "terminals": np.array([False, True, False, False]),
        "timeouts": np.zeros(4, bool),
        **changes,
    }


def read(given: Given | None = None, **changes) -> Recorded:
    wanted = {name: value for name, value in columns(**changes).items() if value is not None}
    return from_columns(wanted, given or Given(), "log")


def test_whole_numbers_count_as_far_as_they_were_seen():
    found = read()
    assert found.observation_space == spaces.Discrete(6)  # the greatest is a next one
    assert found.action_space == spaces.Discrete(3)
    assert found.transitions.observation.shape == (4, 1)
    assert found.transitions.observation.dtype == found.transitions.action.dtype == np.int32
    assert found.transitions.terminated[:, 0].tolist() == [False, True, False, False]
    assert found.timesteps == 4


def test_numbers_are_a_box_without_bounds_and_whole_rows_multidiscrete():
    found = read(
        observations=np.arange(8).reshape(4, 2),
        next_observations=np.arange(8).reshape(4, 2) + 1,
        actions=np.array([0.5, -1.0, 2.0, 0.0]),
    )
    assert found.observation_space == spaces.MultiDiscrete([8, 9])
    assert found.action_space == spaces.Box(-np.inf, np.inf, (1,), np.float32)
    assert found.transitions.action.shape == (4, 1, 1)


def test_combined_actions_are_counted_like_digits():
    found = read(actions=np.array([[0, 2], [1, 0], [1, 2], [0, 1]]))
    assert found.action_space == spaces.Discrete(6)
    assert found.transitions.action[:, 0].tolist() == [2, 3, 5, 1]


def test_boards_are_flattened_and_images_kept():
    boards = np.tile(np.arange(4)[:, None, None], (1, 2, 3)) + 1
    found = read(observations=boards, next_observations=boards)
    assert found.observation_space == spaces.MultiDiscrete([5] * 6)
    np.testing.assert_array_equal(found.transitions.observation[:, 0], boards.reshape(4, 6))
    images = np.full((4, 20, 20, 3), 200, np.uint8)
    found = read(observations=images, next_observations=images)
    assert found.observation_space == spaces.Box(0, 255, (20, 20, 3), np.uint8)
    assert found.transitions.observation.dtype == np.uint8


def test_actions_a_little_out_of_bounds_are_clipped_or_refused():
    acts, box = np.array([[0.5, 1.2], [0, 0], [-3, 1], [1, 1]]), spaces.Box(-1, 1, (2,))
    with pytest.warns(EmbrlWarning, match="action 1.2 in row 0, column 1 .* clipped") as warned:
        found = read(Given(None, box), actions=acts)
    assert len(warned) == 1
    np.testing.assert_array_equal(found.transitions.action[:, 0], np.clip(acts, -1, 1))
    with pytest.raises(EmbrlError, match=r"action 1.2 in row 0, column 1 is not in"):
        read(Given(None, box, strict=True), actions=acts)


def test_without_next_observations_they_are_the_next_row_s():
    found = read(next_observations=None, terminals=np.array([0, 0, 1, 0]))
    # Row 2 ends an episode and row 3 is the last: what followed them is not known.
    assert found.transitions.observation[:, 0].tolist() == [0, 1]
    assert found.transitions.next_observation[:, 0].tolist() == [1, 3]
    assert found.transitions.truncated[:, 0].tolist() == [False, True]
    assert not found.transitions.terminated.any()


def test_an_episode_is_cut_where_the_next_row_does_not_go_on():
    found = read(terminals=np.zeros(4, bool))
    # 1 -> 2 is followed by a step from 3.
    assert found.transitions.truncated[:, 0].tolist() == [False, True, False, False]


def test_given_spaces_are_converted_as_an_environment_s_are():
    found = read(
        Given(spaces.Discrete(8, start=-1), spaces.MultiBinary(2)),
        actions=np.array([[0, 1], [1, 1], [0, 0], [1, 0]]),
    )
    assert found.observation_space == spaces.Discrete(8)
    assert found.transitions.observation[:, 0].tolist() == [1, 2, 4, 5]
    assert found.transitions.action[:, 0].tolist() == [1, 3, 0, 2]


NAN = np.array([[0.0, 1.0], [2.0, np.nan], [3.0, 4.0], [5.0, 6.0]])


@pytest.mark.parametrize(
    ("changes", "given", "said"),
    [
        (
            {"observations": NAN, "next_observations": np.zeros((4, 2))},
            Given(),
            "log: observation nan in row 1, column 1 is not finite",
        ),
        ({"rewards": np.array([0, 1, np.inf, 0])}, Given(), "reward inf in row 2"),
        (
            {},
            Given(action_space=spaces.Discrete(2)),
            r"log: action 2 in row 2 is not in Discrete\(2\)",
        ),
        (
            {},
            Given(observation_space=spaces.Discrete(5)),
            "next_observation 5 in row 3 is not in",
        ),
        (
            {"actions": np.array([0.0, 0.5, 0.25, 2.0])},
            Given(action_space=spaces.Box(-1, 1, (1,)), strict=True),
            "action 2.0 in row 3, column 0 is not in Box",
        ),
        (
            {"actions": np.array([0.0, 0.5, 1.0, 2.0])},
            Given(action_space=spaces.Discrete(3)),
            "action 0.5 in row 1 is not an integer",
        ),
        (
            {"actions": np.array([0, 10_000_019, 0, 3])},
            Given(),
            "action must be an index .* got 10000019 in row 1, as one of 3 different ones; number",
        ),
        (
            {
                "observations": np.array([0, 1, 2, 3]),
                "next_observations": np.array([1, 2, 3, 10**12]),
            },
            Given(),
            "observation must be an index .* got 1000000000000 in row 3 of next_observation",
        ),
        ({"terminals": np.zeros((4, 2), bool)}, Given(), r"shape of terminated must be \[N\]"),
        ({"rewards": np.zeros((4, 2))}, Given(), r"shape of reward must be \[N\] .* got \[4, 2\]"),
        ({"actions": np.array(list("abca"))}, Given(), "numbers, got <U1, as .*'a'.* in row 0"),
        (
            {"actions": np.array([0.0, 2.0, 1.0, 2.0])},
            Given(),
            r"action must be integers, or \[N, 1\] .* got whole numbers as float64",
        ),
        ({"actions": np.eye(3)[[0, 2, 1, 2]]}, Given(), "must be indices, got one-hot rows of 3"),
        (
            {"actions": np.eye(3, dtype=bool)[[0, 2, 1, 2]]},
            Given(),
            r"save argmax\(-1\) of them, or give action_space",
        ),
        ({"actions": np.array([0, -1, 0, 1])}, Given(), "action -1 in row 1 is below 0"),
        (
            {"actions": None},
            Given(),
            "no column action or actions or acts; its columns: observations",
        ),
        ({"obs": np.arange(4)}, Given(), "has both observations and obs"),
        ({"actions": np.arange(3)}, Given(), "rows of action must be 4, .* got 3"),
        ({"actions": np.array(list("abcd"))}, Given(), "action must be numbers, got <U1"),
        ({"timeouts": np.array([0, 2, 0, 0])}, Given(), "truncated 2 in row 1 is neither 0 nor 1"),
        ({"next_observations": np.zeros((4, 2))}, Given(), r"shape of next_observation .*\[2\]"),
        (
            {"next_observations": None, "terminals": None, "timeouts": None},
            Given(),
            "none of terminated, truncated and done",
        ),
        (
            {},
            Given(action_space=spaces.MultiDiscrete([3, 3])),
            r"shape of action .* \[2\], as in MultiDiscrete\(\[3 3\]\), got \[\]",
        ),
    ],
)
def test_what_cannot_be_used_is_named_with_its_place(changes, given, said):
    with pytest.raises(EmbrlError, match=said) as error:
        read(given, **changes)
    assert "\n" not in str(error.value)


def test_a_rollout_keeps_its_lanes_and_its_places():
    steps, lanes = 3, 2
    columns: dict[str, Any] = {
        "observation": np.arange(6).reshape(steps, lanes),
        "action": np.zeros((steps, lanes), int),
        "reward": np.zeros((steps, lanes)),
        "next_observation": np.arange(6).reshape(steps, lanes) + lanes,
        "terminated": np.zeros((steps, lanes), bool),
        "truncated": np.zeros((steps, lanes), bool),
    }
    rollout = Transition(**columns)
    found = from_transition(rollout)
    assert found.transitions.reward.shape == (3, 2)
    assert found.observation_space == spaces.Discrete(8)
    assert not found.transitions.truncated.any()
    broken = {**columns, "reward": np.array([[0, 0], [0, np.nan], [0, 0]])}
    with pytest.raises(EmbrlError, match="reward nan in step 1 of environment 1"):
        from_transition(Transition(**broken))
    with pytest.raises(EmbrlError, match=r"shape of action must be \[3, 2\] .*\[2, 2\]"):
        from_transition(Transition(**{**columns, "action": np.zeros((2, 2), int)}))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 50), min_size=2, max_size=30),
    st.integers(0, 29),
    st.integers(1, 100),
)
def test_the_first_value_outside_is_found_wherever_it_stands(values, at, beyond):
    at %= len(values)
    space = spaces.Discrete(51)
    numbers = np.array(values)
    numbers[at] = 50 + beyond
    log = {"observation": np.arange(len(values)), "action": numbers, "truncated": numbers * 0}
    with pytest.raises(EmbrlError, match=f"action {50 + beyond} in row {at} is not in"):
        from_columns(log, Given(gymnasium.spaces.Discrete(100), space))


def test_other_libraries_names_and_shapes_of_columns():
    found = read(
        observations=None,
        next_observations=None,
        states=np.array([0, 1, 3, 4]),
        next_states=np.array([1, 2, 4, 5]),
        actions=np.array([[1], [0], [2], [1]]),
        terminals=None,
        timeouts=None,
        dones=np.array([[0], [1], [0], [0]]),
        rewards=np.array([[0.0], [1.0], [0.5], [0.0]]),
    )
    assert found.action_space == spaces.Discrete(3)
    assert found.observation_space == spaces.Discrete(6)
    assert found.lacks == ("terminated",)
    assert found.transitions.truncated[:, 0].tolist() == [False, True, False, False]


def test_an_end_that_terminated_is_not_truncated_as_well():
    found = read(timeouts=None, dones=np.array([0, 1, 1, 0]))
    assert found.transitions.terminated[:, 0].tolist() == [False, True, False, False]
    assert found.transitions.truncated[:, 0].tolist() == [False, False, True, False]
