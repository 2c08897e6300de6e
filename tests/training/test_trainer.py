import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl import envs
from embrl.algorithms.vpg import VPG
from embrl.config import defaults, schedule
from embrl.core.errors import EmbrlError
from embrl.training import compile_ahead, kept_programs, loop, replicas
from embrl.training.evaluation import play
from embrl.training.replicas import over_replicas, seed_keys
from embrl.training.rng_streams import RngStream, stream_key
from embrl.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("quick")

SEEDS = 3


def prepared(config):
    env = config.env.build()
    return env, Trainer(config, env.observation_space, env.action_space)


def test_seeds_side_by_side_are_the_seeds_one_by_one(tiny):
    """Up to the first choice of the policy: from there the last bits of a sum can decide which
    action is nearest, and so everything after."""
    env, trainer = prepared(tiny())

    def run(env, key):
        transitions = trainer.collect(env, key)
        state, loss = trainer.fit(trainer.new_model(key), transitions, key, jnp.arange(10))
        start = trainer.start(env, key, trainer.new_agent(key, state.model), transitions)
        return transitions, (state, loss, start)

    keys = seed_keys(0, SEEDS)
    transitions, states = over_replicas(run, SEEDS, shared=(0,))(env, keys)
    alone = jax.jit(run)
    for seed in range(SEEDS):
        one_transitions, one_states = alone(env, keys[seed])
        for many, one in zip(transitions, one_transitions, strict=True):
            np.testing.assert_array_equal(many[seed], one)
        leaves = zip(jax.tree.leaves(states), jax.tree.leaves(one_states), strict=True)
        for many, one in leaves:
            np.testing.assert_allclose(many[seed], one, rtol=1e-3, atol=1e-4)


def test_a_seed_is_the_same_however_many_there_are():
    few, many = seed_keys(7, 2), seed_keys(7, 5)
    assert (jax.random.key_data(few) == jax.random.key_data(many)[:2]).all()


def test_no_two_purposes_share_random_numbers():
    key = jax.random.key(0)
    used = [
        tuple(np.asarray(jax.random.key_data(stream_key(key, what, index))).tolist())
        for what in RngStream
        for index in range(50)
    ]
    assert len(set(used)) == len(used)


@pytest.mark.parametrize("method", ["jsae", pytest.param("none", marks=pytest.mark.slow)])
def test_nothing_is_compiled_twice_in_a_run(tiny, tmp_path, monkeypatch, method):
    made = []

    def remember(*arguments, **options):
        made.append(over_replicas(*arguments, **options))
        return made[-1]

    lowered = Counter()

    def lower(function, *arguments):
        lowered[function] += 1
        return before(function, *arguments)

    before = replicas.OverReplicas.lower
    kept_programs.forget()
    for module in (loop, replicas):
        monkeypatch.setattr(module, "over_replicas", remember)
    monkeypatch.setattr(replicas.OverReplicas, "lower", lower)
    monkeypatch.setattr(compile_ahead, "available_cores", lambda: 2)
    with compilations() as compiled:
        loop.train(tiny(method, total_timesteps=1_300 if method == "jsae" else 700), tmp_path / "r")
    called = [function for function in made if function.called]
    assert len(made) == 10
    assert dict(lowered) == dict.fromkeys(called, 1)
    assert all(function.compiled._cache_size() <= 1 for function in made)
    # What was compiled ahead is what is called: same shapes, same places.
    assert compiled.count("/jax/core/compile/backend_compile_duration jit(everywhere)") == len(
        called
    )


@pytest.mark.skipif(jax.device_count() < 2, reason="one device")
def test_devices_that_work_side_by_side_do_not_split_operations():
    """Split ones were read before they were complete; docs/performance.md has the story."""

    def large(x):
        return jax.lax.fori_loop(0, 5, lambda _, x: jnp.exp(x) * jnp.tanh(x) - x, x)

    program: Any = over_replicas(large, 2)
    compiled = program.lower(jnp.ones((2, 512, 1600)))[0].compile()
    assert 'partitions":["' not in compiled.as_text()


