"""Gymnasium's spaces as embrl's, and back: by hand, and against Gymnasium's own samples."""

import functools
import math
import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from embrl.core.errors import EmbrlError
from embrl.core.spaces import DIGIT, MAX_VALUES, bounds, factors, numbers_and_factors
from embrl.deploy.array_forms import Forms
from embrl.envs.gym.flat_actions import MAX_ACTIONS, Actions
from embrl.envs.gym.flat_observations import Observations
from embrl.envs.gym.leaves import leaves, unstacked

SIZES = st.integers(1, 5)
SHAPES = st.lists(st.integers(1, 3), max_size=2).map(tuple)


def f32(values):
    return np.array(values, np.float32)


@st.composite
def boxes(draw):
    shape = draw(SHAPES)
    if draw(st.booleans()):
        kind = draw(st.sampled_from([np.int8, np.int32, np.uint16]))
        return spaces.Box(1, draw(st.integers(1, 100)), shape, kind)
    kind = draw(st.sampled_from([np.float32, np.float64]))
    return spaces.Box(draw(st.floats(-5, 0)), draw(st.floats(1, 5)), shape, kind)


def discretes():
    starts = st.integers(-3, 3)
    return st.one_of(
        st.builds(lambda n, start: spaces.Discrete(n, start=start), SIZES, starts),
        st.lists(SIZES, min_size=1, max_size=3).map(spaces.MultiDiscrete),
        st.just(
            spaces.MultiDiscrete(np.array([[2, 3], [4, 1]]), start=np.array([[0, 5], [-1, 2]]))
        ),
        st.sampled_from([2, (2, 2)]).map(spaces.MultiBinary),
    )


def composite(leaves):
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=2).map(spaces.Tuple),
            st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=2).map(spaces.Dict),
        ),
        max_leaves=3,
    )


def equal(one, two):
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(two) and all(map(equal, one, two))
    return np.allclose(one, two, rtol=1e-6) and np.shape(one) == np.shape(two)


@settings(deadline=None, max_examples=60)
@given(composite(st.one_of(boxes(), discretes())), st.integers(0, 99))
def test_what_is_read_lies_in_the_space_that_is_said(space, seed):
    space.seed(seed)
    read = Observations(space)
    value = read(space.sample())
    assert value.shape == read.shape
    assert read.dtype == value.dtype
    assert read.fault(value[None]) is None
    box, sizes = numbers_and_factors(read.space)  # which embrl takes
    indices, numbers = (value, []) if box is None else np.split(value, [len(sizes)])
    assert ((indices >= 0) & (indices < np.array(sizes))).all()
    if box is not None:
        low, high = bounds(box)
        assert ((low - 1e-5 <= numbers) & (numbers <= high + 1e-5)).all()


@settings(deadline=None, max_examples=60)
@given(composite(discretes()), st.integers(0, 99))
def test_discrete_actions_go_there_and_back(space, seed):
    space.seed(seed)
    actions = Actions(space, "table")
    sample = space.sample()
    index = actions.from_original(sample)
    assert index.dtype == np.int32
    assert equal(actions.to_original(index), sample)
    assert isinstance(actions.space, spaces.Discrete)
    every = np.unique(np.linspace(0, int(actions.space.n) - 1, 60).astype(int))
    assert (actions.from_original(actions.to_original(every)) == every).all()
    back = [actions.to_original(i) for i in every]
    assert all(space.contains(value) for value in back)
    rows = unstacked(space, actions.to_original(every), len(back))
    assert all(map(equal, rows, back))
    assert all(space.contains(row) for row in rows)


