"""Atari games of ale-py's vector environment, on pictures that are small, to be fast."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from counting import configured

import embrl
from embrl import envs
from embrl.core.errors import EmbrlError
from embrl.envs.gym import ale, registration

FREEWAY = "ALE/Freeway-v5"
SMALL = {"img_height": 42, "img_width": 42}
UP = 1


@pytest.fixture
def ale_py():
    return pytest.importorskip("ale_py", reason="needs ale-py: pip install 'embrl[atari]'")


def games(name: str = FREEWAY, limit: int | None = None, **kwargs: Any) -> Any:
    return configured(name, vector="ale", max_episode_steps=limit, kwargs=SMALL | kwargs).build()


def played(environment: Any, seed: int, steps: int = 60) -> list[np.ndarray]:
    """Return all that is seen in two games, with the same actions each time."""
    actions = np.random.default_rng(0).integers(0, 3, (steps, 2))
    with environment.open(2, seed) as parallel:
        return seen_by(parallel, actions)


def seen_by(parallel: Any, actions: np.ndarray) -> list[np.ndarray]:
    seen = [parallel.observations]
    for action in actions:
        step = parallel.step(action)
        seen += [step.observation, step.reward, step.truncated, parallel.observations]
    return seen


def test_spaces_names_and_limit(ale_py):
    environment = games()
    assert environment.observation_space.shape == (42, 42, 4)
    assert environment.observation_space.dtype == np.uint8
    assert environment.action_names == ("NOOP", "UP", "DOWN")
    assert environment.action_names == tuple(
        ale_py.AtariEnv("freeway", full_action_space=False).get_action_meanings()
    )
    assert environment.max_episode_steps == 108_000 // 4
    assert games(limit=20).max_episode_steps == 20
    assert games(frameskip=8).max_episode_steps == 108_000 // 8
    assert games(continuous=True).action_names is None
    assert games(grayscale=False).observation_space.shape == (42, 42, 12)


def test_episodes_are_those_of_the_vector_environment(ale_py):
    """The rival resets at the next step, whose action it discards."""
    limit, steps = 7, 20
    environment = games(limit=limit, num_threads=1)
    rival = ale_py.AtariVectorEnv(
        "freeway", 2, num_threads=2, max_num_frames_per_episode=4 * limit,
        repeat_action_probability=0.25, reward_clipping=False, **SMALL,
    )  # fmt: skip
    actions = np.random.default_rng(1).integers(0, 3, (steps, 2))
    with environment.open(2, 3) as parallel:
        from embrl.envs.gym.vector_env import env_seeds

        theirs, _ = rival.reset(seed=np.array(env_seeds(2, 3)))
        for t, action in enumerate(actions):
            np.testing.assert_array_equal(parallel.observations, theirs.transpose(0, 2, 3, 1))
            step = parallel.step(action)
            theirs, reward, terminated, truncated, _ = rival.step(action)
            np.testing.assert_array_equal(step.observation, theirs.transpose(0, 2, 3, 1))
            np.testing.assert_array_equal(step.reward, reward)
            np.testing.assert_array_equal(step.terminated, terminated)
            np.testing.assert_array_equal(step.truncated, truncated)
            assert (truncated == (t % limit == limit - 1)).all()
            if truncated.any():
                theirs, *_ = rival.step(np.zeros(2, int))
                assert (parallel.observations != step.observation).any()


def test_the_same_seed_gives_the_same_episodes(ale_py):
    once = played(games(limit=25), 5)
    for again in (played(games(limit=25, num_threads=2), 5), played(games(limit=25), 5)):
        assert all(np.array_equal(*pair) for pair in zip(once, again, strict=True))
    other = played(games(limit=25), 6)
    assert any(not np.array_equal(*pair) for pair in zip(once, other, strict=True))


def test_restarting_is_opening_again(ale_py):
    actions = np.random.default_rng(0).integers(0, 3, (40, 2))
    with games(limit=15).open(2, 5) as parallel:
        once = seen_by(parallel, actions)
        parallel.restart(5)
        again = seen_by(parallel, actions)
    assert all(np.array_equal(*pair) for pair in zip(once, again, strict=True))


def test_games_over_are_terminated_not_truncated(ale_py):
    """A game of Freeway lasts two minutes and a quarter, 8,192 frames less those of its start."""
    with games(repeat_action_probability=0.0, img_height=16, img_width=16).open(1, 0) as parallel:
        total, steps = 0.0, 0
        while True:
            step = parallel.step(np.array([UP]))
            total, steps = total + step.reward[0], steps + 1
            if step.terminated[0]:
                break
    assert not step.truncated[0]
    assert 2030 < steps <= 2048
    assert 18 <= total <= 25


@pytest.mark.parametrize(("evaluation", "reward"), [(False, 1.0), (True, 10.0)])
def test_evaluations_do_not_clip(ale_py, evaluation, reward):
    pacman = games("ALE/MsPacman-v5", reward_clipping=True)
    with pacman.open(1, 0, evaluation=evaluation) as parallel:
        rewards = {float(parallel.step(np.array([3])).reward[0]) for _ in range(100)}
    assert max(rewards) == reward


@pytest.mark.parametrize("evaluation", [False, True])
def test_evaluations_do_not_end_with_a_life(ale_py, evaluation):
    breakout = games("ALE/Breakout-v5", episodic_life=True)
    with breakout.open(1, 0, evaluation=evaluation) as parallel:
        ends = sum(bool(parallel.step(np.array([1])).terminated[0]) for _ in range(100))
    assert (ends > 0) is not evaluation


@pytest.mark.usefixtures("quick")
def test_the_same_seed_trains_the_same_policy(ale_py, tmp_path):
    def trained(out: Path) -> embrl.Run:
        return embrl.train(
            FREEWAY, out=out, method="none", total_timesteps=128,
            vector="ale", max_episode_steps=20, kwargs={"img_height": 16, "img_width": 16},
            rollout={"num_envs": 4, "steps_per_update": 32}, policy={"hidden": (8,)},
            evaluation={"every": 64, "episodes": 1, "final_episodes": 1},
        )  # fmt: skip

    once, again = tmp_path / "once", tmp_path / "again"
    run, _ = trained(once), trained(again)
    assert (once / "metrics.csv").read_text() == (again / "metrics.csv").read_text()
    assert run.action_names == ("NOOP", "UP", "DOWN")
    assert embrl.play(run, episodes=1, gif=tmp_path / "seen.gif")[0].length == 20
    assert (tmp_path / "seen.gif").stat().st_size > 0


@pytest.mark.parametrize(
    ("name", "kwargs", "said"),
    [
        (FREEWAY, {"wings": 2}, r"ale-py cannot make ALE/Freeway-v5: TypeError.*wings"),
        (FREEWAY, {"batch_size": 2}, "env.kwargs.*batch_size.*embrl sets"),
        (FREEWAY, {"autoreset_mode": "NextStep"}, "env.kwargs.*autoreset_mode"),
        (FREEWAY, {"stack_num": 0}, "must have observations"),
        (FREEWAY, {"frameskip": 2.5}, "ale-py cannot make .*float"),
        ("ALE/Freway-v5", {}, "did you mean ALE/Freeway-v5"),
        ("Freeway-v4", {}, "env.vector must be sync, threads or async for Freeway-v4, got ale"),
    ],
)
def test_what_is_refused_is_one_line(ale_py, name, kwargs, said):
    with pytest.raises(EmbrlError, match=said) as caught:
        envs.configure(name, vector="ale", kwargs=kwargs).build()
    assert "\n" not in str(caught.value)


def test_a_game_cannot_be_made_alone(ale_py):
    with pytest.raises(EmbrlError, match=r"env\.vector ale"):
        games().make()


def test_other_environments_are_refused():
    with pytest.raises(EmbrlError, match=r"env.vector.*CartPole-v1, got ale, .*ALE/Pong-v5"):
        configured("CartPole-v1", vector="ale").build()


def test_without_ale_py_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    monkeypatch.delitem(registration.gymnasium.registry, FREEWAY, raising=False)
    assert not ale.register()
    with pytest.raises(EmbrlError, match=r"ale_py is not installed; pip install 'embrl\[atari\]'"):
        envs.kind(FREEWAY)
    with pytest.raises(EmbrlError, match=r"pip install 'embrl\[atari\]'"):
        configured(FREEWAY, vector="ale").build()
    # What a run folder holds is enough to load it.
    assert envs.recorded_kind(FREEWAY, {"id": FREEWAY}).only == FREEWAY
