"""The ring of latest transitions against a queue in plain Python."""

from collections import deque
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.core.types import Transition
from embrl.data import replay as replays
from embrl.data.replay import Replay

KEY = jax.random.key(0)
ROWS, BLOCK, NUM_ENVS, D = 6, 2, 3, 2

write = jax.jit(replays.write)
draw = jax.jit(replays.draw, static_argnames="count")
filled = jax.jit(replays.filled, static_argnames="block")


def block(number: int) -> tuple[Transition, jax.Array]:
    """A block of steps that know its number, and offsets of theirs; no two numbers are equal."""
    row, env = np.indices((BLOCK, NUM_ENVS))
    place = jnp.asarray(100 * number + 10 * row + env + 1, jnp.int32)
    steps = Transition(
        observation=jnp.stack([place, -place], axis=-1),
        action=place,
        reward=place / 2,
        next_observation=jnp.stack([place + 1, -place], axis=-1),
        terminated=place % 2 == 0,
        truncated=place % 3 == 0,
    )
    return steps, jnp.stack([place / 4, -place / 4], axis=-1)


def empty(d: int | None = D, rows: int = ROWS) -> Replay:
    return replays.new_replay(block(0)[0], rows, d)


def after(count: int, rows: int = ROWS) -> Replay:
    """A ring after that many blocks."""
    replay = empty(rows=rows)
    for number in range(count):
        replay = write(replay, *block(number), jnp.int32(number))
    return replay


@pytest.mark.parametrize(
    ("capacity", "envs", "size", "rows"),
    [(300, 30, 10, 10), (301, 30, 10, 20), (1, 30, 10, 10), (900, 3, 2, 300), (901, 3, 2, 302)],
)
def test_a_ring_holds_what_is_asked_for_in_whole_blocks(
    capacity: int, envs: int, size: int, rows: int
) -> None:
    assert replays.ring_rows(capacity, envs, size) == rows


def test_an_empty_ring_is_as_wide_as_what_goes_in() -> None:
    replay = empty()
    assert replay.steps.observation.shape == (ROWS, NUM_ENVS, 2)
    assert replay.steps.observation.dtype == jnp.int32
    assert replay.steps.terminated.dtype == bool
    assert replay.offset is not None
    assert replay.offset.shape == (ROWS, NUM_ENVS, D)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(replay))
    assert empty(d=None).offset is None
    # What it is to look like need not have been computed.
    shapes = jax.eval_shape(lambda: block(0)[0])
    assert replays.new_replay(shapes, ROWS, D).steps.reward.shape == (ROWS, NUM_ENVS)


@settings(deadline=None, max_examples=40)
@given(blocks=st.integers(0, 11))
def test_the_ring_is_a_queue_that_forgets_the_oldest(blocks: int) -> None:
    queue: deque[int] = deque(maxlen=ROWS // BLOCK)
    replay = empty()
    for number in range(blocks):
        queue.append(number)
        replay = write(replay, *block(number), jnp.int32(number))
    there = int(filled(replay, BLOCK, jnp.int32(blocks)))
    assert there == BLOCK * len(queue)
    # The ring is full of exactly these blocks, each whole and in its own place.
    for number in queue:
        steps, offset = block(number)
        start = BLOCK * (number % queue.maxlen)  # type: ignore[operator]
        assert start + BLOCK <= there
        for ours, theirs in zip(
            jax.tree.leaves(replay), jax.tree.leaves((steps, offset)), strict=True
        ):
            np.testing.assert_array_equal(ours[start : start + BLOCK], theirs)
    for leaf in jax.tree.leaves(replay):
        assert not np.asarray(leaf[there:]).any()


def test_actions_chosen_as_themselves_have_no_offset() -> None:
    replay = after(4)
    steps, _ = block(4)
    written = write(replay, steps, None, jnp.int32(4))
    assert written.offset is not None
    assert replay.offset is not None
    np.testing.assert_array_equal(written.offset[2:4], np.zeros((BLOCK, NUM_ENVS, D)))
    np.testing.assert_array_equal(written.offset[:2], replay.offset[:2])
    np.testing.assert_array_equal(written.steps.action[2:4], steps.action)
    assert jax.tree.structure(written) == jax.tree.structure(replay)


def test_without_action_embeddings_there_are_no_offsets() -> None:
    written = write(empty(d=None), block(0)[0], None, jnp.int32(0))
    assert written.offset is None
    np.testing.assert_array_equal(written.steps.action[:BLOCK], block(0)[0].action)


def test_draws_come_from_rows_that_are_there() -> None:
    replay = after(2)
    rows = filled(replay, BLOCK, 2)
    steps, offset, *masks = draw(replay, KEY, count=500, rows=rows)
    assert masks == [None, None]
    expected = np.concatenate([np.asarray(block(number)[0].action).ravel() for number in (0, 1)])
    drawn, counts = np.unique(steps.action, return_counts=True)
    np.testing.assert_array_equal(drawn, np.sort(expected))
    mean = 500 / len(expected)
    assert np.abs(counts - mean).max() < 5 * np.sqrt(mean)
    # All that belongs to a step comes with it.
    assert offset is not None
    action = np.asarray(steps.action)
    np.testing.assert_array_equal(steps.observation, np.stack([action, -action], axis=-1))
    np.testing.assert_array_equal(steps.reward, action / 2)
    np.testing.assert_array_equal(offset, np.stack([action / 4, -action / 4], axis=-1))


def test_draws_from_a_full_ring_know_nothing_of_older_blocks() -> None:
    steps = draw(after(5), KEY, count=500, rows=ROWS).steps
    assert set((np.asarray(steps.action) // 100).tolist()) == {2, 3, 4}


def test_compiled_is_not_compiled_and_side_by_side_is_one_by_one() -> None:
    def run(key: jax.Array, scale: jax.Array) -> tuple[Replay, Transition]:
        replay = empty()
        for number in range(4):
            steps, offset = block(number)
            replay = replays.write(replay, steps, scale * offset, number)
        return replay, replays.draw(replay, key, 8, 6)[0]

    keys, scales = jax.random.split(KEY, 2), jnp.array([1.0, 3.0])
    together = jax.jit(jax.vmap(run))(keys, scales)
    for index in range(2):
        for ours, theirs in zip(
            jax.tree.leaves(together), jax.tree.leaves(run(keys[index], scales[index])), strict=True
        ):
            np.testing.assert_array_equal(ours[index], theirs)


def test_writing_side_by_side_is_no_scatter() -> None:
    rings = jax.vmap(lambda _: empty())(jnp.arange(2))
    blocks = jax.vmap(lambda _: block(0))(jnp.arange(2))
    many = jax.jit(jax.vmap(replays.write, in_axes=(0, 0, 0, None)))
    program = many.lower(rings, *blocks, jnp.int32(3)).compile().as_text() or ""
    assert "dynamic-update-slice(" in program
    assert "scatter(" not in program


def test_more_blocks_are_no_new_program() -> None:
    program: Any = jax.jit(lambda replay, number: replays.write(replay, *block(0), number))
    replay = empty()
    for number in range(5):
        replay = program(replay, jnp.int32(number))
    assert program._cache_size() == 1
