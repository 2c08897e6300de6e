"""Vectors of numbers, to networks and back: against arithmetic and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.core.portable import original_steps, scaled_steps
from embrl.core.scaling import FARTHEST, TRUSTED, RawBox, RunningStats, Scale
from embrl.portable import Chain

LARGEST = float(np.finfo(np.float32).max)
FREE = Box(np.array([-2.0, -np.inf, 0.0]), np.array([6.0, np.inf, np.inf]), dtype=np.float64)
"""Bounded, without bounds, bounded on one side."""


@st.composite
def boxes(draw):
    """A bounded box, and points of it. Always of the same shape: others are compiled anew."""
    # XLA takes numbers too small to be normal for 0.
    number = st.floats(-1e4, 1e4, width=32, allow_subnormal=False)
    numbers = st.lists(number, min_size=3, max_size=3)
    widths = st.lists(st.floats(0.01, 1e4), min_size=3, max_size=3)
    shares = st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6)
    low = np.array(draw(numbers), np.float32)
    high = (low + np.array(draw(widths), np.float32)).astype(np.float32)
    points = low + np.array(draw(shares), np.float32).reshape(2, 3) * (high - low)
    return Box(low, high), np.clip(points, low, high).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(boxes(), st.booleans())
def test_what_is_bounded_comes_back_from_between_its_bounds(found, scaled):
    space, points = found
    raw = RawBox(space, scaled=scaled)
    assert (raw.scale is None) == (not scaled or (space.high - space.low <= TRUSTED).all())
    features = np.asarray(raw(points))
    assert (np.abs(features) <= 1.0 + 1e-5).all()
    again = np.asarray(raw.original(jnp.asarray(features)))
    assert (again >= space.low).all()
    assert (again <= space.high).all()
    room = np.abs(space.low) + np.abs(space.high)
    assert (np.abs(again - points) <= 1e-6 * room + 1e-6).all()


@settings(max_examples=40, deadline=None)
@given(boxes(), st.lists(st.floats(-50.0, 50.0), min_size=3, max_size=3))
def test_whatever_a_network_says_becomes_something_within_bounds(found, said):
    space, _ = found
    raw = RawBox(space)
    action = np.asarray(raw.original(jnp.array(said, jnp.float32)))
    assert space.contains(action)


def test_bounds_become_minus_one_and_one():
    raw = RawBox(Box(np.array([-2.0, 10.0]), np.array([2.0, 30.0]), dtype=np.float64))
    ends = jnp.array([[-2.0, 10.0], [2.0, 30.0], [0.0, 15.0]])
    np.testing.assert_allclose(raw(ends), [[-1, -1], [1, 1], [0, -0.5]], atol=1e-7)
    np.testing.assert_allclose(raw.original(jnp.array([0.5, 0.5])), [1.0, 25.0])


def test_unbounded_coordinates_are_squashed_as_long_as_nothing_is_known():
    raw = RawBox(FREE)
    assert raw.scale is None
    seen = raw(jnp.array([[2.0, 3.0, 1.0], [6.0, -1.0, 0.0]]))
    np.testing.assert_allclose(seen, [[0.0, 0.75, 0.5], [1.0, -0.5, 0.0]], rtol=1e-6)


def test_unbounded_coordinates_are_scaled_by_what_was_seen_and_come_back():
    values = jnp.array([[0.0, 10.0, 1.0], [1.0, 30.0, 1.0], [2.0, 20.0, 1.0]])
    raw = RawBox(FREE, scaled=True).seen(values)
    width = np.sqrt(200 / 3)
    np.testing.assert_allclose(
        raw(values), [[-0.5, -10 / width, 0.0], [-0.25, 10 / width, 0.0], [0, 0, 0.0]], atol=1e-6
    )
    np.testing.assert_allclose(raw.original(raw(values)), values, rtol=1e-5)
    # Far beyond counts as there; bounds are kept, also where there is only one.
    far = raw(jnp.array([0.0, 1e9, 1.0]))
    assert far[1] == FARTHEST
    np.testing.assert_allclose(raw.original(jnp.array([9.0, 0.0, -5.0])), [6.0, 20.0, 0.0])


def test_until_something_was_seen_a_scale_leaves_things_as_they_are():
    raw = RawBox(FREE, scaled=True)
    values = jnp.array([2.0, 3.0, 1.5])
    np.testing.assert_allclose(raw(values), [0.0, 3.0, 1.5])
    np.testing.assert_allclose(raw.original(raw(values)), values)


def test_bounds_too_far_apart_for_float32_count_as_none():
    raw = RawBox(Box(-LARGEST, LARGEST, (1,)), scaled=True)
    assert not raw.limits()[2].any()
    np.testing.assert_allclose(raw.original(raw(jnp.array([3.0]))), [3.0])


WIDE = Box(
    np.array([-1e10, 0.0, 0.0, -1.0]), np.array([1e10, 1000.0, 200.0, 1.0]), dtype=np.float64
)


def test_bounds_far_wider_than_what_is_seen_give_way_to_statistics():
    rng = np.random.default_rng(0)
    values = rng.uniform([90, 0, 0, -1e-3], [110, 1000, 1, 1e-3], (500, 4)).astype(np.float32)
    raw = RawBox(WIDE, scaled=True)
    np.testing.assert_allclose(raw(jnp.array([5e9, 500.0, 50.0, 0.5])), [0.5, 0, -0.5, 0.5])
    spread = np.asarray(raw.seen(jnp.asarray(values))(jnp.asarray(values))).std(0)
    # By statistics; by bounds, which the data fill; and by bounds of at most 256, as ever.
    np.testing.assert_allclose(spread, [1, 2 / 12**0.5, 0.01 / 12**0.5, 2e-3 / 12**0.5], rtol=0.1)
    raw, values = raw.seen(jnp.asarray(values)), jnp.asarray(values)
    np.testing.assert_allclose(Chain(scaled_steps(raw))(np.asarray(values)), raw(values), atol=1e-5)
    back = Chain(original_steps(raw))(np.asarray(raw(values)))
    np.testing.assert_allclose(back, values, rtol=1e-4, atol=1e-3)
    assert RawBox(WIDE).scale is None
    assert abs(RawBox(WIDE)(jnp.array([100.0, 0, 0, 0]))[0]) < 1e-7


def test_wide_bounds_hold_as_long_as_nothing_is_known():
    raw, empty = RawBox(WIDE, scaled=True), RunningStats.empty(4)
    known = raw.scaled_by(empty.scale, known=empty.steps > 0)
    point = jnp.array([100.0, 700.0, 100.0, 0.0])
    np.testing.assert_allclose(known(point), RawBox(WIDE)(point), atol=1e-6)
    assert known.original(jnp.array([0.0, 9.0, 0.0, 0.0]))[1] == 1000


def test_a_scale_gets_no_gradient():
    raw = RawBox(FREE, scaled=True).seen(jax.random.normal(jax.random.key(0), (9, 3)))
    gradient = jax.grad(lambda raw: raw(jnp.ones(3)).sum() + raw.original(jnp.ones(3)).sum())(raw)
    assert all(not leaf.any() for leaf in jax.tree.leaves(gradient))


def test_a_scale_of_nothing_that_varies_divides_by_one():
    scale = Scale.of(jnp.full((7, 1), 4.0))
    np.testing.assert_allclose(scale(jnp.array([4.5])), [0.5])


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**31),
    st.lists(st.sampled_from([1, 2, 15]), min_size=1, max_size=6),
    st.floats(-100.0, 100.0),
    st.floats(0.01, 100.0),
    st.integers(0, 3),
)
def test_what_was_seen_is_the_same_however_it_was_cut(seed, cuts, centre, width, still):
    rng = np.random.default_rng(seed)
    parts = [rng.normal(centre, width, (n, 2)).astype(np.float32) for n in cuts]
    for part in parts[:still]:  # at first nothing moves
        part[:] = 3.0
    seen = RunningStats.empty(2)
    for part in parts:
        seen = seen.update(jnp.asarray(part))
    everything = np.concatenate(parts).astype(np.float64)
    assert seen.steps == len(everything)
    room = np.abs(everything).max()
    np.testing.assert_allclose(seen.scale.centre, everything.mean(0), atol=1e-5 * room)
    expected = everything.std(0)
    varies = expected > 1e-3 * room  # elsewhere float32 cannot tell
    np.testing.assert_allclose(seen.scale.width[varies], expected[varies], rtol=1e-3)
    if (expected == 0.0).all():
        np.testing.assert_array_equal(seen.scale.width, 1.0)


def test_what_stood_still_at_first_counts_as_narrow_later():
    rows = np.array([[2.0], [2.0], [2.001], [1.999]], np.float32)
    seen = RunningStats.empty(1).update(jnp.asarray(rows[:1])).update(jnp.asarray(rows[1:]))
    np.testing.assert_allclose(seen.scale.width, rows.std(0), rtol=1e-3)


def test_left_alone_what_has_no_bounds_stays_as_it_is_however_far_it_goes():
    raw = RawBox(FREE, unchanged=True)
    assert raw.seen(jnp.ones((4, 3))).scale is None
    seen = raw(jnp.array([[2.0, 300.0, 1.0], [6.0, -1.0, -4e4]]))
    np.testing.assert_allclose(seen, [[0.0, 300.0, 1.0], [1.0, -1.0, -4e4]])


def test_scaled_down_nothing_becomes_larger():
    scale = Scale(jnp.array([1.0, -2.0, 0.0]), jnp.array([0.01, 1.0, 5.0])).down()
    values = jnp.array([[1.5, -1.0, 10.0], [-3.0, 90.0, 0.0]])
    np.testing.assert_allclose(scale(values), [[0.5, 1.0, 2.0], [-4.0, FARTHEST, 0.0]], rtol=1e-6)


def test_before_anything_was_seen_nothing_is_scaled():
    scale = RunningStats.empty(2).scale
    np.testing.assert_array_equal(scale(jnp.array([3.0, -4.0])), [3.0, -4.0])


def test_axes_in_front_are_all_samples():
    values = np.random.default_rng(0).normal(2.0, 3.0, (4, 5, 2)).astype(np.float32)
    seen = RunningStats.empty(2).update(jnp.asarray(values))
    flat = values.reshape(-1, 2)
    np.testing.assert_allclose(seen.scale.centre, flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(seen.scale.width, flat.std(0), rtol=1e-5)
    np.testing.assert_allclose(Scale.of(jnp.asarray(values)).width, flat.std(0), rtol=1e-5)


def test_only_boxes_with_one_axis_are_taken():
    from embrl.core.errors import EmbrlError

    with pytest.raises(EmbrlError, match="one axis"):
        RawBox(Box(0.0, 1.0, (2, 2)))
