"""The gridworld against its facts, and its dynamics against plain Python in float64."""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.core.errors import EmbrlError
from embrl.envs import configure
from embrl.envs.gridworld import GridworldConfig
from embrl.envs.square import GridworldState, fewest_steps, motions
from embrl.training.evaluation import play

Box = tuple[float, float, float, float]

OBSTACLES: tuple[Box, ...] = ((0.0, 0.375, 0.5, 0.4), (0.5, 0.375, 0.525, 0.75))
GOAL: Box = (0.125, 0.625, 0.175, 0.675)
KEY = jax.random.key(0)
RIGHT = 0b1000
"""The action of four actuators that moves along x, by sqrt(1/2) of the longest step."""

step = jax.jit(lambda env, state, action: env.step(KEY, state, action))


def at(x: float, y: float, steps: int = 0) -> GridworldState:
    """A state."""
    return GridworldState(jnp.array([x, y], jnp.float32), jnp.int32(steps))


# The same world once more, from the facts page: plain Python, float64.


def inside(box: Box, p: np.ndarray) -> bool:
    """Bounds inclusive."""
    return bool(box[0] <= p[0] <= box[2] and box[1] <= p[1] <= box[3])


def meets(box: Box, p: np.ndarray, q: np.ndarray) -> bool:
    """Whether segment pq meets the box: no axis separates them (nor the segment's normal)."""
    for axis in (0, 1):
        if max(p[axis], q[axis]) < box[axis] or min(p[axis], q[axis]) > box[axis + 2]:
            return False
    normal = np.array([p[1] - q[1], q[0] - p[0]])
    sides = [float(normal @ (np.array(c) - p)) for c in itertools.product(box[::2], box[1::2])]
    return min(sides) <= 0.0 <= max(sides)


def grown(box: Box, by: float) -> Box:
    """The box with all sides moved out."""
    return (box[0] - by, box[1] - by, box[2] + by, box[3] + by)


class Outcome(NamedTuple):
    """Of one step."""

    position: np.ndarray
    reward: float
    terminated: bool


def walk(position: np.ndarray, motion: np.ndarray, swept: bool, margin: float = 0.0) -> Outcome:
    """A step as the facts page has it; walls and goal are larger by `margin` on all sides."""
    reward, terminated = -0.01, False
    for _ in range(4):
        target = position + 0.045 * motion
        hit = any(
            meets(grown(box, margin), position, target)
            if swept
            else inside(grown(box, margin), target)
            for box in OBSTACLES
        )
        if hit or min(target) < margin or max(target) > 1.0 - margin:
            reward -= 0.05
            break
        position = target
        if inside(grown(GOAL, margin), position):
            reward, terminated = reward + 1.0, True
            break
    return Outcome(position, reward, terminated)


class Trajectory(NamedTuple):
    """Random steps, with a restart after each end."""

    before: Any
    action: Any
    after: Any
    observation: Any
    reward: Any
    terminated: Any


@functools.cache
def random_trajectory(walls: Any, steps: int = 3000) -> Trajectory:
    """`steps` steps of the environment itself, near the goal's side half of the time."""
    env = GridworldConfig(actuators=5, walls=walls).build()

    def one(state: GridworldState, key: jax.Array) -> tuple[GridworldState, Trajectory]:
        key_action, key_start = jax.random.split(key)
        action = jax.random.randint(key_action, (), 0, env.action_space.n)
        after, seen = env.step(key, state, action)
        done = seen.terminated | seen.truncated
        elsewhere = at(0.3, 0.5)
        restart = jax.tree.map(
            lambda a, b: jnp.where(jax.random.bernoulli(key_start), a, b),
            elsewhere,
            env.reset(key)[0],
        )
        following = jax.tree.map(lambda a, b: jnp.where(done, a, b), restart, after)
        return following, Trajectory(
            state.position, action, after.position, seen.observation, seen.reward, seen.terminated
        )

    keys = jax.random.split(jax.random.key(1), steps)
    _, trajectory = jax.jit(lambda: jax.lax.scan(one, at(0.3, 0.5), keys))()
    return Trajectory(*(np.asarray(part) for part in trajectory))


@pytest.mark.parametrize(("n", "distinct"), [(5, 31), (9, 343), (11, 2047)])
def test_number_of_distinct_motions(n: int, distinct: int) -> None:
    # n = 9: the directions form three triples, each of which sums to zero, so that a triple makes
    # 7 sums of its 8 subsets: 7^3 = 343. (The facts page says 347: there floats were rounded to
    # four decimals, which tears apart sums that fall on the middle between two such numbers.)
    assert len(np.unique(motions(n), axis=0)) == distinct
    env = GridworldConfig(actuators=n).build()
    assert len(np.unique(env.motions, axis=0)) == distinct  # in float32 too
    assert env.action_space.n == 2**n