@settings(deadline=None, max_examples=60)
@given(composite(boxes()), st.integers(0, 99))
def test_vectors_of_actions_go_there_and_back(space, seed):
    boxes: list[Any] = [leaf.space for leaf in leaves(space)]
    assume(any((box.low < box.high).any() for box in boxes))
    space.seed(seed)
    actions = Actions(space)
    sample = space.sample()
    vector = actions.from_original(sample)
    assert vector.dtype == np.float32
    assert vector.shape == actions.space.shape
    assert equal(actions.to_original(vector), sample)
    # Also of vectors from far outside, and of batches.
    far = np.random.default_rng(seed).normal(0, 1000, (2, 3, *vector.shape))
    for row in unstacked(space, actions.to_original(far), 2):
        for value in unstacked(space, row, 3):
            assert space.contains(value)


def test_the_first_digit_is_the_most_significant():
    actions = Actions(spaces.MultiDiscrete([2, 3], start=[0, 10]))
    assert actions.space == spaces.Discrete(6)
    expected = [[0, 10], [0, 11], [0, 12], [1, 10], [1, 11], [1, 12]]
    assert actions.to_original(np.arange(6)).tolist() == expected
    bits = Actions(spaces.MultiBinary(3))
    assert bits.to_original(6).tolist() == [1, 1, 0]
    parts = Actions(spaces.Dict(a=spaces.Discrete(2), b=spaces.Discrete(3)))
    assert parts.to_original(np.array([1, 5])) == {
        "a": pytest.approx([0, 1]),
        "b": pytest.approx([1, 2]),
    }


def test_actions_are_clipped_in_the_box_own_dtype_and_shape():
    actions = Actions(spaces.Box(np.array([[-1.0, 0.0]]), np.array([[1.0, 3.0]]), dtype=np.float64))
    assert actions.space == spaces.Box(f32([-1, 0]), f32([1, 3]))
    taken = actions.to_original(f32([[-7, 2.5], [0.5, 9]]))
    assert taken.dtype == np.float64
    assert taken.tolist() == [[[-1, 2.5]], [[0.5, 3]]]
    whole = Actions(spaces.Box(0, 10, (2,), np.int16)).to_original(f32([2.6, -1]))
    assert (whole.dtype, whole.tolist()) == (np.int16, [3, 0])


@pytest.mark.parametrize(
    ("space", "observation", "expected", "value"),
    [
        (spaces.Discrete(5, start=2), np.int64(4), spaces.Discrete(5), 2),
        (spaces.MultiBinary(3), [1, 0, 1], spaces.MultiDiscrete([2, 2, 2]), [1, 0, 1]),
        (
            spaces.Tuple([spaces.Discrete(32), spaces.Discrete(11), spaces.Discrete(2)]),
            (14, 6, 0),
            spaces.MultiDiscrete([32, 11, 2]),
            [14, 6, 0],
        ),
        (
            spaces.Box(
                np.array([[0, 1], [2, 3]], np.int8), np.full((2, 2), 4, np.int8), dtype=np.int8
            ),
            [[1, 2], [3, 4]],
            spaces.Box(f32([0, 1, 2, 3]), np.full(4, 4, np.float32)),
            [1, 2, 3, 4],
        ),
        (
            spaces.Dict(b=spaces.Box(0, 1, (1,)), a=spaces.Tuple([spaces.Discrete(3, start=1)])),
            {"b": [0.5], "a": (2,)},
            spaces.Tuple((spaces.MultiDiscrete([3]), spaces.Box(0, 1, (1,)))),
            [1, 0.5],  # indices come first
        ),
    ],
)
def test_observations_by_hand(space, observation, expected, value):
    read = Observations(space)
    assert read.space == expected
    assert read(observation).tolist() == value


def test_leading_axes_stay():
    space = spaces.Dict(a=spaces.Box(0, 1, (2, 2)), b=spaces.Discrete(3))
    read = Observations(space)
    batch = {"a": np.zeros((4, 5, 2, 2)), "b": np.full((4, 5), 2)}
    assert read(batch).shape == (4, 5, 5)
    assert (read(batch)[..., 0] == 2).all()


