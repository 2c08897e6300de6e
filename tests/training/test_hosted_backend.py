"""Training on the host: the same trainer, beside an environment that Python steps."""

import dataclasses
import warnings
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from unmeasured import measured

import embrl
from embrl import envs
from embrl.config.defaults import default_config
from embrl.config.run import RunConfig
from embrl.config.settings_by_name import replaced
from embrl.core.errors import EmbrlError, EmbrlWarning
from embrl.envs.gym import HostEnvironment
from embrl.storage import checkpoint
from embrl.training import hosted_backend as turns
from embrl.training.episodes import evaluate_policy
from embrl.training.evaluation import longest_episode
from embrl.training.hosted_backend import HostedBackend
from embrl.training.loop import train
from embrl.training.replicas import Replicas
from embrl.training.restore import restore_policy
from embrl.training.rng_streams import RngStream
from embrl.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("quick")


class Nudge(gymnasium.Env):
    """A number between -1 and 1, moved by a tenth of the action; the reward is how near to 0."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)

    def __init__(self, end: int = 10) -> None:
        self.end = end

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.steps = float(self.np_random.uniform(-1, 1)), 0
        return self._seen(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.at += 0.1 * float(action[0])
        self.steps += 1
        return self._seen(), 1.0 - abs(self.at), False, self.steps >= self.end, {}

    def _seen(self):
        return np.array([self.at, 100.0 + self.steps], np.float32)


NUDGE = HostEnvironment.of(Nudge)
ONLINE: dict[str, Any] = {"online.every": 1, "online.gradient_steps": 2}


def small(method: str = "jsae", algorithm: str = "vpg", **changes) -> RunConfig:
    config = default_config(
        "Pendulum-v1", envs.configure("Pendulum-v1"), method, algorithm, "tuned"
    )
    values = {
        "seeds": 2,
        "total_timesteps": 360 if method != "none" else 160,
        "policy.hidden": (8,),
        "rollout.steps_per_update": 40,
        "rollout.num_envs": 4,
        "rollout.buffer_size": 400,
        "evaluation.every": 80,
        "evaluation.episodes": 2,
        "evaluation.final_episodes": 4,
    }
    if method != "none":
        values |= {
            "pretrain.timesteps": 200,
            "pretrain.gradient_steps": 20,
            "decoder.gradient_steps": 20,
            "embedding.state_dim": 3,
            "embedding.action_dim": 1,
        }
    if algorithm == "ppo":
        values |= {"ppo.num_minibatches": 2, "ppo.update_epochs": 2, "ppo.critic_epochs": 2}
    if algorithm == "sac":
        values |= {"sac.updates_per_step": 0.1, "sac.batch_size": 16}
    return replaced(config, values | changes)


def run(config: RunConfig, out, **options):
    return train(config, out, env=NUDGE, **options)


def world(config: RunConfig) -> HostedBackend:
    trainer = Trainer(config, NUDGE.observation_space, NUDGE.action_space)
    return HostedBackend(Replicas(trainer), NUDGE)


def test_collecting_goes_on_from_step_to_step_with_the_actions_that_were_taken():
    found = world(small()).collect()
    assert found.observation.shape == (2, 50, 4, 2)
    assert found.action.shape == (2, 50, 4, 1)
    assert ((found.action >= -2.0) & (found.action <= 2.0)).all()
    moved = found.observation[..., 0] + 0.1 * found.action[..., 0]
    np.testing.assert_allclose(found.next_observation[..., 0], moved, atol=1e-6)
    # Where an episode ends, the next observation is its true last one, and then it begins anew.
    ended = found.truncated
    assert ended[:, 9].all()
    assert ended.sum() == 2 * 4 * 5
    np.testing.assert_array_equal(found.next_observation[:, 9, :, 1], 110.0)
    np.testing.assert_array_equal(found.observation[:, 10, :, 1], 100.0)
    going_on = ~ended[:, :-1]
    np.testing.assert_array_equal(
        found.next_observation[:, :-1][going_on], found.observation[:, 1:][going_on]
    )


def test_a_row_s_data_do_not_depend_on_how_many_rows_there_are():
    two, three = world(small()).collect(), world(small(seeds=3)).collect()
    for mine, other in zip(two, three, strict=True):
        np.testing.assert_array_equal(mine, other[:2])
    np.testing.assert_array_equal(two.action, world(small()).collect().action)


def test_episodes_are_played_whole_and_each_lane_counts_alike():
    config = small("none")
    here = world(config)

    def still(seen, t, masks):
        return np.zeros((*seen.shape[:2], 1), np.float32)

    returns, lengths, cut = here._play(still, 3, 2, RngStream.EVALUATE, 0)
    assert returns.shape == lengths.shape == (2, 6)
    assert (lengths == 10).all()
    assert cut.tolist() == [0, 0]
    assert ((returns >= 0.0) & (returns <= 10.0)).all()
    again, *_ = here._play(still, 3, 2, RngStream.EVALUATE, 0)
    np.testing.assert_array_equal(returns, again)
    other, *_ = here._play(still, 3, 2, RngStream.EVALUATE, 1)
    assert not np.array_equal(returns, other)


@pytest.mark.parametrize(
    ("method", "algorithm", "values"),
    [
        ("jsae", "vpg", ONLINE),
        pytest.param("none", "ppo", {}, marks=pytest.mark.slow),
        pytest.param("jsae", "sac", ONLINE, marks=pytest.mark.slow),
    ],
    ids=["jsae vpg online", "none ppo", "jsae sac online"],
)
def test_the_same_configuration_gives_the_same_run(tmp_path, method, algorithm, values):
    config = small(method, algorithm, **values)
    first, second = run(config, tmp_path / "a"), run(config, tmp_path / "b")
    assert (first.path / "metrics.csv").read_bytes() == (second.path / "metrics.csv").read_bytes()
    summary = first.summary()
    assert summary["action_dimensions"] == 1
    assert np.isfinite(summary["final_return_mean"])
    assert first.metrics()["timesteps"][-1] == config.total_timesteps
    # Samples count pre-training; every epoch was learned from.
    restored = restore_policy(first, config, seed=1)
    action, _ = restored.policy.act(
        jnp.zeros((5, 2)), restored.policy.noise(jax.random.key(0), (5,))
    )
    assert action.shape == (5, 1)
    assert (np.abs(action) <= 2.0).all()


@pytest.mark.parametrize("method", ["none", pytest.param("jsae", marks=pytest.mark.slow)])
def test_rows_learn_the_same_in_turns_as_all_at_once(tmp_path, monkeypatch, method):
    config, found = small(method, seeds=3), []
    for worth_it in (False, True):
        monkeypatch.setattr(turns, "_overlap_helps", lambda *_, answer=worth_it: answer)
        folder = run(config, tmp_path / str(worth_it))
        found.append((restore_policy(folder, config, seed=2), folder.metrics()))
    (at_once, one), (in_turns, other) = found
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], rtol=1e-3, atol=1e-4, err_msg=name)
    seen = jnp.linspace(-1, 1, 5)[:, None] + jnp.array([0.0, 105.0])
    np.testing.assert_allclose(
        at_once.policy.mode(seen), in_turns.policy.mode(seen), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize(
    ("changes", "worth_it"),
    [({}, True), ({"seeds": 1}, False), (ONLINE, False)],
)
def test_turns_are_taken_where_they_gain(changes, worth_it):
    trainer = world(small(**changes)).trainer
    assert turns._overlap_helps(trainer, trainer.config.seeds, other_devices=1) is worth_it
    assert not turns._overlap_helps(trainer, trainer.config.seeds, other_devices=0)


def test_a_run_goes_on_with_what_it_had_learned_and_new_episodes(tmp_path):
    config, seen = small(**ONLINE), []

    def interrupt(progress):
        seen.append(progress)
        if progress.stage == "training":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path, on_progress=interrupt, save_every=0.0)
    assert seen[-1].done == 280  # 200 of pre-training, and two epochs
    before = checkpoint.latest(tmp_path / "checkpoint")
    assert before is not None
    folder = run(config, tmp_path, resume=True)
    assert folder.metrics()["timesteps"].tolist() == [200] * 2 + [280] * 2 + [360] * 2


def test_observations_without_bounds_are_scaled_by_what_was_seen(tmp_path):
    here = world(small())
    found = jax.tree.map(lambda rows: rows[0], here.collect())
    embedding = here.trainer.new_model(jax.random.key(0), found).model
    box = embedding.phi.raw.box  # type: ignore[union-attr]
    assert box is not None
    assert box.scale is not None
    assert box.scale.centre[1] == pytest.approx(104.5, abs=0.5)
    config = small("none")
    policy = restore_policy(run(config, tmp_path / "raw"), config, seed=0).policy
    features = np.asarray(policy.phi(jnp.array([[0.0, 104.5]])))
    assert np.abs(features).max() < 1.0


@pytest.mark.parametrize(
    ("normalise", "slope"), [("running", 4.0), ("scale_down_only", 1.0), ("off", 1.0)]
)
def test_what_hardly_varies_is_blown_up_or_not(normalise, slope):
    trainer = world(small("none", **{"policy.normalise": normalise})).trainer
    agent = trainer.untrained(jax.random.key(0))
    rows = jnp.array([[-0.25, 100.0], [0.25, 110.0]])
    if agent.running_stats is not None:
        agent = agent._replace(running_stats=agent.running_stats.update(rows))
    x = trainer.policy(agent).phi(rows)
    np.testing.assert_allclose(x[1] - x[0], [0.5 * slope, 10.0 if normalise == "off" else 2.0])


def test_sac_blows_nothing_up_unless_told_to():
    assert small("none", "sac").policy.normalise == "scale_down_only"
    assert small("none", "ppo").policy.normalise == "running"


def test_an_environment_that_fails_stops_the_run_with_the_reason(tmp_path):
    class Breaks(Nudge):
        def step(self, action):
            if self.steps == 7:
                raise ValueError("no more steps")
            return super().step(action)

    config = dataclasses.replace(small("none"), seeds=1)
    with pytest.raises(EmbrlError, match=r"Breaks: .*0 of 2 raised ValueError.*no more steps"):
        train(config, tmp_path / "run", env=HostEnvironment.of(Breaks))


def test_an_episode_without_an_end_is_cut_and_counted_and_the_run_is_kept(tmp_path):
    longest: dict[str, Any] = {"evaluation.max_episode_steps": 30}
    config = small("none", seeds=1, **longest)
    endless = HostEnvironment.of(lambda: Nudge(end=10**9), "Endless")
    seen = []
    said = pytest.warns(EmbrlWarning, match=r"4 episodes were cut after 30 steps")
    with measured(), said as warned:
        folder = train(config, tmp_path / "run", env=endless, on_progress=seen.append)
    assert len(warned) == 1
    assert (folder.metrics()["length_mean"] == 30).all()
    # Two evaluations of 2 episodes and the last one of 4, each also greedy; and the references.
    assert folder.summary()["cut_episodes"] == 2 * (2 + 2 + 4) + 100
    ends = {step.stage: (step.done, step.total) for step in seen}
    assert (ends["final evaluation"], ends["references"]) == ((8, 8), (100, 100))
    env = HostEnvironment.of(lambda: Nudge(end=40), "Long")
    assert env.max_episode_steps is None
    policy = restore_policy(folder, config, seed=0).policy
    for cap, cut in ((30, 3), (None, 0)):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = evaluate_policy(env, policy, jax.random.key(0), 3, True, cap)
        assert (found.cut, len(said)) == (cut, cut > 0)
        assert (found.lengths == (cap or 40)).all()


def test_a_limit_of_the_environment_is_no_cut():
    limited = HostEnvironment.of(lambda: TimeLimit(Nudge(end=10**9), 12))
    assert limited.max_episode_steps == 12
    assert longest_episode(limited, None) == 10_000
    far = HostEnvironment.of(lambda: TimeLimit(Nudge(), 20_000))
    assert longest_episode(far, None) == 20_000
    assert longest_episode(far, 15) == 15
    with far.open(2, 0, max_episode_steps=5) as parallel:
        steps = [parallel.step(np.zeros((2, 1), np.float32)) for _ in range(5)]
    assert [step.truncated.all() for step in steps] == [False] * 4 + [True]


def test_a_policy_needs_no_environment_and_no_package_that_has_it(tmp_path, monkeypatch):
    run(small("none", seeds=1), tmp_path / "run")
    monkeypatch.delitem(gymnasium.registry, "Pendulum-v1")
    loaded = embrl.load(tmp_path / "run")
    action = loaded.policy().act(np.array([0.5, 100.0], np.float32), deterministic=True)
    exported = embrl.load_policy(embrl.export(tmp_path / "run", tmp_path / "out", onnx=False))
    np.testing.assert_allclose(exported.act([0.5, 100.0]), action, atol=1e-6)
