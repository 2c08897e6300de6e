"""Lanes: what they give, how they reset, and what they say when an environment fails."""

import functools
import sys

import gymnasium
import numpy as np
import pytest
from counting import Counting, configured, failing
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from embrl.core.errors import EmbrlError
from embrl.core.registry import load_plugin
from embrl.envs.host import HostEnvironment
from embrl.envs.host.environment import Vector
from embrl.envs.host.lanes import lane_seeds


def opened(lanes=2, vector: Vector = "sync", seed=0, **options):
    make = functools.partial(Counting, **options)
    return HostEnvironment.of(make, name="Counting", vector=vector).open(lanes, seed)


def test_every_number_of_an_episode_and_the_next():
    lanes = opened(end=2)
    begin = lanes.observations[:, 0].copy()
    assert lanes.observations.tolist() == [[begin[0], 0, 0], [begin[1], 0, 0]]
    step = lanes.step(np.array([0, 3]))  # its own: -1 and 2
    assert step.observation.tolist() == [[begin[0], 1, -1], [begin[1], 1, 2]]
    assert np.array_equal(lanes.observations, step.observation)
    assert step.reward.tolist() == [1, 1]
    step = lanes.step(np.array([1, 1]))
    assert step.observation.tolist() == [[begin[0], 2, 0], [begin[1], 2, 0]]  # the true last ones
    assert step.terminated.tolist() == [True, True]
    assert step.truncated.tolist() == [False, False]
    assert lanes.observations[:, 1:].tolist() == [[0, 0], [0, 0]]
    assert (lanes.observations[:, 0] != begin).any()  # later episodes are other ones
    assert (step.reward.dtype, step.observation.dtype) == (np.float32, np.float32)
    assert (step.terminated.dtype, step.truncated.dtype) == (bool, bool)
    assert lanes.steps == 2


def test_a_limit_of_steps_truncates():
    lanes = configured("CartPole-v1", max_episode_steps=3).build().open(4, 0)
    steps = [lanes.step(np.array([0, 1, 0, 1])) for _ in range(3)]
    assert [step.truncated.all() for step in steps] == [False, False, True]
    assert not any(step.terminated.any() for step in steps)


def rollout(lanes, actions):
    rows = [(lanes.observations, *lanes.step(action)) for action in actions]
    lanes.close()
    return [np.stack(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "Taxi-v4"])
def test_the_same_as_gymnasiums_own_vector(name):
    environment = configured(name, max_episode_steps=15).build()
    space, rng = environment.action_space, np.random.default_rng(1)
    actions = [
        rng.uniform(space.low, space.high, (3, 1)).astype(np.float32)
        if environment.continuous_actions
        else rng.integers(0, space.n, 3)
        for _ in range(60)
    ]
    ours = rollout(environment.open(3, 5), actions)
    theirs = SyncVectorEnv(
        [lambda: gymnasium.make(name, max_episode_steps=15, disable_env_checker=True)] * 3,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    observation, _ = theirs.reset(seed=[*lane_seeds(3, 5)])
    ended = 0
    for t, action in enumerate(actions):
        assert np.array_equal(ours[0][t], observation)
        observation, reward, terminated, truncated, info = theirs.step(action)
        last = observation.copy()
        for lane in np.flatnonzero(terminated | truncated):
            last[lane] = info["final_obs"][lane]
            ended += 1
        assert np.array_equal(ours[1][t], last)
        assert np.allclose(ours[2][t], reward)
        assert np.array_equal(ours[3][t], terminated)
        assert np.array_equal(ours[4][t], truncated)
    assert ended >= 3
    theirs.close()


def test_the_same_seed_gives_the_same_lanes_and_another_one_does_not():
    environment = configured("CartPole-v1").build()
    actions = np.random.default_rng(0).integers(0, 2, (50, 3))
    one, two = (rollout(environment.open(3, 8), actions) for _ in range(2))
    assert all(map(np.array_equal, one, two))
    other = rollout(environment.open(3, 9), actions)
    assert not np.array_equal(one[0], other[0])
    wide = environment.open(5, 8)
    assert np.array_equal(wide.observations[:3], one[0][0])  # lane b is lane b
    assert len({tuple(row) for row in wide.observations}) == 5


def test_seeds_of_lanes():
    assert lane_seeds(3, 7) == lane_seeds(9, 7)[:3]
    assert lane_seeds(3, 7, first=4) == lane_seeds(9, 7)[4:7]
    assert len({*lane_seeds(100, 0), *lane_seeds(100, 1)}) == 200
    assert max(lane_seeds(100, 0)) < 2**31
    for lanes, seed in ((0, 1), (1, -1)):
        with pytest.raises(EmbrlError, match="choose"):
            lane_seeds(lanes, seed)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("raise", "lane 0 of 2 raised ZeroDivisionError at step 2: of all things"),
        ("nan", r"lane 0 of 2 gave nan in coordinate 2 of its observation \(Box.* at step 2"),
        ("inf reward", "lane 0 of 2 gave the reward inf at step 2"),
        ("shape", r"lane 0 of 2 failed at step 2: an observation has shape \[5\], not \[3\]"),
        ("axis", "lane 0 of 2 failed at step 2: an observation has axes"),
        ("text", r"lane 0 of 2 failed at step 2: an observation has shape \[\], not \[3\]"),
        ("reset", "lane 0 of 2 raised ValueError when it was reset after step 3: no way back"),
    ],
)
def test_a_failing_environment_is_one_line(trouble, said):
    lanes = opened(trouble=trouble)
    for _ in range(2 if trouble == "reset" else 1):
        lanes.step(np.array([1, 1]))
    with pytest.raises(EmbrlError, match=f"^Counting: {said}") as caught:
        lanes.step(np.array([1, 1]))
    assert "\n" not in str(caught.value)
    lanes.close()


