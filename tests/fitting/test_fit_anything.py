"""Fits of what there is: the same data give the same embedding, wherever they come from."""

import dataclasses
import functools
import json
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_fits import WORLD

import embrl
from embrl.config.defaults import with_sections
from embrl.core.errors import EmbrlError
from embrl.core.types import Transition
from embrl.data.sources.behaviour import play_host
from embrl.envs.gym import HostEnvironment
from embrl.fitting.sources import RunPolicy, open_source
from embrl.training.replicas import Replicas, seed_keys
from embrl.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("quick")

FEW: dict[str, Any] = {
    "pretrain": {"gradient_steps": 50, "batch_size": 64},
    "decoder": {"gradient_steps": 20},
}


def same(one: embrl.Embedding, two: embrl.Embedding) -> bool:
    pairs = zip(jax.tree.leaves(one.model), jax.tree.leaves(two.model), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def some_steps(count: int = 200, seed: int = 0) -> Transition:
    """A point that is pushed; its actions are vectors."""
    random = np.random.default_rng(seed)
    at = random.normal(size=(count, 3)).astype(np.float32)
    push = random.uniform(-1, 1, (count, 2)).astype(np.float32)
    columns: Any = (
        at,
        push,
        np.zeros(count),
        at + 0.1,
        np.zeros(count, bool),
        np.ones(count, bool),
    )
    return Transition(*columns)


def test_a_fit_is_what_a_run_begins_with(gridworld_embedding, tiny_run):
    run = json.loads((tiny_run / "quality.json").read_text())["seeds"][0]
    # Two replicas side by side are rounded differently from one alone.
    for name in ("held_out_loss", "next_state_accuracy", "action_distance_correlation"):
        assert gridworld_embedding.quality[name] == pytest.approx(run[name], rel=1e-3)
    assert gridworld_embedding.quality["states_visited"] == run["states_visited"]


def test_a_rollout_and_its_file_give_the_same(tmp_path):
    steps = some_steps()
    np.savez(tmp_path / "log.npz", **steps._asdict())
    losses = []
    one = embrl.fit(steps, **FEW, on_progress=lambda step: losses.append(step.value))
    two = embrl.fit(str(tmp_path / "log.npz"), **FEW)
    assert same(one, two)
    assert len(losses) == 1
    assert losses[0] == one.source["loss"]
    assert (one.m, one.d, one.continuous, one.table) == (8, 2, True, None)
    assert one.source["timesteps"] == 200
    # What g and f say is what the model says, in and out of its scales.
    actions = np.asarray(steps.action)
    np.testing.assert_allclose(one.g(actions), one.model.g(steps.action), atol=2e-6)
    assert one.model.f is not None
    e = one.g(actions)
    np.testing.assert_allclose(one.f(e), one.model.f(jnp.asarray(e)), atol=2e-5)
    with pytest.raises(EmbrlError, match="mask"):
        one.f(e, np.ones(3, bool))


def test_a_gymnasium_environment_with_a_policy_of_its_own_words():
    seen = []

    def policy(observation):
        seen.append(observation)
        return {"push": 2 + len(seen) % 3}

    e = embrl.fit(_Counting, timesteps=120, **FEW, policy=policy)
    assert isinstance(seen[0], dict)
    assert len(seen) == 120
    assert e.observation_space == gymnasium.spaces.MultiDiscrete([8, 2])
    assert e.action_count == 3
    assert e.source["policy"] == "policy"
    with pytest.raises(EmbrlError, match=r"policy.*step 0.*KeyError: 'nothing'"):
        embrl.fit(_Counting, timesteps=120, **FEW, policy=lambda seen: seen["nothing"])
    with pytest.raises(EmbrlError, match=r"action 3.*step 0"):
        embrl.fit(_Counting, timesteps=120, **FEW, policy=lambda seen: 3)


@pytest.mark.parametrize("action", [[0.5], np.array([0.5])])
def test_a_policy_may_return_numbers_of_any_dtype(action):
    env = HostEnvironment.of(functools.partial(gymnasium.make, "Pendulum-v1"), "Pendulum-v1")
    found = play_host(env, lambda seen: action, 3, seed=0)
    assert found.action.ravel().tolist() == [0.5] * 3
    with pytest.raises(EmbrlError, match=r"the policy's action .* at step 0 is not in"):
        play_host(env, lambda seen: [2.5], 3, seed=0)


def test_a_policy_in_a_compiled_environment():
    found = open_source("gridworld", policy=lambda seen: seen % 8, options=WORLD)
    steps = _collected(found)
    np.testing.assert_array_equal(steps.action, np.asarray(steps.observation) % 8)
    goes_on = ~(np.asarray(steps.terminated) | np.asarray(steps.truncated))[:-1]
    following, seen = np.asarray(steps.next_observation)[:-1], np.asarray(steps.observation)[1:]
    np.testing.assert_array_equal(following[goes_on], seen[goes_on])
    with pytest.raises(EmbrlError, match=r"policy.*step 0.*action 8"):
        _collected(open_source("gridworld", policy=lambda seen: 8, options=WORLD))


def test_a_run_s_policy_collects(tiny_run):
    found = open_source("gridworld", policy=tiny_run, options=WORLD)
    steps = _collected(found)
    policy = RunPolicy.of(tiny_run)
    assert steps.reward.shape == (30, 2)
    assert found.about["policy"] == "run"
    key = seed_keys(0, 1)[0]
    np.testing.assert_array_equal(
        policy.steps(embrl.make("gridworld", **WORLD), key, 3, 2, 0).action,
        policy.steps(embrl.make("gridworld", **WORLD), key, 3, 2, 0).action,
    )
    with pytest.raises(EmbrlError, match="another action space: it has 8 values, and must have 16"):
        open_source("gridworld", policy=tiny_run, options={**WORLD, "actuators": 4})
    with pytest.raises(EmbrlError, match=r"seed .*got 9"):
        RunPolicy.of(tiny_run, 9)


def test_a_run_s_embedding_alone(tiny_run, tmp_path):
    run = embrl.load(tiny_run)
    alone = run.embedding(1)
    np.testing.assert_array_equal(alone.table, run.policy(1).overall.table)
    assert alone.quality["held_out_loss"] == run.folder.quality()[1]["held_out_loss"]
    alone.save(tmp_path / "alone")
    assert same(alone, embrl.load_embedding(tmp_path / "alone"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"method": "none"}, "method none has no embedding to fit"),
        ({"timesteps": 201}, r"pretrain\.timesteps must be .*got 201"),
        ({"policy": lambda seen: 0}, "^policy must be left out"),
        (
            {"embedding": {"state_dim": 0}},
            r"^embedding\.state_dim must be .*got 0",
        ),
        ({"embedding": {"mm": 2}}, "embedding.*'mm'"),
        (
            {"pretrain": {"learning_rate": 1e30}},
            r"loss is not finite after 50 .*pretrain\.learning_rate",
        ),
    ],
)
def test_wrong_settings_are_named(arguments, said):
    with pytest.raises(EmbrlError, match=said):
        embrl.fit(some_steps(), **{**FEW, **arguments})


