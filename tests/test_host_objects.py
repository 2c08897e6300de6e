"""Environments that are objects, continuous actions, and playing: from Python and by command."""

import shutil
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image

import embrl
from embrl.cli.main import main
from embrl.envs.acrobot import Acrobot
from embrl.envs.gym import GymnasiumConfig, HostEnvironment
from embrl.report.film import prepare_mujoco

pytestmark = pytest.mark.usefixtures("quick")

SMALL = {
    "embedding": {"action_hidden": (8,), "decoder_hidden": (8,), "transition_hidden": (8,)},
    "pretrain": {"timesteps": 300, "gradient_steps": 20, "batch_size": 32},
    "decoder": {"gradient_steps": 20},
    "policy": {"actions": "embedded"},
    "rollout": {"steps_per_update": 100, "num_envs": 5, "buffer_size": 1_000},
    "evaluation": {"every": 100, "episodes": 2, "final_episodes": 2},
}
PPO = embrl.PPO(num_minibatches=2, update_epochs=2, critic_epochs=2)
HOW = {"algorithm": PPO, "seeds": 2, "total_timesteps": 500, **SMALL}


class Walk(gymnasium.Env):
    """Bring a point to the middle within ten steps; observations and actions are Dicts."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.observation_space = spaces.Dict(
            {"at": spaces.Box(-1.0, 1.0, (2,)), "phase": spaces.Discrete(3)}
        )
        self.action_space = spaces.Dict({"go": spaces.Box(-1.0, 3.0, (2,))})
        self.at, self.time = np.zeros(2, np.float32), 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.time = self.np_random.uniform(-1, 1, 2).astype(np.float32), 0
        return self._seen(), {}

    def step(self, action):
        self.time += 1
        self.at = np.clip(self.at + 0.1 * action["go"], -1, 1).astype(np.float32)
        return self._seen(), -float(np.abs(self.at).sum()), False, self.time >= 10, {}

    def render(self):
        return np.full((20, 30, 3), 20 * self.time, np.uint8)

    def _seen(self):
        return {"at": self.at, "phase": np.int64(self.time % 3)}


def without_pictures():
    return Walk()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> embrl.Run:
    return embrl.train(Walk(), out=tmp_path_factory.mktemp("objects") / "run", **HOW)  # type: ignore[arg-type]


ROW = np.array([1.0, 0.5, -0.25], np.float32)
"""An observation in embrl's form: the phase, then the place."""


# Training


def test_a_run_says_that_its_environment_was_an_object(run):
    assert run.config.environment == "object:Walk"
    assert run.folder.config()["env"] == {
        "name": "Walk",
        "continuous_actions": True,
        "host": True,
    }
    assert run.config.decoder.kind == "learned"
    assert run.summary["env"] == "object:Walk"