@pytest.mark.parametrize("n", [2, 5, 9, 12])
def test_a_motion_is_the_sum_of_its_actuators(n: int) -> None:
    table = motions(n)
    assert np.hypot(*table.T).max() == pytest.approx(1.0)
    np.testing.assert_array_equal(table[0], 0.0)
    first = table[2 ** (n - 1)]  # the most significant bit is actuator 0, which points along x
    assert first[0] > 0.0
    assert first[1] == 0.0
    singles = [table[2 ** (n - 1 - i)] for i in range(n)]
    for mask in np.random.default_rng(0).integers(2**n, size=20):
        active = [singles[i] for i, bit in enumerate(f"{mask:0{n}b}") if bit == "1"]
        np.testing.assert_allclose(table[mask], np.sum(active or [[0, 0]], axis=0), atol=1e-12)
    angles = np.arctan2(*np.transpose(singles)[::-1]) % (2 * np.pi)
    np.testing.assert_allclose(angles, 2 * np.pi * np.arange(n) / n, atol=2e-3)


@pytest.mark.parametrize(
    ("n", "walls", "rate", "low", "high"),
    [
        (5, "released", 0.29, -2.75, -2.45),
        pytest.param(9, "released", 0.16, -2.9, -2.6, marks=pytest.mark.slow),
        pytest.param(11, "released", 0.105, -2.9, -2.6, marks=pytest.mark.slow),
        pytest.param(5, "swept", 0.06, -3.5, -3.1, marks=pytest.mark.slow),
        (9, "swept", 0.02, -3.3, -2.9),
        pytest.param(11, "swept", 0.01, -3.2, -2.8, marks=pytest.mark.slow),
    ],
)
def test_random_play_is_as_known(n: int, walls: Any, rate: float, low: float, high: float) -> None:
    # Measured over 4,000 episodes: .279 .150 .102 and .055 .014 .007; the facts page has
    # .29 .17 .10 and .06 .02 .01. Four standard errors of 1,500 episodes are .047 at most.
    env = GridworldConfig(actuators=n, walls=walls).build()

    def act(key: jax.Array, observation: jax.Array, mask: Any) -> jax.Array:
        return jax.random.randint(key, observation.shape, 0, 2**n, jnp.int32)

    episodes = jax.jit(lambda env: play(env, act, KEY, 1500))(env)
    # Reaching the goal in the very last step is too rare to matter here.
    reached = float((episodes.lengths < env.step_limit).mean())
    assert reached == pytest.approx(rate, abs=0.02 + 4 * np.sqrt(rate * (1 - rate) / 1500) / 2)
    assert low < episodes.returns.mean() < high


@pytest.mark.parametrize(
    ("n", "walls", "best"),
    [
        (5, "released", 0.95),
        (9, "released", 0.96),
        pytest.param(11, "released", 0.96, marks=pytest.mark.slow),
        (5, "swept", 0.92),
        pytest.param(9, "swept", 0.93, marks=pytest.mark.slow),
    ],
)
def test_best_known_return(n: int, walls: Any, best: float) -> None:
    env = GridworldConfig(actuators=n, walls=walls).build()
    assert env.references(KEY) == {"best_known_return": pytest.approx(best)}


def test_there_is_no_best_return_where_no_path_leads_to_the_goal() -> None:
    cage = (
        (0.1, 0.6, 0.2, 0.62),
        (0.1, 0.68, 0.2, 0.7),
        (0.1, 0.6, 0.12, 0.7),
        (0.18, 0.6, 0.2, 0.7),
    )
    env = GridworldConfig(actuators=5, walls="swept", obstacles=cage).build()
    assert fewest_steps(env) is None
    assert env.references(KEY) == {}
    assert fewest_steps(GridworldConfig(actuators=5, walls="swept", step_limit=7).build()) is None