def test_bounds_that_say_nothing_are_none():
    space = spaces.Box(np.array([0, -1e39, 3, -1e-99]), np.array([1, 1e39, 3, 0]), dtype=np.float64)
    assert np.array_equal(bounds(Observations(space).space)[0], [0, -np.inf, -np.inf, -np.inf])
    assert np.array_equal(bounds(Observations(space).space)[1], [1, np.inf, np.inf, np.inf])
    with warnings.catch_warnings(action="error"):
        assert Actions(space).from_original(np.array([1, 1e39, 3, 0])).tolist() == [1, np.inf]


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (spaces.Box(0, 1, (0,)), "empty axis"),
        (spaces.Sequence(spaces.Discrete(2)), "observation space.*Sequence"),
        (
            spaces.Dict(a=spaces.Dict(b=spaces.Sequence(spaces.Discrete(2)))),
            r"Sequence.* at \['a'\]\['b'\]",
        ),
        (spaces.Dict(), "observation space.*Dict"),
        (spaces.MultiDiscrete([60_000] * 20), "at most 1,048,576, got 1,200,000"),
    ],
)
def test_observations_that_are_refused(space, said):
    with pytest.raises(EmbrlError, match=said):
        Observations(space)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (spaces.Discrete(2**21), f"at most {MAX_ACTIONS:,}, got 2,097,152"),
        (spaces.Dict(a=spaces.Discrete(2), b=spaces.Box(0, 1, (0,))), "action space.*Box"),
        (spaces.Text(3), "action space.*Text"),
        (spaces.Box(0, 2**40, (1,), np.int64), "16,777,216.*1.1e"),
        (spaces.Box(0, 1, (0,)), "action space.*Box"),
        (spaces.Box(f32([1, 2]), f32([1, 2])), "something to choose"),
        (spaces.Tuple((spaces.Discrete(2**25), spaces.Box(0, 1, (1,)))), "16,777,216"),
    ],
)
def test_actions_that_are_refused(space, said):
    with pytest.raises(EmbrlError, match=said):
        Actions(space)


def test_actions_that_are_none():
    for wrong in (np.array([0, 4]), np.array([-1])):
        with pytest.raises(EmbrlError, match=r"action.*Discrete\(4\), got (4|-1)"):
            Actions(spaces.Discrete(4, start=1)).to_original(wrong)
    with pytest.raises(EmbrlError, match="integers, got float"):
        Actions(spaces.Discrete(4)).to_original(np.array([0.5]))
    with pytest.raises(EmbrlError, match="end in an axis of 2"):
        Actions(spaces.Box(0, 1, (2,))).to_original(np.zeros((5, 3)))


@pytest.mark.parametrize(
    ("space", "observation", "said"),
    [
        (spaces.Box(0, 1, (3,)), np.zeros(4), r"shape \[3\], got \[4\]"),
        (spaces.Discrete(3), 0.5, "integers, got float"),
        (spaces.Box(0, 1, (1,)), np.array(["a"]), "numeric, got <U1"),
        (spaces.Dict(a=spaces.Discrete(2)), {}, "lacks its part"),
    ],
)
def test_observations_that_are_none(space, observation, said):
    with pytest.raises(EmbrlError, match=said):
        Observations(space)(observation)


def test_the_first_fault_is_named():
    rows = Observations(spaces.Tuple([spaces.Box(0, 1, (1,)), spaces.Discrete(2)]))
    assert rows.fault(f32([[1, 7]])) is None  # a number outside its bounds is none
    row, words = rows.fault(f32([[0, 0], [5, 0]])) or (0, "")
    assert (row, words[:30]) == (1, "5.0 in [1] of its observation ")
    numbers = Observations(spaces.Box(0, 1, (3,)))
    assert numbers.fault(np.zeros((2, 3), np.float32)) is None
    row, words = numbers.fault(f32([[0, 1, 2], [0, np.nan, np.inf]])) or (0, "")
    assert row == 1
    assert words.startswith("nan in coordinate 1 of its observation")
    said = Observations(spaces.Discrete(3)).fault(np.array([0, 2, 3], np.int32))
    assert said == (2, "3 of its observation (Discrete(3))")


