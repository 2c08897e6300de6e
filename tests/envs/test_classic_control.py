"""The Acrobot and the Mountain Car: step by step as Gymnasium's."""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.core.errors import EmbrlError
from embrl.envs import configure
from embrl.envs.acrobot import AcrobotState
from embrl.envs.mountain_car import MountainCarState

KEY = jax.random.key(3)
COUNT = 400
WORLDS = {
    # Angles to just beyond half a turn and angular velocities up to their limits; the whole valley.
    "acrobot": ("Acrobot-v1", AcrobotState, [3.1, 3.1, 12.0, 28.0], [0.0] * 4, 0.05),
    "mountain_car": ("MountainCar-v0", MountainCarState, [0.9, 0.07], [-0.3, 0.0], 0.02),
}


@pytest.mark.parametrize("name", WORLDS)
def test_steps_from_any_state_are_gymnasiums(name: str) -> None:
    theirs, kind, width, centre, ends = WORLDS[name]
    env, ours = gymnasium.make(theirs).unwrapped, configure(name).build()
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    states = np.array(centre) + rng.uniform(-1, 1, (COUNT, len(width))) * width
    states = states.astype(np.float32)
    actions = rng.integers(3, size=COUNT).astype(np.int32)
    state = kind(jnp.asarray(states), jnp.zeros(COUNT, jnp.int32))
    _, step = jax.jit(jax.vmap(lambda s, a: ours.step(KEY, s, a)))(state, actions)
    found = []
    for row, action in zip(states, actions, strict=True):
        env.state = row.astype(np.float64)  # type: ignore[attr-defined]
        found.append(env.step(int(action)))
    seen, rewards, terminated, *_ = zip(*found, strict=True)
    scale = np.asarray(ours.observation_space.high)  # type: ignore[attr-defined]
    np.testing.assert_allclose(step.observation / scale, np.stack(seen) / scale, atol=5e-5)
    np.testing.assert_array_equal(step.terminated, terminated)
    np.testing.assert_array_equal(step.reward, np.array(rewards, np.float32))
    assert ends < np.mean(terminated) < 0.9


@pytest.mark.parametrize("name", WORLDS)
def test_whole_episodes_are_gymnasiums(name: str) -> None:
    theirs, kind, *_ = WORLDS[name]
    env, ours = gymnasium.make(theirs), configure(name).build()
    step = jax.jit(lambda state, action: ours.step(KEY, state, action))
    ends = set()
    for seed in range(2):
        env.reset(seed=seed)
        inner: Any = env.unwrapped
        state, terminated, truncated = (
            kind(jnp.asarray(inner.state, jnp.float32), jnp.int32(0)),
            False,
            False,
        )
        rng = np.random.default_rng(seed)
        while not (terminated or truncated):
            # Pushing along with the motion gets to the goal; chance does not.
            along = int(np.sign(inner.state[-1])) + 1
            action = along if seed else int(rng.integers(3))
            seen, reward, terminated, truncated, _ = env.step(action)
            state, now = step(state, jnp.int32(action))
            np.testing.assert_allclose(now.observation, seen, rtol=2e-5, atol=2e-5)
            assert (now.reward, now.terminated, now.truncated) == (reward, terminated, truncated)
            state = type(state)(jnp.asarray(inner.state, jnp.float32), state[1])
        ends.add("terminated" if terminated else "truncated")
    assert ends == {"terminated", "truncated"}


@pytest.mark.parametrize("name", WORLDS)
def test_spaces_and_starts_are_gymnasiums(name: str) -> None:
    env, ours = gymnasium.make(WORLDS[name][0]), configure(name).build()
    assert ours.observation_space == env.observation_space
    assert ours.action_space == env.action_space
    many = jax.jit(jax.vmap(ours.reset))(jax.random.split(KEY, 1000))[1]
    expected = np.stack([env.reset(seed=seed)[0] for seed in range(1000)])
    np.testing.assert_allclose(many.mean(0), expected.mean(0), atol=0.01)
    np.testing.assert_allclose(many.min(0), expected.min(0), atol=0.005)
    np.testing.assert_allclose(many.max(0), expected.max(0), atol=0.005)


@pytest.mark.parametrize("angle", [4.0, -4.0, 3.0, -3.0, 3.15, -3.15])
def test_angles_stay_within_half_a_turn(angle: float) -> None:
    ours = configure("acrobot").build()
    state = AcrobotState(jnp.array([angle, 0.0, 0.0, 0.0]), jnp.int32(0))
    after = jax.jit(ours.step)(KEY, state, jnp.int32(1))[0].links
    assert np.abs(after[:2]).max() <= np.float32(np.pi)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("acrobot", {"tau": 0}, "env.tau .*above 0, got 0"),
        ("acrobot", {"step_limit": 0}, "env.step-limit .*got 0"),
        ("mountain_car", {"most_speed": -1.0}, "env.most-speed .*above 0, got -1.0"),
        ("mountain_car", {"step_limit": 1.5}, "env.step-limit .*integer.*got 1.5"),
    ],
)
def test_a_wrong_setting_is_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(EmbrlError, match=f"^{message}"):
        configure(name, **options).build()