@pytest.mark.parametrize("walls", ["released", "swept"])
def test_steps_are_those_of_plain_python(walls: Any) -> None:
    table = motions(5)
    trajectory = Trajectory(*(part[:1500] for part in random_trajectory(walls)))
    compared = reached = bumped = 0
    for before, action, after, observation, reward, terminated in zip(*trajectory, strict=True):
        # Each step starts from JAX's own position. Where a margin of 1e-5 around the walls makes
        # a difference, float32 may decide otherwise, and the step is left out.
        outcomes = [
            walk(before.astype(np.float64), table[action], walls == "swept", margin)
            for margin in (0.0, 1e-5, -1e-5)
        ]
        if any(not np.array_equal(o.position, outcomes[0].position) for o in outcomes):
            continue
        if len({(o.reward, o.terminated) for o in outcomes}) > 1:
            continue
        expected = outcomes[0]
        np.testing.assert_allclose(after, expected.position, atol=1e-6)
        assert reward == pytest.approx(expected.reward, abs=1e-6)
        assert terminated == expected.terminated
        scaled = after * 40
        if np.abs(scaled - np.rint(scaled)).min() > 1e-4:
            assert observation == int(scaled[1]) * 40 + int(scaled[0])
        compared += 1
        reached += expected.terminated
        bumped += expected.reward < -0.02
    assert compared > 1450
    assert reached >= 3
    assert bumped > 150


def test_swept_walls_are_never_crossed_and_released_ones_are() -> None:
    for walls, crossings in (("swept", range(1)), ("released", range(10, 4000))):
        trajectory = random_trajectory(walls)
        # A step's sub-steps lie on one line: its ends tell its whole path.
        crossed = sum(
            meets(grown(box, -1e-5), before.astype(np.float64), after.astype(np.float64))
            for before, after in zip(trajectory.before, trajectory.after, strict=True)
            for box in OBSTACLES
        )
        assert crossed in crossings


def test_a_wall_stops_a_swept_step_and_lets_a_released_one_jump() -> None:
    # Straight up from below the horizontal wall: .18 * sqrt(1/2) / 4 = .0318 a sub-step, over a
    # wall of .025 that is entered at .375.
    up = 0b0100
    for walls, y, reward in (("swept", 0.372, -0.06), ("released", 0.372 + 4 * 0.0318198, -0.01)):
        env = GridworldConfig(actuators=4, walls=walls).build()  # type: ignore[arg-type]
        state, after = step(env, at(0.3, 0.372), up)
        np.testing.assert_allclose(state.position, [0.3, y], atol=1e-5)
        assert after.reward == pytest.approx(reward)


def test_moving_along_a_swept_wall_without_touching_it_is_free() -> None:
    env = GridworldConfig(actuators=4, walls="swept").build()
    state, after = step(env, at(0.1, 0.3749), RIGHT)
    np.testing.assert_allclose(state.position, [0.1 + 4 * 0.0318198, 0.3749], atol=1e-5)
    assert after.reward == pytest.approx(-0.01)
    state, after = step(env, at(0.1, 0.375), RIGHT)  # bounds are inclusive
    np.testing.assert_allclose(state.position, [0.1, 0.375], atol=1e-6)
    assert after.reward == pytest.approx(-0.06)


def test_a_wall_of_no_thickness_stops_a_swept_step_only() -> None:
    for walls, x in (("swept", 0.71), ("released", 0.71 + 4 * 0.0318198)):
        config = GridworldConfig(actuators=4, walls=walls, obstacles=((0.72, 0.0, 0.72, 1.0),))  # type: ignore[arg-type]
        state, _ = step(config.build(), at(0.71, 0.5), RIGHT)
        np.testing.assert_allclose(state.position, [x, 0.5], atol=1e-5)


def test_standing_still_costs_a_step_and_hits_nothing() -> None:
    for walls in ("released", "swept"):
        env = GridworldConfig(actuators=4, walls=walls).build()  # type: ignore[arg-type]
        state, after = step(env, at(0.3, 0.1), 0)
        np.testing.assert_array_equal(state.position, at(0.3, 0.1).position)
        assert after.reward == pytest.approx(-0.01)


def test_the_goal_pays_terminates_and_is_what_is_observed() -> None:
    env = GridworldConfig(actuators=4).build()
    state, after = step(env, at(0.1, 0.65, steps=149), RIGHT)
    # One sub-step of .0318 leads into the goal, and the other three are not taken.
    np.testing.assert_allclose(state.position, [0.1318198, 0.65], atol=1e-5)
    assert after.reward == pytest.approx(0.99)
    assert after.terminated
    assert not after.truncated  # although this was the last step there was
    assert after.observation == 26 * 40 + 5


def test_the_step_limit_truncates_and_does_not_terminate() -> None:
    env = GridworldConfig(actuators=4, step_limit=3).build()
    state, _ = env.reset(KEY)
    for expected in (False, False, True):
        state, after = step(env, state, RIGHT)
        assert after.truncated == expected
        assert not after.terminated
    assert state.steps == 3