def test_the_lane_that_fails_is_the_one_named():
    made = []

    def third_fails():
        made.append(Counting(trouble="raise" if len(made) == 3 else ""))
        return made[-1]

    lanes = HostEnvironment.of(third_fails).open(3, 0)  # the first was asked for its spaces
    lanes.step(np.zeros(3, int))
    with pytest.raises(EmbrlError, match="third_fails: lane 2 of 3 raised ZeroDivisionError"):
        lanes.step(np.zeros(3, int))
    lanes.close()
    lanes.close()
    assert all(env.closed for env in made)


def test_as_many_actions_as_lanes():
    with pytest.raises(EmbrlError, match="2 lanes take as many actions, not"):
        opened().step(np.zeros(3, int))


def test_pictures():
    environment = HostEnvironment.of(Counting)
    with environment.render_lanes(2, 0) as lanes:
        lanes.step(np.array([1, 1]))
        assert [picture.tolist() for picture in lanes.render()] == [[[[1] * 3] * 2] * 2] * 2
    with environment.open(1, 0) as lanes, pytest.raises(EmbrlError, match="with a render_mode"):
        lanes.render()
    with pytest.raises(EmbrlError, match="failing takes no render_mode"):
        HostEnvironment.of(failing).render_lanes(1, 0)


def test_processes_give_what_the_loop_gives_and_say_who_fails(tmp_path):
    actions = np.random.default_rng(0).integers(0, 4, (7, 2))
    loop, processes = (
        rollout(opened(2, "sync", 3), actions),
        rollout(opened(2, "async", 3), actions),
    )
    for one, two in zip(loop, processes, strict=True):
        assert one.dtype == two.dtype
        assert np.array_equal(one, two)
    # Defined in a plugin's file, of which other processes know nothing.
    file = tmp_path / "plug.py"
    file.write_text("from counting import Counting\nclass Own(Counting): pass\n")
    load_plugin(str(file))
    own = sys.modules[next(name for name in sys.modules if name.startswith("embrl_plugin_plug"))]
    with HostEnvironment.of(own.Own, vector="async").open(1, 0) as lanes:
        assert lanes.step(np.array([1])).observation[0, 1] == 1
    with HostEnvironment.of(failing, vector="async").open(2, 0) as lanes:
        lanes.step(np.array([1, 1]))
        with pytest.raises(
            EmbrlError, match=r"^failing: lane \d of 2 raised ZeroDivisionError at step 2: of"
        ):
            lanes.step(np.array([1, 1]))


def test_threads_give_what_the_loop_gives_and_say_who_fails():
    actions = np.random.default_rng(0).integers(0, 4, (7, 5))
    loop = rollout(opened(5, "sync", 3), actions)
    threads = rollout(opened(5, "threads", 3), actions)
    for one, two in zip(loop, threads, strict=True):
        assert one.dtype == two.dtype
        assert np.array_equal(one, two)
    with HostEnvironment.of(failing, vector="threads").open(3, 0) as lanes:
        lanes.step(np.array([1, 1, 1]))
        with pytest.raises(
            EmbrlError, match=r"^failing: lane \d of 3 raised ZeroDivisionError at step 2: of"
        ):
            lanes.step(np.array([1, 1, 1]))


@pytest.mark.parametrize("vector", ["sync", "threads", "async"])
def test_restarted_lanes_are_as_just_opened(vector):
    actions = np.random.default_rng(1).integers(0, 4, (3, 2))
    with opened(2, vector, 3) as lanes:
        fresh = lanes.observations.copy()
        for row in actions:
            lanes.step(row)
        lanes.restart(3)
        assert np.array_equal(lanes.observations, fresh)
        assert lanes.steps == 0
        lanes.restart(4)
        assert not np.array_equal(lanes.observations, fresh)
