"""Every environment, method and algorithm goes together, or is refused with the reason."""

import dataclasses
import functools
import itertools
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest

from embrl import envs
from embrl.algorithms import ALGORITHMS
from embrl.config.defaults import default_config
from embrl.config.run import as_json, from_json
from embrl.core.errors import EmbrlError
from embrl.embedding.methods import METHODS
from embrl.envs import ENVIRONMENTS
from embrl.training.loop import train
from embrl.training.replicas import seed_keys
from embrl.training.restore import state_shapes
from embrl.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("quick")

ALIKE = {"acrobot", "mountain_car"}
"""Environments whose observations and actions are of the kinds that cart_pole's are."""

SMALL = {
    "gridworld": {"actuators": 3, "bins": 6},
    "continuous_gridworld": {"actuators": 3},
    "switches": {"count": 6},
}


@functools.cache
def purchase_log():
    """Of nine items, by customers who each want the same five again and again."""
    path = Path(tempfile.mkdtemp()) / "log.csv"
    rows = [
        f"{user},2026-01-01 10:00:{moment:02},{(user * moment + user) % 9},{1 + user % 9}"
        for user in range(40)
        for moment in range(12)
    ]
    path.write_text("\n".join(["user,ts,item,price", *rows]))
    return str(path)


@functools.cache
def sentences(environment):
    """Settings with a few sentences, and no pre-trained model."""
    path = Path(tempfile.mkdtemp()) / "words.csv"
    if environment == "translation":
        path.write_text("source,target\n" + "".join(f"w{at},v{at}\n" for at in range(8)))
        return {"data": str(path)}
    rows = [f"{at // 5},turn {at % 5} of tea {at * at % 7}\n" for at in range(100)]
    path.write_text("conversation,text\n" + "".join(rows))
    return {"data": str(path), "text_encoder": "words", "interests": 2, "dimensions": 4}


@functools.cache
def pictures():
    """A file of a few random images of two kinds."""
    path = Path(tempfile.mkdtemp()) / "images.npz"
    images = np.random.default_rng(0).random((10, 16, 16), np.float32)
    np.savez(path, images=images, labels=np.arange(10) % 2)
    return str(path)


def small(environment, method, algorithm, *, env=None, **sections):
    if env is None:
        options = SMALL.get(environment, {})
        if environment == "recommender":
            options = {"data": purchase_log(), "min_purchases": 1}
        if environment == "glimpses":
            options = {"data": pictures(), "stride": 8}
        if environment in ("chatbot", "translation"):
            options = sentences(environment)
        env = envs.configure(environment, **options)
    config = default_config(environment, env, method, algorithm, "tuned")
    hyper = {"updates_per_step": 0.05, "batch_size": 16} if algorithm == "sac" else {}
    parts = {
        "pretrain": {"timesteps": 300, "gradient_steps": 20, "batch_size": 32},
        "hyperparameters": hyper,
        "rollout": {"steps_per_update": 100, "num_envs": 10, "buffer_size": 400},
        "evaluation": {"every": 200, "episodes": 2, "final_episodes": 2},
    }
    for name, changes in sections.items():
        parts[name] = {**parts.get(name, {}), **changes}
    changed = {
        name: dataclasses.replace(getattr(config, name), **change) for name, change in parts.items()
    }
    return dataclasses.replace(config, seeds=2, total_timesteps=700, **changed)


def combinations():
    """All of them; by default every environment with one, and in one all methods.

    What an algorithm sees of a method is whether states and actions are embedded.
    """
    for environment, method, algorithm in itertools.product(ENVIRONMENTS, METHODS, ALGORITHMS):
        usual = (method, algorithm) == ("jsae", "vpg") and environment not in ALIKE
        usual |= (environment, method, algorithm) == ("cart_pole", "none", "ppo")
        one = environment == "gridworld" and (
            method in ("jsae", "ra", "none") or algorithm == "ppo"
        )
        quick = usual or one
        yield pytest.param(environment, method, algorithm, marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize(("environment", "method", "algorithm"), [*combinations()])
def test_all_shapes_fit_together(environment, method, algorithm):
    config = small(environment, method, algorithm)
    env = config.env.build()
    trainer = Trainer(config, env.observation_space, env.action_space)
    trainer.validate()
    assert from_json(as_json(config), "here") == config
    keys = jax.eval_shape(lambda: seed_keys(0, 2))
    state = state_shapes(
        trainer,
        None,
        lambda *begun: jax.eval_shape(jax.vmap(trainer.start, (None, 0, 0, 0)), env, keys, *begun),
    )
    after, measures = jax.eval_shape(
        jax.vmap(trainer.iterate, (None, 0, 0, None, None)), env, state, keys, 0, 1
    )
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), after) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), state
    )
    assert {"actor_loss", "critic_loss", "entropy"} <= set(measures)