def test_one_step_is_too_few_and_nonsense_is_no_source():
    with pytest.raises(EmbrlError, match=r"must be at least 2 .*got 1"):
        embrl.fit(some_steps(1))
    with pytest.raises(EmbrlError, match=r"^source must be .*got 3"):
        embrl.fit(3)


def _collected(found: Any) -> Transition:
    config = with_sections(
        found.config("jsae", "tuned"), {"rollout": {"num_envs": 2}, "pretrain": {"timesteps": 60}}
    )
    config = dataclasses.replace(config, seeds=1)
    trainer = Trainer(config, found.observation_space, found.action_space)
    return jax.tree.map(lambda column: column[0], found.open(Replicas(trainer)).collect())


class _Counting(gymnasium.Env):
    """Counts to seven; observations and actions have names."""

    observation_space = gymnasium.spaces.Dict(
        {"count": gymnasium.spaces.Discrete(8), "odd": gymnasium.spaces.Discrete(2)}
    )
    action_space = gymnasium.spaces.Dict({"push": gymnasium.spaces.Discrete(3, start=2)})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._seen(), {}

    def step(self, action):
        self.count = min(7, self.count + int(action["push"]) - 1)
        return self._seen(), 1.0, self.count == 7, False, {}

    def _seen(self):
        return {"count": np.int64(self.count), "odd": np.int64(self.count % 2)}
