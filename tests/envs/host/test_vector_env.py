"""Parallel environments: their steps, their resets, and their errors."""

import functools
import sys
import types

import gymnasium
import numpy as np
import pytest
from counting import Counting, configured, failing
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from embrl.core.errors import EmbrlError, EmbrlWarning
from embrl.core.registry import load_plugin
from embrl.envs.gym import HostEnvironment
from embrl.envs.gym.environment import Vector
from embrl.envs.gym.vector_env import env_seeds


def opened(num_envs=2, vector: Vector = "sync", seed=0, **options):
    make = functools.partial(Counting, **options)
    return HostEnvironment.of(make, name="Counting", vector=vector).open(num_envs, seed)


def test_every_number_of_an_episode_and_the_next():
    parallel = opened(end=2)
    begin = parallel.observations[:, 0].copy()
    assert parallel.observations.tolist() == [[begin[0], 0, 0], [begin[1], 0, 0]]
    step = parallel.step(np.array([0, 3]))  # its own: -1 and 2
    assert step.observation.tolist() == [[begin[0], 1, -1], [begin[1], 1, 2]]
    assert np.array_equal(parallel.observations, step.observation)
    assert step.reward.tolist() == [1, 1]
    step = parallel.step(np.array([1, 1]))
    assert step.observation.tolist() == [[begin[0], 2, 0], [begin[1], 2, 0]]  # the true last ones
    assert step.terminated.tolist() == [True, True]
    assert step.truncated.tolist() == [False, False]
    assert parallel.observations[:, 1:].tolist() == [[0, 0], [0, 0]]
    assert (parallel.observations[:, 0] != begin).any()  # later episodes are other ones
    assert (step.reward.dtype, step.observation.dtype) == (np.float32, np.float32)
    assert (step.terminated.dtype, step.truncated.dtype) == (bool, bool)
    assert parallel.steps == 2


def test_a_limit_of_steps_truncates():
    parallel = configured("CartPole-v1", max_episode_steps=3).build().open(4, 0)
    steps = [parallel.step(np.array([0, 1, 0, 1])) for _ in range(3)]
    assert [step.truncated.all() for step in steps] == [False, False, True]
    assert not any(step.terminated.any() for step in steps)


def rollout(parallel, actions):
    rows = [(parallel.observations, *parallel.step(action)) for action in actions]
    parallel.close()
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
    observation, _ = theirs.reset(seed=[*env_seeds(3, 5)])
    ended = 0
    for t, action in enumerate(actions):
        assert np.array_equal(ours[0][t], observation)
        observation, reward, terminated, truncated, info = theirs.step(action)
        last = observation.copy()
        for index in np.flatnonzero(terminated | truncated):
            last[index] = info["final_obs"][index]
            ended += 1
        assert np.array_equal(ours[1][t], last)
        assert np.allclose(ours[2][t], reward)
        assert np.array_equal(ours[3][t], terminated)
        assert np.array_equal(ours[4][t], truncated)
    assert ended >= 3
    theirs.close()


def test_the_same_seed_gives_the_same_episodes_and_another_one_does_not():
    environment = configured("CartPole-v1").build()
    actions = np.random.default_rng(0).integers(0, 2, (50, 3))
    one, two = (rollout(environment.open(3, 8), actions) for _ in range(2))
    assert all(map(np.array_equal, one, two))
    other = rollout(environment.open(3, 9), actions)
    assert not np.array_equal(one[0], other[0])
    wide = environment.open(5, 8)
    assert np.array_equal(wide.observations[:3], one[0][0])  # whatever their number
    assert len({tuple(row) for row in wide.observations}) == 5


def test_seeds_of_environments():
    assert env_seeds(3, 7) == env_seeds(9, 7)[:3]
    assert env_seeds(3, 7, first=4) == env_seeds(9, 7)[4:7]
    assert len({*env_seeds(100, 0), *env_seeds(100, 1)}) == 200
    assert max(env_seeds(100, 0)) < 2**31
    with pytest.raises(EmbrlError, match=r"num_envs.*0"):
        env_seeds(0, 1)
    with pytest.raises(EmbrlError, match=r"seed.*-1"):
        env_seeds(1, -1)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("raise", "environment 0 of 2 raised ZeroDivisionError at step 2: of all things"),
        (
            "nan",
            r"environment 0 of 2 gave nan in coordinate 2 of its observation \(Box.* at step 2",
        ),
        ("exit", "environment 0 of 2 failed at step 2: it ends the program"),
        ("silent", "environment 0 of 2 raised SilentError at step 2$"),
        ("inf reward", "environment 0 of 2 gave the reward inf at step 2"),
        (
            "shape",
            r"environment 0 of 2 failed at step 2: an observation of Box.* shape \[3\], got \[5\]",
        ),
        ("axis", "environment 0 of 2 failed at step 2: an observation has axes"),
        (
            "text",
            r"environment 0 of 2 failed at step 2: an observation of Box.* shape \[3\], got \[\]",
        ),
        (
            "reset",
            "environment 0 of 2 raised ValueError when it was reset after step 3: no way back",
        ),
    ],
)
def test_a_failing_environment_is_one_line(trouble, said):
    parallel = opened(trouble=trouble)
    for _ in range(2 if trouble == "reset" else 1):
        parallel.step(np.array([1, 1]))
    with pytest.raises(EmbrlError, match=f"^Counting: {said}") as caught:
        parallel.step(np.array([1, 1]))
    assert "\n" not in str(caught.value)
    parallel.close()