RUNS = [
    ("gridworld", "ra", "ppo", {}),
    ("slot_machine", "latent", "vpg", {"online": {"every": 1, "gradient_steps": 2}}),
    ("continuous_gridworld", "dct", "sac", {"decoder": {"kind": "wolpertinger", "k": 3}}),
    (
        "gridworld",
        "jsae",
        "sac",
        {"online": {"every": 2, "gradient_steps": 2, "schedule": "linear"}},
    ),
    ("gridworld", "jsae", "ppo", {"decoder": {"kind": "softmax"}}),
    ("gridworld", "none", "sac", {}),
    ("gridworld", "random", "vpg", {}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "method", "algorithm", "sections"), RUNS)
def test_runs_to_the_end(tmp_path, environment, method, algorithm, sections):
    folder = train(small(environment, method, algorithm, **sections), tmp_path / "run")
    assert np.isfinite(folder.summary()["final_return_mean"])


@pytest.mark.parametrize(
    ("method", "algorithm", "sections", "reason"),
    [
        ("jsae", "vpg", {"decoder": {"kind": "wolpertinger"}}, r"decoder\.kind wolpertinger .*vpg"),
        ("jsae", "sac", {"decoder": {"kind": "softmax"}}, r"decoder\.kind softmax .*got sac"),
        ("none", "vpg", {"decoder": {"kind": "softmax"}}, r"decoder\.kind softmax .*method none"),
        ("none", "vpg", {"online": {"every": 1}}, r"online\.every .*method none"),
        ("random", "vpg", {"online": {"every": 1}}, r"online\.every .*method random.*got 1"),
        ("none", "vpg", {"transfer": {"run": "x"}}, r"transfer\.run .*method none"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(
    tmp_path, method, algorithm, sections, reason
):
    with pytest.raises(EmbrlError, match=reason):
        train(small("gridworld", method, algorithm, **sections), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_objectives_that_need_embedded_states_refuse_raw_ones(tmp_path):
    config = dataclasses.replace(small("gridworld", "ra", "vpg"), objectives={"forward": 1.0})
    with pytest.raises(EmbrlError, match="forward needs embedded states"):
        train(config, tmp_path / "run")


@pytest.mark.slow
def test_a_moving_embedding_is_resumed_to_the_same_result(tmp_path):
    # With VPG: tests/training/test_naming.py.
    config = small("gridworld", "jsae", "sac", online={"every": 1, "gradient_steps": 2})
    whole = train(config, tmp_path / "whole")

    def interrupt(progress):
        if progress.stage == "training":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", on_progress=interrupt, save_every=0.0)
    cut = train(config, tmp_path / "cut", resume=True)
    assert cut.metrics().keys() == whole.metrics().keys()
    for name, column in whole.metrics().items():
        np.testing.assert_array_equal(cut.metrics()[name], column, err_msg=name)
    assert whole.metrics()["g_drift"][-1] > 0.0


@pytest.mark.slow
def test_an_embedding_and_policy_are_carried_over_to_more_actions(tmp_path):
    train(small("gridworld", "jsae", "vpg"), tmp_path / "source")
    more = envs.configure("gridworld", actuators=4, bins=6)
    transfer = {"run": str(tmp_path / "source"), "keep": "states", "policy": True}
    config = small("gridworld", "jsae", "vpg", env=more, transfer=transfer)
    assert train(config, tmp_path / "target").summary()["actions"] == 16
    both = small("gridworld", "jsae", "vpg", env=more, transfer={**transfer, "keep": "both"})
    with pytest.raises(EmbrlError, match="action space"):
        train(both, tmp_path / "wrong")
    other = envs.configure("gridworld", actuators=3, bins=6, walls="swept")
    config = small("gridworld", "jsae", "vpg", env=other, transfer={"run": transfer["run"]})
    assert train(config, tmp_path / "walls").summary()["timesteps"] <= 700