def test_going_on_needs_the_object(run, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(run.folder.path, out)
    (out / "summary.json").unlink()
    assert main(["train", "--resume", "--out", str(out)]) == 2
    assert "object in Python (Walk)" in capsys.readouterr().err
    again = embrl.train(Walk, out=out, resume=True, **HOW)  # type: ignore[arg-type]
    assert again.summary["final_return_per_seed"] == run.summary["final_return_per_seed"]
    with pytest.raises(embrl.EmbrlError, match=r"holds another run: .*environment.*object:Walk"):
        embrl.train(without_pictures, out=out, resume=True, **HOW)  # type: ignore[arg-type]


def test_without_the_object_there_is_still_a_policy(run):
    again = embrl.load(run.folder.path)
    np.testing.assert_array_equal(again.policy(1).act(ROW, seed=0), run.policy(1).act(ROW, seed=0))
    pytest.importorskip("matplotlib")
    assert main(["plot", str(run.folder.path)]) == 0


@pytest.mark.parametrize(
    ("environment", "name", "handed_over"),
    [
        (without_pictures, "object:without_pictures", True),
        (HostEnvironment.of(Walk, name="mine"), "object:mine", True),
        ("Pendulum-v1", "Pendulum-v1", False),
    ],
)
def test_names_and_objects_are_told_apart(monkeypatch, tmp_path, environment, name, handed_over):
    class Stop(Exception):
        pass

    def train(config, out, *, env, **options):
        assert config.environment == name
        assert (env is not None) == handed_over
        assert config.env.continuous_actions
        raise Stop

    monkeypatch.setattr("embrl.api.run_training", train)
    with pytest.raises(Stop):
        embrl.train(environment, out=tmp_path / "run", **HOW)


@pytest.mark.parametrize(
    ("environment", "options", "message"),
    [
        (Walk, {"length": 5}, "length must be left out: Walk is an object"),
        ("object:Walk", {}, "an object in Python.*cannot be made"),
        (3, {}, "environment must be a gymnasium.Env.* got 3"),
        (dict, {}, r"dict.*gymnasium.Env, got dict"),
    ],
)
def test_what_is_no_environment_is_refused(tmp_path, environment, options, message):
    with pytest.raises(embrl.EmbrlError, match=message):
        embrl.train(environment, out=tmp_path / "run", **HOW, **options)
    assert not (tmp_path / "run").exists()


# Acting


def test_one_observation_gives_one_vector_within_the_bounds(run):
    action = run.policy().act(ROW)
    assert isinstance(action, np.ndarray)
    assert (action.shape, action.dtype) == ((2,), np.float32)
    assert ((action >= -1.0) & (action <= 3.0)).all()


def test_many_observations_give_as_many(run):
    policy = run.policy(seed=1)
    many = np.tile(ROW, (4, 3, 1)).astype(np.float64)
    actions = policy.act(many, seed=3)
    assert (actions.shape, actions.dtype) == ((4, 3, 2), np.float32)
    assert len(np.unique(actions[..., 0])) == 12  # a draw each
    np.testing.assert_array_equal(actions, policy.act(many, seed=3))
    np.testing.assert_array_equal(
        policy.act(many, deterministic=True),
        np.broadcast_to(policy.act(many[0, 0], deterministic=True), (4, 3, 2)),
    )


def test_a_policy_is_f_of_pi_i_of_phi(run):
    policy, embedding = run.policy(), run.embedding()
    e = policy.overall.actor.mode(policy.overall.phi(ROW))
    np.testing.assert_allclose(
        policy.act(ROW, deterministic=True), embedding.f(e), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("observation", "mask", "message"),
    [
        (ROW[:2], None, r"numbers \[\.\.\., 3\], got float32\[2\]"),
        (ROW[0], None, r"numbers \[\.\.\., 3\], got float32\[\]"),
        (np.full(3, np.nan), None, "part 0 of the observation must be a whole number"),
        (ROW > 0, None, r"numbers .*, got bool\[3\]"),
        (ROW, np.ones(2, bool), "mask must be None where actions are continuous"),
    ],
)
def test_what_cannot_be_acted_on_is_refused(run, observation, mask, message):
    with pytest.raises(embrl.EmbrlError, match=message):
        run.policy().act(observation, mask=mask)


def test_a_policy_speaks_as_its_environment_does(run):
    policy, flat = run.policy(environment=Walk), run.policy()
    seen = {"at": ROW[1:], "phase": 1}
    action = policy.act(seen, deterministic=True)
    assert Walk().action_space.contains(action)
    np.testing.assert_array_equal(action["go"], flat.act(ROW, deterministic=True))
    many = policy.act({"at": np.zeros((6, 2)), "phase": np.zeros(6, int)})
    assert many["go"].shape == (6, 2)
    with pytest.raises(embrl.EmbrlError, match="lacks its part"):
        policy.act({"at": ROW[1:]})
    with pytest.raises(
        embrl.EmbrlError, match=r"Pendulum-v1 has the observation space .* was trained with"
    ):
        run.policy(environment="Pendulum-v1")
    with pytest.raises(embrl.EmbrlError, match="gridworld has no other observations"):
        run.policy(environment="gridworld")


# Playing


def test_played_episodes_are_the_same_each_time(run):
    first = embrl.play(run, environment=Walk, episodes=3)
    assert [episode.length for episode in first] == [10, 10, 10]
    again = embrl.play(run.folder.path, environment=Walk(), episodes=3)
    assert [a.total for a in first] == [b.total for b in again]
    assert first[0].total == pytest.approx(-np.abs(first[0].observations[1:, 1:]).sum(), rel=1e-5)
    other = embrl.play(run, environment=Walk, episodes=3, seed=1)
    assert [a.total for a in first] != [b.total for b in other]
    assert not np.array_equal(first[0].actions, first[1].actions)


def test_a_greedy_policy_does_what_it_thinks_most_likely(run):
    (episode,) = embrl.play(run, environment=Walk, episodes=1, greedy=True, max_steps=4)
    assert (episode.length, episode.cut) == (4, True)
    np.testing.assert_allclose(
        episode.actions, run.policy().act(episode.observations[:-1], deterministic=True), rtol=1e-4
    )


def test_a_film_shows_the_episodes(run, tmp_path):
    path = tmp_path / "new" / "walk.gif"
    embrl.play(run, environment=Walk, episodes=2, gif=path, fps=10, width=16)
    with Image.open(path) as image:
        assert (image.n_frames, image.size) == (10, (16, 11))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": 2}, "seed .*must be in 0 to 1, got 2"),
        ({"episodes": 0}, "episodes .*0$"),
        ({"max_steps": 0}, "max_steps .*0$"),
        ({"environment": "no"}, "is no environment"),
        ({"environment": None}, r"object in Python \(Walk\)"),
        ({"environment": lambda: gymnasium.make("Pendulum-v1")}, "environment .*Box"),
        ({"environment": without_pictures, "gif": "a.gif"}, "takes no render_mode"),
    ],
)
def test_what_cannot_be_played_is_refused(run, values, message):
    with pytest.raises(embrl.EmbrlError, match=message):
        embrl.play(run, **{"environment": Walk, **values})


