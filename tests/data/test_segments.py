"""Segments of a table in which every number says where it stands."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.core.types import Transition
from embrl.data.replay import Segments, draw_segments, first, join

KEY = jax.random.key(0)
T, B = 12, 3
PLACE = 100
"""Observations are PLACE * row + env."""

draw = jax.jit(draw_segments, static_argnames=("count", "horizon", "block"))


def table(terminated: Any = False, truncated: Any = False, rows: int = T) -> Transition:
    """Steps `[rows, B]`, with observations of two numbers."""
    row, env = np.indices((rows, B))
    place = jnp.asarray(PLACE * row + env, jnp.int32)
    return Transition(
        observation=jnp.stack([place, -place], axis=-1),
        action=place,
        reward=place.astype(jnp.float32) / 2,
        next_observation=jnp.stack([place + PLACE, -place], axis=-1),
        terminated=jnp.broadcast_to(jnp.asarray(terminated, bool), (rows, B)),
        truncated=jnp.broadcast_to(jnp.asarray(truncated, bool), (rows, B)),
    )


def places(segments: Segments) -> tuple[np.ndarray, np.ndarray]:
    """Rows and environments that the steps come from."""
    place = np.asarray(segments.steps.action)
    return place // PLACE, place % PLACE


def inside(ends: np.ndarray, rows: np.ndarray, envs: np.ndarray, block: int) -> np.ndarray:
    """The mask, step by step."""
    mask = np.ones(rows.shape, bool)
    for n in range(rows.shape[1]):
        for h in range(1, rows.shape[0]):
            row, env = rows[h - 1, n], envs[h - 1, n]
            over = ends[row, env] or row % block == block - 1
            mask[h, n] = mask[h - 1, n] and not over
    return mask


def test_single_steps_are_plain_random_rows() -> None:
    steps = table()
    drawn = draw(steps, KEY, 50)
    # As drawn from the flat table, with the same random numbers.
    chosen = jax.random.randint(KEY, (50,), 0, T * B)
    flat = jax.tree.map(lambda column: column.reshape(-1, *column.shape[2:])[chosen], steps)
    for ours, theirs in zip(first(drawn), flat, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert drawn.mask.shape == (1, 50)
    assert drawn.mask.all()


def test_segments_are_steps_in_a_row_of_one_env() -> None:
    drawn = draw(table(), KEY, 200, 4)
    rows, envs = places(drawn)
    assert rows.shape == (4, 200)
    np.testing.assert_array_equal(np.diff(rows, axis=0), np.ones((3, 200)))
    np.testing.assert_array_equal(envs, np.broadcast_to(envs[0], envs.shape))
    assert drawn.mask.all()
    # Every column comes from the same place.
    place = PLACE * rows + envs
    np.testing.assert_array_equal(drawn.steps.observation, np.stack([place, -place], axis=-1))
    np.testing.assert_array_equal(drawn.steps.reward, place / 2)
    np.testing.assert_array_equal(drawn.steps.next_observation[..., 0], place + PLACE)


def test_all_places_where_a_segment_fits_are_as_likely() -> None:
    rows, envs = places(draw(table(), KEY, 9000, 3))
    begins, counts = np.unique(PLACE * rows[0] + envs[0], return_counts=True)
    expected = [PLACE * row + env for row in range(T - 2) for env in range(B)]
    np.testing.assert_array_equal(begins, expected)
    mean = 9000 / 30
    assert np.abs(counts - mean).max() < 5 * np.sqrt(mean)


@pytest.mark.parametrize("kind", ["terminated", "truncated"])
def test_what_follows_an_episode_s_end_is_masked(kind: str) -> None:
    ends = np.zeros((T, B), bool)
    ends[5, 1] = True
    steps = table(ends) if kind == "terminated" else table(truncated=ends)
    drawn = draw(steps, KEY, 300, 4)
    rows, envs = places(drawn)
    # The step that ends the episode still counts.
    expected = (envs != 1) | (rows[0] > 5) | (rows <= 5)
    np.testing.assert_array_equal(drawn.mask, expected)
    assert 0 < (~expected).sum() < expected.size


def test_what_follows_a_block_is_masked() -> None:
    drawn = draw(table(), KEY, 300, 3, block=4)
    rows, _ = places(drawn)
    np.testing.assert_array_equal(drawn.mask, rows // 4 == rows[0] // 4)
    assert not drawn.mask.all()


@settings(deadline=None, max_examples=60)
@given(
    ends=st.lists(st.tuples(st.integers(0, T - 1), st.integers(0, B - 1), st.booleans())),
    seed=st.integers(0, 2**31 - 1),
    rows=st.integers(5, T),
    block=st.sampled_from([T, 4, 3]),
)
def test_the_mask_is_what_a_walk_along_the_env_finds(
    ends: list[tuple[int, int, bool]], seed: int, rows: int, block: int
) -> None:
    marks = np.zeros((2, T, B), bool)
    for row, env, truncated in ends:
        marks[int(truncated), row, env] = True
    drawn = draw(
        table(marks[0], marks[1]), jax.random.key(seed), 20, 5, block=block, rows=jnp.int32(rows)
    )
    found, envs = places(drawn)
    assert found.max() < rows
    np.testing.assert_array_equal(drawn.mask, inside(marks[0] | marks[1], found, envs, block))


def test_rows_that_are_not_there_yet_are_not_drawn() -> None:
    for rows in (1, 5, T):
        found, envs = places(draw(table(), KEY, 300, 1, rows=jnp.int32(rows)))
        assert found.max() == rows - 1
        assert set(envs.ravel().tolist()) == set(range(B))


def test_with_too_few_rows_segments_are_cut_short() -> None:
    # Of two rows that are there, three steps: the third is masked, and all environments take part.
    drawn = draw(table(), KEY, 60, 3, rows=jnp.int32(2))
    rows, envs = places(drawn)
    np.testing.assert_array_equal(rows[0], np.zeros(60))
    assert set(envs[0].tolist()) == set(range(B))
    np.testing.assert_array_equal(drawn.mask, np.array([[True], [True], [False]]) & (envs >= 0))
    # The same where the table itself ends.
    short = draw(table(rows=2), KEY, 60, 3)
    np.testing.assert_array_equal(short.mask, drawn.mask)
    np.testing.assert_array_equal(short.steps.action[:2], drawn.steps.action[:2])


def test_segments_are_joined_side_by_side() -> None:
    one, other = draw(table(), KEY, 4, 2), draw(table(), jax.random.key(1), 3, 2, block=4)
    both = join(one, other)
    assert both.mask.shape == (2, 7)
    assert both.steps.observation.shape == (2, 7, 2)
    for whole, left, right in zip(
        jax.tree.leaves(both), jax.tree.leaves(one), jax.tree.leaves(other), strict=True
    ):
        np.testing.assert_array_equal(whole[:, :4], left)
        np.testing.assert_array_equal(whole[:, 4:], right)


def test_compiled_is_not_compiled_and_side_by_side_is_one_by_one() -> None:
    ends = np.zeros((T, B), bool)
    ends[[3, 8], [0, 2]] = True
    steps, keys = table(ends), jax.random.split(KEY, 3)

    def one(key: jax.Array) -> Segments:
        return draw_segments(steps, key, 10, 4, block=6, rows=11)

    together = jax.jit(jax.vmap(one))(keys)
    for index, key in enumerate(keys):
        for ours, theirs in zip(jax.tree.leaves(together), jax.tree.leaves(one(key)), strict=True):
            np.testing.assert_array_equal(ours[index], theirs)


def test_more_rows_are_no_new_program() -> None:
    draws: Any = jax.jit(lambda key, rows: draw_segments(table(), key, 5, 2, rows=rows))
    for rows in (2, 7, T):
        draws(KEY, jnp.int32(rows))
    assert draws._cache_size() == 1
