"""Points of a sweep stand side by side as seeds do; each is the run that it would be alone."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters.partial_eval import dce_jaxpr

from embrl.config.defaults import default_config
from embrl.config.run import as_json, from_json
from embrl.config.settings_by_name import replaced, setting, settings, traceable
from embrl.core.errors import EmbrlError
from embrl.report.curves import read_curve
from embrl.training.loop import train
from embrl.training.replicas import seed_keys
from embrl.training.restore import restore_policy
from embrl.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("quick")


def small(tiny, method, algorithm):
    """A run in which every setting that may vary has something to say."""
    config = default_config("gridworld", tiny().env, method, algorithm, "tuned")
    base = tiny(method)
    hyper = {"updates_per_step": 0.05, "batch_size": 16} if algorithm == "sac" else {}
    if algorithm == "sac":
        hyper |= {"alpha_lr": 1e-3, "target_entropy": -1.0}
    if algorithm == "ppo":
        hyper |= {"target_kl": 0.001, "clip_range": 0.05}
    hyper = dataclasses.replace(config.hyperparameters, **hyper)  # type: ignore[type-var]
    config = dataclasses.replace(
        base,
        algorithm=algorithm,
        hyperparameters=hyper,
        total_timesteps=900 if method != "none" else 400,
    )
    values = {
        "pretrain.timesteps": 300,
        "pretrain.gradient_steps": 20,
        "pretrain.batch_size": 32,
        "evaluation.every": 200,
    }
    if method != "none":
        config = dataclasses.replace(config, objectives={"forward": 1.0, "reward": 0.5})
        values |= {
            "online.every": 1,
            "online.gradient_steps": 2,
            "online.batch_size": 32,
            "rollout.buffer_size": 600,
        }
        if algorithm != "sac":
            values |= {"decoder.kind": "softmax"}
    return replaced(config, {k: v for k, v in values.items() if k in settings(config)})


def other(name, value):
    """Another value of a setting."""
    return {
        "rollout.sticky_action_prob": 0.5,
        "gae_lambda": 0.9,
        "gamma": 0.95,
        "min_advantage_std": 9.0,
    }.get(
        name if name.startswith("rollout") else name.rpartition(".")[2],
        0.01 if not value else value * 1.5,
    )


SILENT = {
    # Policies over original actions have no std and are not pre-trained.
    ("none", "ppo"): {
        "policy.std",
        "ppo.std_lr",
        "ppo.min_std",
        "rollout.sticky_action_prob",
    },
    ("jsae", "vpg"): set(),
    ("jsae", "sac"): {"decoder.temperature"},  # it is softmax's, which SAC does not have
}


FAST: dict[str, Any] = {"compiler_options": {"xla_backend_optimization_level": 0}}
"""To compile."""


def whole_run(trainer, env, key, values):
    """From the first transition to the last measure, for one row."""
    trainer = trainer.with_settings(values)
    embedding = found = None
    if trainer.schedule.pretrains:
        found = trainer.collect(env, key)
        state, _ = trainer.fit(trainer.new_model(key), found, key, jnp.arange(2))
        embedding = state.model
    state = trainer.start(env, key, trainer.new_agent(key, embedding), found)
    state, measures = trainer.iterate(env, state, key, jnp.int32(0), jnp.int32(2))
    return measures, trainer.evaluate(env, state, key, jnp.int32(0), jnp.int32(1))


@pytest.mark.parametrize(("method", "algorithm"), SILENT)
def test_every_setting_that_may_vary_is_traced_and_none_is_ignored(tiny, method, algorithm):
    config = small(tiny, method, algorithm)
    env = config.env.build()
    trainer = Trainer(config, env.observation_space, env.action_space)
    trainer.validate()
    values = {name: jnp.float32(setting(config, name)) for name in traceable(config)}
    closed = jax.make_jaxpr(lambda values: whole_run(trainer, env, jax.random.key(0), values))(
        values
    )
    _, used = dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    ignored = {name for name, seen in zip(sorted(values), used, strict=True) if not seen}
    assert ignored == SILENT[method, algorithm]


def two_values(config):
    """Of every setting that may vary."""
    first = {name: setting(config, name) for name in sorted(traceable(config))}
    return first, {name: other(name, value) for name, value in first.items()}


@pytest.mark.slow
def test_points_side_by_side_are_the_runs_that_they_are_alone(tiny, tmp_path):
    config = replaced(
        tiny("none", total_timesteps=300), {"evaluation.every": 100, "policy.hidden": (8,)}
    )
    points = two_values(config)
    vary = {name: tuple(values[name] for values in points) for name in points[0]}
    folder = train(dataclasses.replace(config, vary=vary), tmp_path / "together")
    together = folder.metrics()
    assert together["point"].reshape(-1, 4)[0].tolist() == [0, 0, 1, 1]
    assert together["seed"].reshape(-1, 4)[0].tolist() == [0, 1, 0, 1]
    alone = train(replaced(config, points[1]), tmp_path / "alone").metrics()
    for name, column in alone.items():
        np.testing.assert_allclose(
            together[name].reshape(-1, 2, 2)[:, 1],
            column.reshape(-1, 2),
            rtol=2e-3,
            atol=2e-4,
            err_msg=name,
        )
    # A policy of any row can be had, and the configuration is read as it was written.
    written = from_json(folder.config(), "here")
    assert written == dataclasses.replace(config, vary=vary)
    assert restore_policy(folder, written, seed=3).embedding is None
    with pytest.raises(EmbrlError, match="holds another run: vary is"):
        train(config, folder.path, resume=True)
    with pytest.raises(EmbrlError, match="holds 2 points of a sweep"):
        read_curve(folder)


@pytest.mark.slow
def test_embeddings_side_by_side_are_as_they_are_alone(tiny):
    config = dataclasses.replace(tiny(), objectives={"forward": 1.0, "reward": 0.5})
    env = config.env.build()
    trainer = Trainer(config, env.observation_space, env.action_space)
    points = two_values(config)

    def fitted(values, key):
        mine = trainer.with_settings(values)
        state = mine.new_model(key)
        state, loss = mine.fit(state, mine.collect(env, key), key, jnp.arange(5))
        return state.model.g.table, loss

    keys = seed_keys(0, 1, points=2)
    assert jax.random.key_data(keys[0]).tolist() == jax.random.key_data(keys[1]).tolist()
    stacked = {name: jnp.float32([p[name] for p in points]) for name in points[0]}
    together = jax.jit(jax.vmap(fitted), **FAST)(stacked, keys)
    for at, values in enumerate(points):
        alone = jax.jit(functools.partial(fitted, values), **FAST)(keys[at])
        for one, other_ in zip(together, alone, strict=True):
            np.testing.assert_allclose(one[at], other_, rtol=1e-4, atol=1e-5)


def test_a_row_that_diverges_is_given_up_and_the_others_are_not(tiny, tmp_path):
    """The others are as they are beside a row that does not."""
    config = dataclasses.replace(tiny("none", total_timesteps=400), seeds=1)
    config = replaced(config, {"policy.hidden": (8,)})

    def run(name, *rates):
        vary = {"vpg.actor_lr": rates}
        return train(dataclasses.replace(config, vary=vary), tmp_path / name, sweep=True)

    wild, tame = run("wild", 1e-3, 1e38), run("tame", 1e-3, 1e-3)
    assert wild.summary()["diverged"] == [1]
    assert tame.summary()["diverged"] == []
    rows, usual = wild.metrics(), tame.metrics()
    assert np.isnan(rows["return_mean"][1::2][1:]).all()
    np.testing.assert_array_equal(rows["return_mean"][::2], usual["return_mean"][::2])
    with pytest.raises(EmbrlError, match="not finite"):
        train(replaced(config, {"vpg.actor_lr": 1e38}), tmp_path / "alone")


def test_an_ordinary_run_says_nothing_of_points(tiny):
    assert "vary" not in as_json(tiny())
    assert from_json(as_json(tiny()), "here") == tiny()


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ({"vpg.actor_rl": (1e-3,)}, r"unknown setting 'vpg\.actor_rl'.*vpg\.actor_lr"),
        ({"pretrain.held_out": (0.1,)}, "pretrain.held_out determines what is compiled"),
        (
            {"vpg.gamma": (0.9, 0.99), "policy.std": (0.5,)},
            r"policy\.std must have 2 values.*got 1",
        ),
        ({"policy.std": (0.5, -1.0)}, "policy.std must be .*got -1.0"),
        ({"decoder.temperature": (0.5, 0.0)}, "decoder.temperature must be .*got 0.0"),
        ({"vpg.gamma": (0.5, float("nan"))}, r"vpg\.gamma must be .*got nan"),
    ],
)
def test_points_that_do_not_fit_are_named(tiny, tmp_path, vary, message):
    with pytest.raises(EmbrlError, match=message):
        train(dataclasses.replace(tiny(), vary=vary), tmp_path / "run")
    assert not (tmp_path / "run").exists()
