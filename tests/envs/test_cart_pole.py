"""Cart-Pole: step by step as Gymnasium's CartPole-v1."""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.core.errors import EmbrlError
from embrl.data.rollout import open_envs
from embrl.envs import configure
from embrl.envs.cart_pole import CartPoleConfig, CartPoleState

KEY = jax.random.key(3)
ENV = CartPoleConfig().build()


@jax.jit
def steps(state: CartPoleState, action: jax.Array) -> Any:
    return jax.vmap(lambda s, a: ENV.step(KEY, s, a))(state, action)


def theirs(state: np.ndarray, action: int) -> Any:
    """One step of theirs from any state."""
    env = gymnasium.make("CartPole-v1").unwrapped
    env.reset(seed=0)
    env.state = state.astype(np.float64)  # type: ignore[attr-defined]
    return env.step(action)


def test_steps_from_any_state_are_gymnasiums() -> None:
    rng = np.random.default_rng(0)
    count = 500
    # To just beyond where an episode ends.
    states = rng.uniform(-1, 1, (count, 4)) * [2.5, 4.0, 0.22, 4.0]
    states = states.astype(np.float32)
    actions = rng.integers(2, size=count).astype(np.int32)
    after, step = steps(CartPoleState(jnp.asarray(states), jnp.zeros(count, jnp.int32)), actions)
    expected = [theirs(state, int(action)) for state, action in zip(states, actions, strict=True)]
    seen, rewards, terminated, truncated, _ = zip(*expected, strict=True)
    np.testing.assert_allclose(step.observation, np.stack(seen), rtol=2e-6, atol=1e-6)
    np.testing.assert_array_equal(after.observation, step.observation)
    np.testing.assert_array_equal(step.reward, np.array(rewards))
    np.testing.assert_array_equal(step.terminated, terminated)
    np.testing.assert_array_equal(step.truncated, truncated)
    assert 50 < np.sum(terminated) < count - 50


@pytest.mark.parametrize(("at", "beyond"), [(0, 2.4), (2, 12 * np.pi / 180)])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_an_episode_ends_just_beyond_its_bounds(at: int, beyond: float, side: float) -> None:
    states = np.zeros((2, 4), np.float32)
    states[:, at] = side * beyond * np.array([1 - 1e-6, 1 + 1e-6])
    _, step = steps(CartPoleState(jnp.asarray(states), jnp.zeros(2, jnp.int32)), jnp.ones(2, int))
    assert step.terminated.tolist() == [False, True]
    assert [theirs(state, 1)[2] for state in states] == [False, True]


@pytest.mark.parametrize("skilled", [False, True])
def test_whole_episodes_are_gymnasiums(skilled: bool) -> None:
    env = gymnasium.make("CartPole-v1")
    rng = np.random.default_rng(1)
    step = jax.jit(lambda state, action: ENV.step(KEY, state, action))
    for seed in range(2 if skilled else 20):
        seen, _ = env.reset(seed=seed)
        state, length, done = CartPoleState(jnp.asarray(seen), jnp.int32(0)), 0, False
        while not done:
            action = int(seen @ [0.1, 0.5, 1.0, 0.8] > 0) if skilled else int(rng.integers(2))
            seen, reward, terminated, truncated, _ = env.step(action)
            state, now = step(state, jnp.int32(action))
            length, done = length + 1, terminated or truncated
            np.testing.assert_allclose(now.observation, seen, rtol=2e-6, atol=1e-6)
            # Differences in rounding would grow from step to step.
            state = state._replace(observation=jnp.asarray(seen))
            assert (now.reward, now.terminated, now.truncated) == (reward, terminated, truncated)
        assert length == 500 if skilled else length < 150


def test_the_last_step_may_end_it_either_way() -> None:
    upright, fallen = np.zeros(4, np.float32), np.array([0, 0, 0.3, 0], np.float32)
    state = CartPoleState(jnp.asarray(np.stack([upright, fallen])), jnp.full(2, 499, jnp.int32))
    _, step = steps(state, jnp.ones(2, jnp.int32))
    assert step.truncated.tolist() == [True, False]
    assert step.terminated.tolist() == [False, True]
    assert step.reward.tolist() == [1.0, 1.0]


def test_spaces_are_gymnasiums_and_starts_are_spread_as_theirs() -> None:
    env = gymnasium.make("CartPole-v1")
    assert ENV.observation_space == env.observation_space
    assert ENV.action_space == env.action_space
    first = np.asarray(open_envs(ENV, KEY, 4000).observation)
    assert np.abs(first).max() <= 0.05
    np.testing.assert_allclose(
        np.sort(first, axis=0)[::400],
        np.sort(np.random.default_rng(0).uniform(-0.05, 0.05, (4000, 4)), axis=0)[::400],
        atol=0.005,
    )


def test_constants_can_be_changed() -> None:
    # On the moon, with hands off, a pole falls later.
    def fall(**options: Any) -> float:
        env = configure("cart_pole", **options).build()
        state = CartPoleState(jnp.array([0.0, 0.0, 0.1, 0.0]), jnp.int32(0))
        return float(jax.jit(env.step)(KEY, state, jnp.int32(1))[1].observation[3])

    assert fall(gravity=1.6, force=1e-6) < fall(force=1e-6)
    assert fall(force=1e-6) == pytest.approx(0.02 * 9.8 * 0.1 / (0.5 * (4 / 3 - 0.1 / 1.1)), 0.01)
    assert configure("cart_pole", step_limit=7).build().references(KEY) == {
        "best_known_return": 7.0
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_limit": 0}, "env.step-limit must be an integer of at least 1, got 0"),
        ({"gravity": -9.8}, "env.gravity must be a finite number above 0, got -9.8"),
        ({"tau": float("inf")}, "env.tau must be a finite number above 0, got inf"),
        ({"cart_mass": "1"}, "env.cart-mass must be a finite number above 0, got '1'"),
        ({"most_angle": True}, "env.most-angle must be a finite number above 0, got True"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(EmbrlError) as caught:
        configure("cart_pole", **options).build()
    assert str(caught.value) == message