def test_a_board_of_flags_is_no_image():
    for kind, shape in ((np.uint8, (7, 7, 12)), (np.int8, (8, 8)), (np.float32, (3, 2, 2, 2))):
        board = spaces.Box(0, 1, shape, kind)
        flat = Observations(board)
        assert flat.space.shape == (np.prod(shape),)
        value = board.sample()
        assert (flat(value) == value.ravel()).all()
    assert Observations(spaces.Box(0, 255, (7, 7, 3), np.uint8)).space.shape == (147,)


LARGE = [10**7, MAX_VALUES + 1, 2**63 - 1]
BIG = st.one_of(st.integers(MAX_VALUES + 1, 2**63 - 1), st.sampled_from(LARGE))


@settings(deadline=None, max_examples=60)
@given(BIG, st.integers(-5, 5), st.data())
def test_an_index_of_many_values_becomes_its_digits(count, start, data):
    count = min(count, 2**63 - 10)
    space = spaces.Discrete(count, start=start)
    flat = Observations(space)
    sizes: Any = np.array(factors(flat.space))
    assert (sizes <= DIGIT).all()
    assert math.prod(map(int, sizes)) >= count
    indices = [count - 1, *data.draw(st.lists(st.integers(0, count - 1), max_size=5))]
    digits = flat(np.array(indices, np.int64) + start)
    assert flat.fault(digits) is None
    again = [functools.reduce(lambda n, d: n * int(sizes[0]) + int(d), row, 0) for row in digits]
    assert again == indices
    assert flat.fault(flat(np.array([count]) + start)) is not None
    assert flat.fault(flat(np.array([start - 1]))) is not None
    # And in an export, where plain steps do it.
    forms = Forms.of(flat.space, spaces.Discrete(2), space)
    assert (forms.enter(np.array(indices) + start) == digits).all()


def test_indices_of_few_and_of_many_values_side_by_side():
    space = spaces.MultiDiscrete([3, 10**8, 5])
    flat = Observations(space)
    assert flat.space == spaces.MultiDiscrete([3, 465, 465, 465, 5])
    digits = flat(np.array([2, 10**8 - 1, 4]))
    assert digits.tolist() == [2, 462, 223, 354, 4]
    assert (
        Forms.of(flat.space, spaces.Discrete(2), space).enter(space.nvec[None] - 1) == digits
    ).all()


def test_numbers_of_an_action_that_cannot_vary_are_left_out_and_put_back():
    space = spaces.Tuple(
        [
            spaces.Box(f32([-1.0, 2.0]), f32([1.0, 2.0])),
            spaces.Box(np.array([[7, 0]]), np.array([[7, 9]]), dtype=np.int64),
        ]
    )
    actions = Actions(space)
    assert actions.space.shape == (2,)
    first, second = actions.to_original(f32([0.5, 3.2]))
    assert (first.tolist(), second.tolist()) == ([0.5, 2.0], [[7, 3]])
    assert actions.from_original((first, second)).tolist() == [0.5, 3.0]
    batch = actions.to_original(np.zeros((4, 3, 2), np.float32))
    assert batch[1].shape == (4, 3, 1, 2)
    # And in an export, where plain steps do it.
    for part in space.spaces:
        alone = Actions(part)
        chosen = f32([[0.25], [0.75]])
        leave = Forms.of(spaces.Discrete(2), alone.space, None, part).leave
        assert (leave(chosen) == alone.to_original(chosen)).all()


def test_parts_without_anything_in_them_stay():
    space = spaces.Tuple([spaces.Dict(), spaces.Discrete(3), spaces.Tuple([])])
    actions = Actions(space).to_original(np.array([2, 0]))
    assert unstacked(space, actions, 2) == [({}, 2, ()), ({}, 0, ())]