@pytest.mark.slow
def test_online_updates_give_the_same_run_each_time(tmp_path):
    """Large operations on two devices; a small run would not split any."""
    env = envs.configure("gridworld", actuators=9, walls="released")
    config = dataclasses.replace(
        defaults.default_config("gridworld", env, "jsae", "ppo", total_timesteps=30_000), seeds=2
    )
    runs = [loop.train(config, tmp_path / str(number)) for number in range(3)]
    first, *others = [(run.path / "metrics.csv").read_bytes() for run in runs]
    assert all(other == first for other in others)


def test_evaluating_does_not_change_training(tiny, tmp_path):
    config = tiny()
    often = loop.train(config, tmp_path / "often")
    rarely = dataclasses.replace(
        config, evaluation=dataclasses.replace(config.evaluation, every=600)
    )
    seldom = loop.train(rarely, tmp_path / "seldom")
    state = "state.safetensors"
    checkpoints = [next(run.checkpoint.glob(f"*/{state}")) for run in (often, seldom)]
    assert checkpoints[0].read_bytes() == checkpoints[1].read_bytes()


def test_final_returns_of_a_policy_are_those_of_a_plain_loop(tiny):
    """play() masks finished episodes; a loop over episodes in Python needs no mask."""
    env, trainer = prepared(tiny())

    def act(key, observation, mask=None):
        return (observation * 5 + 3) % 8  # deterministic, and so is the gridworld

    found = play(env, act, jax.random.key(0), 3)
    state, observation = env.reset(jax.random.key(0))
    total, steps, done = 0.0, 0, False
    while not done:
        state, after = env.step(jax.random.key(0), state, act(None, observation))
        observation, total, steps = after.observation, total + float(after.reward), steps + 1
        done = bool(after.terminated | after.truncated)
    np.testing.assert_allclose(found.returns, total, rtol=1e-5)
    assert (found.lengths == steps).all()
    assert trainer.schedule.num_updates == 6


@pytest.mark.parametrize("credit", ["e", "g(a)"])
def test_the_policy_is_credited_with_its_point_or_with_its_action_s_place(tiny, credit):
    class Spy(VPG):
        def update(self, learner, experience, key):
            steps = experience.fresh
            assert isinstance(experience.table, jax.Array)
            off = jnp.abs(steps.u - experience.table[steps.action]).max()
            return learner, {"off": off}

    config = tiny()
    policy = dataclasses.replace(config.policy, credit=credit)
    env, trainer = prepared(dataclasses.replace(config, policy=policy, hyperparameters=Spy()))

    def run(key):
        found = trainer.collect(env, key)
        agent = trainer.new_agent(key, trainer.new_embedding(key))
        state = trainer.start(env, key, agent, found)
        return trainer.iterate(env, state, key, jnp.int32(0), jnp.int32(1))[1]["off"]

    off = jax.jit(run)(jax.random.key(0))
    assert (off == 0.0) == (credit == "g(a)")


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """Give a list that everything JAX traces or compiles meanwhile is appended to."""
    events: list[str] = []

    def remember(event: str, duration_secs: float, **kwargs: Any) -> None:
        del duration_secs
        events.append(f"{event} {kwargs.get('fun_name')}")

    jax.monitoring.register_event_duration_secs_listener(remember)
    try:
        yield events
    finally:
        jax.monitoring.unregister_event_duration_listener(remember)