def test_an_environment_that_does_not_draw_itself_is_named(run):
    class Blind(Walk):
        metadata = {"render_modes": ["human"]}  # noqa: RUF012

    with pytest.raises(embrl.EmbrlError, match=r"render_mode rgb_array.*only human"):
        embrl.play(run, environment=Blind, gif="a.gif")


# The command


@pytest.fixture(scope="module")
def carts(tmp_path_factory) -> embrl.Run:
    return embrl.train(
        "cart_pole",
        step_limit=40,
        method="none",
        algorithm="ppo",
        seeds=1,
        total_timesteps=200,
        out=tmp_path_factory.mktemp("carts") / "run",
        rollout={"steps_per_update": 100, "num_envs": 10, "buffer_size": 1_000},
        evaluation={"every": 100, "episodes": 2, "final_episodes": 2},
    )


def test_the_command_prints_episodes_and_their_mean(carts, capsys):
    path = str(carts.folder.path)
    assert main(["play", path, "--episodes", "3"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    episodes = embrl.play(carts, episodes=3)
    assert lines == [
        f"episode {number}: return {episode.total:.3f}, {episode.length} steps"
        for number, episode in enumerate(episodes, start=1)
    ]
    mean = np.mean([episode.total for episode in episodes])
    assert last.startswith(f"mean return {mean:.3f}, ")
    assert main(["play", path, "--episodes", "1", "--max-steps", "1"]) == 0
    assert "1 step, cut" in capsys.readouterr().out


def test_carts_are_drawn(carts, tmp_path, capsys):
    path = tmp_path / "carts.gif"
    assert main(["play", str(carts.folder.path), "--episodes", "2", "--gif", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(str(path))
    with Image.open(path) as image:
        assert image.n_frames > 1  # type: ignore[attr-defined]


def test_environments_without_a_film_are_named_before_anything_is_played(
    carts, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("embrl.report.recording.CartPole", Acrobot)  # this one can be drawn
    path = str(carts.folder.path)
    assert main(["play", path, "--gif", str(tmp_path / "it.gif")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("embrl: cart_pole cannot be drawn")


def test_wrong_arguments_are_one_line(run, capsys):
    path = str(run.folder.path)
    for arguments in (
        [path],
        [path, "--gif", "it.mp4"],
        [path, "--episodes", "none"],
        ["/nowhere"],
        [],
    ):
        assert main(["play", *arguments]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_unfinished_run_has_no_policy_to_play(run, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    shutil.copy(run.folder.path / "config.json", out)
    with pytest.raises(embrl.EmbrlError, match="has no checkpoint yet"):
        embrl.play(out, environment=Walk)


# Robots, where there are the means


def test_the_camera_follows_a_robot():
    pytest.importorskip("mujoco", reason="pip install 'embrl[gymnasium]'")
    for config, camera in (
        (GymnasiumConfig("HalfCheetah-v5"), 0),
        (GymnasiumConfig("Reacher-v5"), -1),
        (GymnasiumConfig("HalfCheetah-v5", kwargs={"camera_id": -1}), -1),  # type: ignore[arg-type]
    ):
        env = config.build().make("rgb_array")
        assert env.unwrapped.mujoco_renderer.camera_id == camera  # type: ignore[attr-defined]
        env.close()


def test_a_robot_is_drawn():
    pytest.importorskip("mujoco", reason="pip install 'embrl[gymnasium]'")
    env = GymnasiumConfig("HalfCheetah-v5").build()
    assert "mujoco" in sys.modules
    try:
        prepare_mujoco()
    except embrl.EmbrlError as error:
        pytest.skip(str(error))
    with env.open_rendered(1, 0) as opened:
        first = opened.render()[0]
        opened.step(np.ones((1, 6), np.float32))
        second = opened.render()[0]
    assert (first.dtype, first.ndim) == (np.uint8, 3)
    assert first.std() > 5.0
    assert not np.array_equal(first, second)
