"""Glimpses: what a look shows, what names are worth, and files of images."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.core.errors import EmbrlError
from embrl.envs.glimpses import Glimpses, GlimpsesConfig

KEY = jax.random.key(0)


def made(**settings: Any) -> Glimpses:
    """Ten images, each of a brightness of its own."""
    images = np.linspace(0.5, 1.0, 10, dtype=np.float32)[:, None, None] * np.ones((1, 16, 16))
    return Glimpses(
        GlimpsesConfig(**settings), images.astype(np.float32), np.arange(10, dtype=np.int32) % 3
    )


def test_a_look_shows_a_sixteenth_and_what_was_seen_stays():
    env = made(noise=0.0)
    assert int(env.action_space.n) == 13 * 13 + 3
    state, first = env.reset(KEY)
    assert not first.any()
    state, one = env.step(KEY, state, jnp.int32(14))  # the second row, the second place
    assert (one.observation[..., 1] > 0).sum() == 32 * 32 // 16
    assert (one.observation[2:10, 2:10, 1] == 255).all()
    np.testing.assert_array_equal(one.observation[2:10, 2:10, 0], state.image[2:10, 2:10])
    state, two = env.step(KEY, state, jnp.int32(168))
    seen = np.asarray(two.observation[..., 1]) > 0
    assert seen[24:, 24:].all()
    assert seen.sum() == 128
    assert float(two.reward) == pytest.approx(-0.02)
    assert not bool(two.terminated)


def test_the_right_name_is_worth_one_and_ends_the_episode():
    env = made()
    state, _ = env.reset(KEY)
    for name in range(3):
        _, after = env.step(KEY, state, jnp.int32(169 + name))
        assert float(after.reward) == float(name == int(state.label))
        assert bool(after.terminated)


def test_a_look_too_many_ends_it_without_a_name():
    env = made(glimpses=2)
    state, _ = env.reset(KEY)
    ends = []
    for _ in range(3):
        state, after = env.step(KEY, state, jnp.int32(0))
        ends.append(bool(after.terminated))
    assert ends == [False, False, True]


@pytest.mark.parametrize(("given", "seen"), [("whole", 1024), ("centre", 64), ("random", None)])
def test_what_is_given_leaves_names_alone(given: Any, seen: int | None):
    env = made(given=given)
    assert int(env.action_space.n) == 3
    _, first = env.reset(KEY)
    count = int((first[..., 1] > 0).sum())
    assert count == seen if seen else 64 <= count <= 6 * 64


def test_the_expert_looks_where_most_is_unseen_and_names_what_it_saw():
    env = made(noise=0.0)
    shown = env.demonstrations(KEY, 500)
    seen = np.asarray(shown.observation[..., 1]) > 0
    action = np.asarray(shown.action)
    names = action >= 169
    assert 0.1 < names.mean() < 0.8
    # Ten images of a brightness each; the number of an image decides its name.
    number = np.rint((shown.observation[..., 0].max((1, 2)) / 255.0 - 0.5) * 18.0)
    found = names & (number >= 0)
    assert found.sum() > 50
    np.testing.assert_array_equal(action[found] - 169, number[found] % 3)
    # All has the same brightness: from nothing, four looks of a quarter show it all.
    looks = seen.sum((1, 2)) / 64
    assert looks[~names].max() <= 6
    assert not names[looks == 0].any()
    window = np.asarray(jax.vmap(env.window)(jnp.asarray(action[~names])))
    assert (window & ~seen[~names]).any((1, 2)).all()


def test_an_expert_that_has_seen_nothing_looks_at_the_middle_first():
    shown = made(noise=0.0).demonstrations(KEY, 200)
    nothing = ~np.asarray(shown.observation[..., 1]).any((1, 2))
    assert set(np.asarray(shown.action)[nothing]) == {6 * 13 + 6}  # rows and columns 12 to 19


def test_the_best_place_shows_most_ink():
    env, ink = made(stride=3), np.random.default_rng(0).random((32, 32)).astype(np.float32)
    shown = [float((ink * np.asarray(env.window(jnp.int32(place)))).sum()) for place in range(81)]
    assert int(env._best(jnp.asarray(ink))) == int(np.argmax(shown))


@pytest.mark.parametrize("given", ["whole", "centre"])
def test_where_actions_are_names_alone_the_expert_names(given: Any):
    shown = made(noise=0.0, given=given).demonstrations(KEY, 50)
    number = np.rint((shown.observation[..., 0].max((1, 2)) / 255.0 - 0.5) * 18.0)
    np.testing.assert_array_equal(shown.action, number % 3)


def test_held_out_images_are_others(tmp_path: Path):
    path = tmp_path / "images.npz"
    images = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((1, 16, 16), np.uint8)
    np.savez(path, images=images, labels=np.arange(10))
    one, other = (
        GlimpsesConfig(data=str(path), digits=which).build() for which in ("trained", "held_out")
    )
    assert (len(one.labels), len(other.labels)) == (8, 2)
    assert not set(np.asarray(one.labels)) & set(np.asarray(other.labels))


@pytest.mark.parametrize(
    ("setting", "arrays"),
    [
        ("env.data", {"pictures": np.zeros((3, 16, 16))}),
        ("images", {"images": np.zeros((3, 8, 8)), "labels": np.zeros(3, int)}),
        ("images", {"images": np.full((3, 16, 16), 7.0), "labels": np.zeros(3, int)}),
        ("labels", {"images": np.zeros((3, 16, 16)), "labels": np.zeros(2, int)}),
    ],
)
def test_files_of_something_else_are_refused(tmp_path: Path, setting: str, arrays: Any):
    path = tmp_path / "images.npz"
    np.savez(path, **arrays)
    with pytest.raises(EmbrlError, match=rf"^{setting} must be"):
        GlimpsesConfig(data=str(path)).build()