@pytest.mark.parametrize("method", [pytest.param("jsae", marks=pytest.mark.slow), "none"])
def test_train_under_vmap_equals_a_run_and_touches_no_disk(tiny, tmp_path, monkeypatch, method):
    """Equal up to rounding; timesteps that are no multiple of an evaluation are included."""
    config = tiny(method, seeds=2, total_timesteps=1_100 if method == "jsae" else 500)
    trainer = Trainer.of(config, config.env.build())
    keys, others = seed_keys(config.seed, 2), seed_keys(5, 2)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    train = jax.jit(trainer.train)
    state, metrics = jax.vmap(train)(keys)
    with compilations() as compiled:
        _, different = jax.vmap(train)(others)
    assert compiled == []
    assert not np.array_equal(metrics["return_mean"], different["return_mean"])
    assert list((tmp_path / "empty").iterdir()) == []
    assert jax.tree.leaves(state.agent.learner.actor)[0].shape[0] == 2

    expected = loop.train(config, tmp_path / "run").metrics()
    assert expected.keys() == {"seed", "episodes", *metrics}
    for name in ("timesteps", "return_mean", "greedy_return_mean", "actor_loss", "entropy"):
        by_evaluation = expected[name].reshape(-1, 2)
        np.testing.assert_allclose(metrics[name].T, by_evaluation, rtol=1e-3, atol=1e-4)


def test_train_needs_an_environment_and_no_other_run(tiny):
    config = tiny()
    env = config.env.build()
    with pytest.raises(EmbrlError, match="environment"):
        Trainer(config, env.observation_space, env.action_space).train(jax.random.key(0))
    transfer = dataclasses.replace(config.transfer, run="elsewhere")
    trainer = Trainer.of(dataclasses.replace(config, transfer=transfer), env)
    with pytest.raises(EmbrlError, match=r"transfer\.run"):
        trainer.train(jax.random.key(0))


def test_an_on_policy_algorithm_that_draws_replayed_steps_is_refused(tiny):
    class Draws(VPG):
        def update(self, learner, experience, key):
            return learner, {"reward": experience.draw(key, 4).reward.mean()}

    config = tiny("none", hyperparameters=Draws())
    trainer = Trainer.of(config, config.env.build())
    with pytest.raises(EmbrlError, match="off_policy"):
        jax.eval_shape(trainer.train, jax.random.key(0))


@pytest.mark.slow  # tests/decoding/test_tree.py compares the actions
def test_a_tree_of_actions_changes_nothing_where_all_were_tried(tiny, monkeypatch):
    config = tiny(seeds=1)

    def last(by_index: bool) -> tuple[Any, Any]:
        monkeypatch.setattr(schedule, "pays", lambda n, d: by_index)
        env, trainer = prepared(config)
        trainer = dataclasses.replace(trainer, env=env)
        state, metrics = jax.jit(trainer.train)(jax.random.key(0))
        return state.agent, metrics

    plain, metrics = last(by_index=False)
    agent, others = last(by_index=True)
    assert plain.nearby is None
    assert agent.tried.all()
    for name, values in metrics.items():
        np.testing.assert_allclose(values, others[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("kind", ["nearest", "softmax"])
def test_actions_that_were_not_tried_are_not_chosen(kind, tiny, monkeypatch):
    monkeypatch.setattr(schedule, "pays", lambda n, d: True)
    config = tiny(seeds=1)
    config = dataclasses.replace(config, decoder=dataclasses.replace(config.decoder, kind=kind))
    pretrain = dataclasses.replace(config.pretrain, timesteps=20, gradient_steps=2)
    env, trainer = prepared(dataclasses.replace(config, pretrain=pretrain))
    env = config.env.__class__(actuators=6, bins=10, step_limit=20).build()
    trainer = Trainer(trainer.config, env.observation_space, env.action_space)
    assert trainer.schedule.most_trained(env.action_space) == 20

    @jax.jit
    def run(key):
        data = trainer.collect(env, key)
        state = trainer.start(env, key, trainer.new_agent(key, trainer.pretrain(key, data)), data)
        e = jax.random.uniform(key, (200, config.embedding.action_dim), minval=-1, maxval=1)
        policy = trainer.policy(state.agent)
        noise = policy.f.noise(key, (200,))
        return state.agent.tried, data.action, policy.f(policy.table, e, noise, policy.allowed)

    tried, actions, chosen = map(np.asarray, run(jax.random.key(0)))
    assert tried.sum() <= 20
    assert set(chosen.tolist()) <= set(actions.ravel().tolist())
