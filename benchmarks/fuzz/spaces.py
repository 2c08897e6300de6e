"""Spaces: all of Gymnasium's, nested, converted to embrl's forms and back."""

import math
import random
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.tally import Tally
from embrl.core import spaces as flat
from embrl.core.errors import EmbrlError
from embrl.deploy.array_forms import Forms, is_plain
from embrl.envs.gym.flat_actions import Actions
from embrl.envs.gym.flat_observations import Observations
from embrl.envs.gym.leaves import unstacked
from embrl.envs.gym.masks import MaskReader, SpaceMasks

SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)
FLOATS = [np.float16, np.float32, np.float64]
INTEGERS = [np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint32, np.uint64]
NUMBERS = st.one_of(
    st.sampled_from([0.0, -1.0, 1.0, 1e5, 2.0**31, 1e10, 1e30, 3.4e38, 1e39, 1.7e9]),
    st.floats(allow_nan=False, allow_infinity=True),
)


@st.composite
def boxes(draw: Any, shapes: Any = SHAPES) -> spaces.Box:
    """Boxes of all kinds of numbers, with bounds of all sizes, equal, or none on a side."""
    shape = draw(shapes)
    kind = draw(st.sampled_from([*INTEGERS, *FLOATS, *FLOATS]))
    if kind in INTEGERS:
        ends = st.integers(int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    else:
        ends = st.one_of(NUMBERS, st.sampled_from([-np.inf, np.inf, 0.0, 1.0]))
    alike = draw(st.booleans())
    with np.errstate(over="ignore"):
        found = [
            np.asarray([draw(ends) for _ in range(math.prod(shape))], kind).reshape(shape)
            if not alike
            else np.full(shape, draw(ends), kind)
            for _ in range(2)
        ]
    return spaces.Box(np.minimum(*found), np.maximum(*found), shape, kind)


@st.composite
def multi_discrete(draw: Any) -> spaces.MultiDiscrete:
    """Several indices, in one axis or two, from 0 or other starts, of several kinds of integers."""
    sizes = np.array(draw(st.lists(st.integers(1, 5), min_size=1, max_size=6)))
    starts = np.array([draw(st.integers(-9, 9)) for _ in sizes])
    if len(sizes) % 2 == 0 and draw(st.booleans()):
        sizes, starts = sizes.reshape(2, -1), starts.reshape(2, -1)
    kind = draw(st.sampled_from([np.int64, np.int32, np.int8]))
    return spaces.MultiDiscrete(sizes, kind, start=starts if draw(st.booleans()) else None)


def discrete(most: int | None = None) -> st.SearchStrategy[spaces.Space]:
    """Indices from 0 or from another start, up to `most` or astronomically many."""
    sizes: Any = st.integers(1, most or 6)
    if most is None:
        sizes = st.one_of(sizes, st.sampled_from([1000, 10**6, 10**7, 2**31, 2**40, 2**62]))
    starts = st.one_of(st.integers(-9, 9), st.sampled_from([-(10**9), 10**9]))
    return st.builds(lambda n, first: spaces.Discrete(n, start=first), sizes, starts)


BINARY = st.one_of(st.integers(1, 24), st.sampled_from([(2, 2), (3, 1, 2)])).map(spaces.MultiBinary)
FLAGS = SHAPES.map(lambda shape: spaces.Box(0, 1, shape, np.dtype(bool)))  # type: ignore[arg-type]
ODD = st.one_of(
    st.builds(spaces.Text, st.integers(1, 5)),
    st.builds(spaces.Sequence, st.builds(spaces.Discrete, st.integers(1, 3)), stack=st.booleans()),
    st.just(spaces.Graph(spaces.Discrete(2), None)),
    st.just(spaces.Graph(spaces.Box(-1, 1, (2,)), spaces.Discrete(3))),
    st.just(spaces.OneOf([spaces.Discrete(2), spaces.Box(-1, 1, (2,))])),
    st.just(spaces.MultiDiscrete(np.zeros(0, np.int64))),
)


def nested(
    leaves: st.SearchStrategy[spaces.Space], most: int, least: int = 1
) -> st.SearchStrategy[spaces.Space]:
    """Spaces, and dictionaries and tuples of them at any depth."""
    names: Any = st.sampled_from(["a", "b", "action_mask", "é", "", "a.b", 3, "observation"])
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, min_size=least, max_size=3).map(spaces.Tuple),
            st.dictionaries(names, inner, min_size=least, max_size=3).map(spaces.Dict),
        ),
        max_leaves=most,
    )