def test_the_environment_that_fails_is_the_one_named():
    made = []

    def third_fails():
        made.append(Counting(trouble="raise" if len(made) == 3 else ""))
        return made[-1]

    parallel = HostEnvironment.of(third_fails).open(3, 0)  # the first was asked for its spaces
    parallel.step(np.zeros(3, int))
    with pytest.raises(
        EmbrlError, match="third_fails: environment 2 of 3 raised ZeroDivisionError"
    ):
        parallel.step(np.zeros(3, int))
    parallel.close()
    parallel.close()
    assert all(env.closed for env in made)


def test_as_many_actions_as_environments():
    with pytest.raises(EmbrlError, match=r"leading axis of 2.*\[3\]"):
        opened().step(np.zeros(3, int))


def test_pictures():
    environment = HostEnvironment.of(Counting)
    with environment.open_rendered(2, 0) as parallel:
        parallel.step(np.array([1, 1]))
        assert [picture.tolist() for picture in parallel.render()] == [[[[1] * 3] * 2] * 2] * 2
    with environment.open(1, 0) as parallel, pytest.raises(EmbrlError, match="with a render_mode"):
        parallel.render()
    with pytest.raises(EmbrlError, match="failing takes no render_mode"):
        HostEnvironment.of(failing).open_rendered(1, 0)


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
    own = sys.modules[next(name for name in sys.modules if name.startswith("embrl_plugin_plug_"))]
    with HostEnvironment.of(own.Own, vector="async").open(1, 0) as parallel:
        assert parallel.step(np.array([1])).observation[0, 1] == 1
    with HostEnvironment.of(failing, vector="async").open(2, 0) as parallel:
        parallel.step(np.array([1, 1]))
        with pytest.raises(
            EmbrlError,
            match=r"^failing: environment \d of 2 raised ZeroDivisionError at step 2: of",
        ):
            parallel.step(np.array([1, 1]))


def test_threads_give_what_the_loop_gives_and_say_who_fails():
    actions = np.random.default_rng(0).integers(0, 4, (7, 5))
    loop = rollout(opened(5, "sync", 3), actions)
    threads = rollout(opened(5, "threads", 3), actions)
    for one, two in zip(loop, threads, strict=True):
        assert one.dtype == two.dtype
        assert np.array_equal(one, two)
    with HostEnvironment.of(failing, vector="threads").open(3, 0) as parallel:
        parallel.step(np.array([1, 1, 1]))
        with pytest.raises(
            EmbrlError,
            match=r"^failing: environment \d of 3 raised ZeroDivisionError at step 2: of",
        ):
            parallel.step(np.array([1, 1, 1]))


@pytest.mark.parametrize("vector", ["sync", "threads", "async"])
def test_restarted_environments_are_as_just_opened(vector):
    actions = np.random.default_rng(1).integers(0, 4, (3, 2))
    with opened(2, vector, 3) as parallel:
        fresh = parallel.observations.copy()
        for row in actions:
            parallel.step(row)
        parallel.restart(3)
        assert np.array_equal(parallel.observations, fresh)
        assert parallel.steps == 0
        parallel.restart(4)
        assert not np.array_equal(parallel.observations, fresh)


@pytest.mark.parametrize("vector", ["sync", "threads"])
def test_a_close_that_raises_is_a_warning(vector):
    class Stuck(Counting):
        def close(self):
            raise RuntimeError("window\nalready gone")

    with pytest.warns(EmbrlWarning, match=r"Stuck: close\(\) raised RuntimeError: window already"):
        environment = HostEnvironment.of(Stuck, vector=vector)
    parallel = environment.open(2, 0)
    with pytest.warns(EmbrlWarning, match="Stuck") as warned:
        parallel.close()
    assert len(warned) == 2


def test_a_script_without_a_guard_is_told_of_it(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    main = types.ModuleType("__main__")
    main.__file__ = str(script)
    monkeypatch.setitem(sys.modules, "__main__", main)
    script.write_text("import embrl\nif 1:\n    embrl.train('CartPole-v1', vector='async')\n")
    with pytest.raises(EmbrlError, match=rf"^vector must be sync.*{script}; put .*__main__"):
        HostEnvironment.of(Counting, vector="async")
    script.write_text("def main(): ...\nif __name__ == '__main__':\n    main()\n")
    HostEnvironment.of(Counting, vector="async")