@pytest.mark.parametrize(
    ("position", "cell"),
    [
        ((0.0, 0.0), 0),
        ((0.99, 0.0), 39),
        ((1.0, 0.0), 39),
        ((0.0, 1.0), 39 * 40),
        ((1.0, 1.0), 1599),
        ((0.3, 0.1), 4 * 40 + 12),
        ((0.51, 0.26), 10 * 40 + 20),
    ],
)
def test_the_observation_is_the_cell(position: tuple[float, float], cell: int) -> None:
    env = GridworldConfig().build()
    assert env.observe(jnp.array(position)) == cell
    if max(position) < 1.0:
        centre = env.state_coordinates(jnp.int32(cell))
        np.testing.assert_array_less(np.abs(centre - np.array(position)), 0.0125 + 1e-6)


def test_a_reset_starts_where_the_configuration_says() -> None:
    env = GridworldConfig(start=(0.9, 0.8), bins=10).build()
    state, observation = env.reset(KEY)
    np.testing.assert_allclose(state.position, [0.9, 0.8])
    assert state.steps == 0
    assert observation in (88, 89, 98, 99)  # a border in float32
    assert env.observation_space.n == 100


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"actuators": 0}, "actuators .*0"),
        ({"actuators": 1}, "actuators .*got 1$"),
        ({"actuators": 13}, "actuators .*13"),
        ({"actuators": 40}, "actuators .*40"),
        ({"walls": "sweept"}, "walls .*'sweept'"),
        ({"bins": 0}, "bins .*0"),
        ({"step_limit": 0}, "step-limit .*0"),
        ({"start": (0.2, 0.39)}, r"start .*obstacles.*\(0.2, 0.39\)"),
        ({"start": (0.15, 0.65)}, r"start .*goal.*\(0.15, 0.65\)"),
        ({"start": (0.2, 1.1)}, r"start .*unit square.*\(0.2, 1.1\)"),
        ({"start": (float("nan"), 0.1)}, "start"),
        ({"goal": (0.5, 0.5, 0.4, 0.6)}, "goal"),
        ({"goal": (0.5, 0.5, 0.6, 1.2)}, "goal"),
        ({"obstacles": ((0.8, 0.8, 0.9, 0.7),)}, "obstacles"),
        ({"obstacles": ((0.8, 0.8, 0.9, float("nan")),)}, "obstacles"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(EmbrlError, match=rf"^env\.{field}") as caught:
        configure("gridworld", **options).build()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"goal": (0.1, 0.2, 0.3)}, {"obstacles": ((0.1, 0.2),)}], ids=str
)
def test_a_rectangle_of_too_few_numbers_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(EmbrlError, match=r"^env\.(goal|obstacles)"):
        configure("gridworld", **options).build()


@pytest.mark.parametrize("walls", ["released", "swept"])
def test_a_world_without_obstacles_works(walls: Any) -> None:
    env = GridworldConfig(actuators=4, obstacles=(), walls=walls).build()
    state, after = step(env, at(0.3, 0.37), 0b0100)  # where the wall would be
    np.testing.assert_allclose(state.position, [0.3, 0.37 + 4 * 0.0318198], atol=1e-5)
    assert after.reward == pytest.approx(-0.01)
    _, after = step(env, at(0.99, 0.5), RIGHT)  # the square still ends
    assert after.reward == pytest.approx(-0.06)


def test_many_at_once_are_as_one_by_one_where_walls_are_swept() -> None:
    # Where they are released: tests/envs/test_contract.py.
    env = GridworldConfig(actuators=5, walls="swept").build()
    rng = np.random.default_rng(2)
    positions = jnp.asarray(rng.random((30, 2)), jnp.float32)
    actions = jnp.asarray(rng.integers(32, size=30))
    states = GridworldState(positions, jnp.zeros(30, jnp.int32))
    many: Callable = jax.jit(jax.vmap(lambda s, a: env.step(KEY, s, a)))
    together = jax.tree.leaves(many(states, actions))
    for index in range(30):
        alone = step(env, jax.tree.map(lambda leaf, i=index: leaf[i], states), actions[index])
        for all_of_them, one in zip(together, jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(all_of_them[index], one, atol=1e-6)


def test_action_effects_are_the_motions() -> None:
    env = GridworldConfig(actuators=5).build()
    np.testing.assert_allclose(env.action_effects(), motions(5), atol=1e-6)