FULL = st.lists(st.integers(1, 4), max_size=3).map(tuple)
INDICES = st.one_of(discrete(), multi_discrete(), BINARY)
ALL = nested(st.one_of(boxes(), INDICES, FLAGS, ODD), 4, least=0)
USUAL_OBSERVATIONS = st.one_of(nested(st.one_of(boxes(FULL), INDICES), 3), boxes(FULL), INDICES)
USUAL_ACTIONS = st.one_of(
    nested(boxes(st.just((2,))), 2),
    nested(st.one_of(discrete(5), multi_discrete(), st.just(spaces.MultiBinary(3))), 2),
)
"""Those that are refused more rarely."""


def read_observations(space: spaces.Space, seed: int) -> Any:
    """Convert observations, one by one and together, and the space to JSON and back."""
    converter = Observations(space)
    space.seed(seed)
    try:
        values = [space.sample() for _ in range(3)]
    except ValueError:  # Gymnasium's own limit: a Box of more integers than int64 has
        return converter
    rows = [converter(value) for value in values]
    for row in rows:
        assert (row.shape, row.dtype) == (converter.shape, converter.dtype), row
        fault = converter.fault(row[None])
        assert fault is None or not np.isfinite(row).all(), fault
    again = flat.from_json(flat.to_json(converter.space), "space")
    assert again == converter.space, again
    if is_plain(space):
        forms = Forms.of(
            converter.space, flat.from_json({"kind": "Discrete", "sizes": [2]}, ""), space
        )
        forms.observation.checked(np.asarray(values[0])[None])
    return converter


def read_actions(space: spaces.Space, seed: int) -> Actions:
    """Convert actions there and back, one by one and together, and masks of them."""
    converter = Actions(space)
    converter.space.seed(seed)
    actions = np.stack([np.asarray(converter.space.sample()) for _ in range(3)])
    together = unstacked(space, converter.to_original(actions), 3)
    for action, other in zip(actions, together, strict=True):
        original = converter.to_original(action)
        assert space.contains(original), (action, original)
        assert space.contains(other), (action, other)
        back = converter.from_original(original)
        if isinstance(converter.space, spaces.Discrete):
            assert back == action, (action, back)
    if isinstance(space, spaces.Discrete) and space.n <= 4096:  # else a mask has several forms
        actions: Any = converter.space
        flags = np.random.default_rng(seed).random(int(actions.n)) < 0.5
        assert (SpaceMasks(converter)(flags) == flags).all()
    return converter


def run(tally: Tally, count: int, seed: int, work: Path) -> None:
    """Try spaces."""
    del work
    draw = random.Random(seed)

    def both(observations: spaces.Space, actions: spaces.Space, at: int) -> None:
        errors = []
        for function, space in ((read_observations, observations), (read_actions, actions)):
            try:
                found = function(space, at)
            except EmbrlError as error:
                errors.append(error)
            else:
                if function is read_actions:
                    MaskReader(observations, found)
        if errors:
            raise errors[0]

    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=[*HealthCheck],  # type: ignore[list-item]
    )
    @given(st.one_of(ALL, USUAL_OBSERVATIONS), st.one_of(ALL, USUAL_ACTIONS))
    def every(observations: spaces.Space, actions: spaces.Space) -> None:
        at = draw.randrange(10**6)
        tally.try_one((observations, actions), lambda: both(observations, actions, at))

    every()
