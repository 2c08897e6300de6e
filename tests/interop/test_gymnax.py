"""Against gymnax itself."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import embrl
from embrl import envs
from embrl.core.errors import EmbrlError
from embrl.core.spaces import action_count
from embrl.data.rollout import random_transitions
from embrl.envs.cart_pole import CartPole, CartPoleConfig

pytestmark = pytest.mark.usefixtures("quick")

gymnax = pytest.importorskip("gymnax", reason="pip install 'embrl[gymnax]'")
adapters = pytest.importorskip("embrl.interop.gymnax")
FromGymnax, GymnaxConfig, ToGymnax = (
    adapters.FromGymnax,
    adapters.GymnaxConfig,
    adapters.ToGymnax,
)


def test_cart_poles_transitions_are_gymnaxs_own():
    theirs, params = gymnax.make("CartPole-v1")
    params = params.replace(max_steps_in_episode=30)
    ours = FromGymnax(theirs, params)
    assert isinstance(ours.observation_space, spaces.Box)
    assert ours.action_space == spaces.Discrete(2)
    seen, state = theirs.reset_env(jax.random.key(0), params)
    own, first = ours.reset(jax.random.key(0))
    np.testing.assert_array_equal(seen, first)
    ends = []
    for t in range(60):
        key = jax.random.key(t)
        action = jnp.int32(t % 2)
        _, their_next, reward, terminated, truncated, info = theirs.step(key, state, action, params)
        own, step = ours.step(jax.random.split(key)[0], own, action)
        np.testing.assert_allclose(step.observation, info["final_observation"], rtol=1e-6)
        assert step.reward == reward
        assert (bool(step.terminated), bool(step.truncated)) == (bool(terminated), bool(truncated))
        state = their_next
        if step.terminated or step.truncated:
            ends.append(t)
            own = state
    assert ends == [29, 59]  # as left and right in turn keep the pole up for so long


def test_a_pole_that_falls_is_terminated_not_truncated():
    env = FromGymnax(*gymnax.make("CartPole-v1"))
    state, _ = env.reset(jax.random.key(0))
    ends = []
    for _ in range(12):
        state, step = env.step(jax.random.key(0), state, jnp.int32(1))
        ends.append((bool(step.terminated), bool(step.truncated)))
    assert (True, False) in ends
    assert not any(truncated for _, truncated in ends)


@pytest.mark.parametrize(
    ("name", "shape", "actions"),
    [
        ("Pendulum-v1", (3,), None),
        ("Breakout-MinAtar", (10, 10, 4), 3),
        ("Seaquest-MinAtar", (10, 10, 10), 6),
        ("FourRooms-misc", (4,), 4),
    ],
)
def test_others_roll_out_in_the_compiled_loop(name, shape, actions):
    env = GymnaxConfig(name).build()
    found = jax.jit(lambda key: random_transitions(env, key, 60, 4))(jax.random.key(0))
    assert found.observation.shape == (15, 4, *shape)
    assert found.observation.dtype == env.observation_space.dtype
    assert env.observation_space.contains(np.asarray(found.next_observation[3, 2]))
    if actions is None:
        assert GymnaxConfig(name).continuous_actions
        assert found.action.shape == (15, 4, 1)
    else:
        assert env.action_space == spaces.Discrete(actions)


def test_ours_in_gymnaxs_interface_resets_itself_and_keeps_the_last_observation():
    ours = envs.configure("cart_pole", step_limit=5).build()
    env = ToGymnax(ours)
    params = env.default_params
    seen, state = env.reset(jax.random.key(1), params)
    inner, first = ours.reset(jax.random.key(1))
    np.testing.assert_array_equal(seen, first)
    for t in range(5):
        key = jax.random.key(t)
        seen, state, reward, terminated, truncated, info = env.step(key, state, t % 2, params)
        inner, step = jax.jit(ours.step)(key, inner, jnp.int32(t % 2))  # as gymnax does
        np.testing.assert_allclose(info["final_observation"], step.observation, rtol=1e-6)
        assert reward == step.reward
        assert not terminated
        assert truncated == (t == 4)
    _, again = ours.reset(jax.random.split(jax.random.key(4))[1])
    np.testing.assert_allclose(seen, again, rtol=1e-6)
    assert state.time == 0


def test_ours_there_and_back_is_the_same():
    ours = envs.configure("gridworld", actuators=3).build()
    there = ToGymnax(ours)
    back = FromGymnax(there)
    assert back.observation_space == ours.observation_space
    assert back.action_space == ours.action_space
    assert there.num_actions == action_count(ours.action_space)
    random = lambda env: random_transitions(env, jax.random.key(3), 40, 2)  # noqa: E731
    for left, right in zip(jax.jit(random)(ours), jax.jit(random)(back), strict=True):
        np.testing.assert_array_equal(left, right)


def test_spaces_of_several_factors_are_boxes_of_whole_numbers():
    class Factors(CartPole):
        @property
        def observation_space(self) -> Any:
            return spaces.MultiDiscrete([3, 5])

    space = ToGymnax(Factors(CartPoleConfig())).observation_space()
    assert space.dtype == jnp.int32
    assert space.contains(jnp.array([2, 4]))
    assert not space.contains(jnp.array([3, 4]))


def test_what_there_is_not_is_said_in_one_line():
    with pytest.raises(EmbrlError, match=r"env.id.*'NoSuch-v0'"):
        GymnaxConfig("NoSuch-v0").build()
    with pytest.raises(EmbrlError, match=r"needs gymnax 1\.0"):
        FromGymnax(object())
    pole, others = gymnax.make("CartPole-v1")[0], gymnax.make("Acrobot-v1")[1]
    with pytest.raises(EmbrlError, match=r"params of CartPole-v1"):
        embrl.train((pole, others))
    with pytest.raises(EmbrlError, match=r"source must be .*FromGymnax"):
        embrl.fit(pole)


SMALL = {
    "method": "none",
    "rollout": {"steps_per_update": 100, "num_envs": 5},
    "evaluation": {"every": 100, "episodes": 2, "final_episodes": 2},
}


@pytest.mark.parametrize(("name", "limit"), [("CartPole-v1", 7), ("Pendulum-v1", 9)])
def test_what_gymnax_makes_is_trained_as_it_is_saved_loaded_and_evaluated(name, limit, tmp_path):
    env, params = gymnax.make(name)
    pair = env, params.replace(max_steps_in_episode=limit)
    run = embrl.train(pair, seeds=1, total_timesteps=200, **SMALL)  # type: ignore[arg-type]
    assert run.config.environment == f"object:{name}"
    run.save(tmp_path / "run")
    loaded = embrl.load(tmp_path / "run")
    evaluated = loaded.evaluate(episodes=3, environment=pair)
    assert evaluated.lengths.max() <= limit
    np.testing.assert_array_equal(evaluated.returns, run.evaluate(episodes=3).returns)
    observation, _ = env.reset_env(jax.random.key(0), params)
    action, _ = loaded.policy().predict(np.asarray(observation), deterministic=True)
    if name == "Pendulum-v1":
        assert np.abs(action).max() <= params.max_torque
    else:
        assert action in (0, 1)
    with pytest.raises(EmbrlError, match=name):
        loaded.evaluate(episodes=1)
