"""The continuous gridworld: the gridworld's world to the last bit, seen as it is."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from embrl.core.errors import EmbrlError
from embrl.core.spaces import check_observation
from embrl.core.types import Transition
from embrl.data.rollout import open_envs, random_transitions, rollout
from embrl.envs import Environment, configure
from embrl.envs.continuous_gridworld import ContinuousGridworldConfig
from embrl.envs.gridworld import GridworldConfig
from embrl.envs.square import Square, SquareConfig, fewest_steps
from embrl.report.environment_pictures import picture_of

KEY = jax.random.key(3)
WORLD: dict[str, Any] = {"actuators": 5, "start": (0.25, 0.55), "step_limit": 30}
"""It starts beside the goal, so that both kinds of end come about."""


def follow(env: Square, steps: int = 120, lanes: int = 10) -> tuple[Transition, jax.Array]:
    """The same random actions in every environment; also the positions before each step."""

    @jax.jit
    def play(env: Square) -> tuple[Transition, jax.Array]:
        actions = jax.random.randint(KEY, (steps, lanes), 0, 32, jnp.int32)
        opened = open_envs(env, KEY, lanes)
        transitions = rollout(env, lambda _, a, __: (a, None), opened, KEY, actions)[1]

        def position(state: Any, now: Transition) -> tuple[Any, jax.Array]:
            after, _ = jax.vmap(lambda s, a: env.step(KEY, s, a))(state, now.action)
            done = now.terminated | now.truncated
            following = jax.tree.map(
                lambda new, old: jnp.where(done.reshape(-1, *[1] * (old.ndim - 1)), new, old),
                opened.state,
                after,
            )
            return following, after.position

        return transitions, jax.lax.scan(position, opened.state, transitions)[1]

    return jax.tree.map(np.asarray, play(env))


@pytest.mark.parametrize("walls", ["released", "swept"])
def test_the_same_actions_lead_to_the_same_places_and_rewards(walls: Any) -> None:
    binned = GridworldConfig(walls=walls, **WORLD).build()
    plain = ContinuousGridworldConfig(walls=walls, **WORLD).build()
    (cells, places), (seen, same_places) = follow(binned), follow(plain)
    np.testing.assert_array_equal(places, same_places)
    for name in ("action", "reward", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(cells, name), getattr(seen, name))
    assert cells.terminated.any()
    assert cells.truncated.any()
    assert (cells.reward < -0.02).any()
    # What is observed is the position, and its cell, at the end of an episode too.
    np.testing.assert_array_equal(seen.next_observation, places)
    cell = jax.jit(jax.vmap(jax.vmap(binned.observe)))
    np.testing.assert_array_equal(cells.next_observation, cell(seen.next_observation))
    np.testing.assert_array_equal(cells.observation, cell(seen.observation))


def test_observations_stay_in_the_square_and_reach_its_sides() -> None:
    env = ContinuousGridworldConfig(actuators=4).build()
    seen = jax.jit(lambda: random_transitions(env, KEY, 20_000, 20, 0.8))().next_observation
    assert seen.dtype == jnp.float32
    assert 0.0 <= seen.min() < 0.02
    assert 0.98 < seen.max() <= 1.0


def test_the_observation_is_the_position_and_so_are_the_coordinates() -> None:
    env = ContinuousGridworldConfig(actuators=4).build()
    assert env.observation_space == spaces.Box(0.0, 1.0, (2,), np.float32)
    state, seen = env.reset(KEY)
    np.testing.assert_array_equal(seen, np.array([0.3, 0.1], np.float32))
    state, after = env.step(KEY, state, jnp.int32(0b1000))  # along x, by .18 / sqrt(2)
    np.testing.assert_allclose(after.observation, [0.3 + 0.18 / 2**0.5, 0.1], atol=1e-6)
    np.testing.assert_array_equal(after.observation, state.position)
    many = jnp.ones((3, 5, 2)) / 3
    np.testing.assert_array_equal(env.state_coordinates(many), many)
    assert env.coordinate_names == ("x", "y")
    np.testing.assert_array_equal(
        env.action_effects(), GridworldConfig(actuators=4).build().action_effects()
    )


@pytest.mark.parametrize("walls", ["released", pytest.param("swept", marks=pytest.mark.slow)])
def test_the_best_known_return_is_the_gridworlds(walls: Any) -> None:
    binned, plain = (
        config(actuators=5, walls=walls).build()
        for config in (GridworldConfig, ContinuousGridworldConfig)
    )
    assert plain.references(KEY) == binned.references(KEY)
    assert fewest_steps(plain) == {"released": 5, "swept": 8}[walls]


def test_settings_are_the_gridworlds_without_bins() -> None:
    def known(config: type) -> dict[str, Any]:
        return {field.name: field.default for field in dataclasses.fields(config)}

    assert known(ContinuousGridworldConfig) == {
        name: default for name, default in known(GridworldConfig).items() if name != "bins"
    }
    # In this order they could always be given without their names.
    assert list(known(GridworldConfig)) == [*known(SquareConfig), "bins", "step_limit"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"actuators": 13}, "env.actuators .*2 to 12.*13"),
        ({"actuators": 2.5}, "env.actuators .*integer.*2.5"),
        ({"step_limit": 0}, "env.step-limit .*0"),
        ({"start": (0.2, 0.39)}, r"env.start .*obstacles.*\(0.2, 0.39\)"),
        ({"goal": (0.5, 0.5, 0.4, 0.6)}, "env.goal"),
        ({"bins": 40}, "unknown option of continuous_gridworld 'bins'"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(EmbrlError, match=f"^{message}") as caught:
        configure("continuous_gridworld", **options).build()
    assert "\n" not in str(caught.value)


def test_many_at_once_are_as_one_by_one_where_walls_are_swept() -> None:
    # Where they are released: tests/envs/test_contract.py.
    env = ContinuousGridworldConfig(actuators=5, walls="swept").build()
    rng = np.random.default_rng(2)
    origin, _ = env.reset(KEY)

    def after(position: jax.Array, action: jax.Array) -> Any:
        return env.step(KEY, origin._replace(position=position), action)[1]

    positions: Any = rng.random((20, 2), np.float32)
    actions: Any = rng.integers(32, size=20, dtype=np.int32)
    together, alone = jax.jit(jax.vmap(after))(positions, actions), jax.jit(after)
    together = [np.asarray(part) for part in together]
    for index in range(20):
        one = alone(positions[index], actions[index])
        for all_of_them, value in zip(together, one, strict=True):
            np.testing.assert_allclose(all_of_them[index], value, atol=1e-6)


def test_a_world_needs_a_way_to_be_seen() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Square(ContinuousGridworldConfig(), 150)  # type: ignore[abstract]
    assert issubclass(Square, Environment)


def test_the_picture_shows_the_same_square_at_places_that_can_be_observed() -> None:
    env = ContinuousGridworldConfig(actuators=4).build()
    picture, binned = picture_of(env), picture_of(GridworldConfig(actuators=4).build())
    assert picture is not None
    assert binned is not None
    seen = check_observation(env.observation_space, picture.observations)
    np.testing.assert_allclose(env.state_coordinates(jnp.asarray(seen)), picture.positions)
    np.testing.assert_allclose(picture.positions, binned.positions, atol=1e-6)
    np.testing.assert_array_equal(picture.neighbours, binned.neighbours)
    np.testing.assert_array_equal(binned.observations, np.arange(1600))
    # A place is out of reach where an obstacle covers it.
    x, y = picture.positions.T
    walls = ((x <= 0.5) & (y >= 0.375) & (y <= 0.4)) | (
        (x >= 0.5) & (x <= 0.525) & (y >= 0.375) & (y <= 0.75)
    )
    np.testing.assert_array_equal(picture.reachable, ~walls)
    assert walls.sum() == 35
