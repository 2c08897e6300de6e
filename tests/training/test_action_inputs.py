"""Runs whose actions have features, and runs in which some are closed."""

import dataclasses
import json
import re
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import embrl
from embrl.algorithms.actors import GaussianActor
from embrl.algorithms.policy import OverallPolicy
from embrl.config.settings_by_name import replaced
from embrl.core.errors import EmbrlError
from embrl.data.rollout import random_actions
from embrl.decoding.nearest import NearestAction
from embrl.embedding.encoders import ActionEncoder, RawStates
from embrl.envs.gridworld import GridworldConfig
from embrl.storage.run_folder import RunFolder
from embrl.training import action_inputs
from embrl.training.loop import train

pytestmark = pytest.mark.usefixtures("quick")

BITS = np.array([[int(bit) for bit in f"{number:03b}"] for number in range(8)], np.float32)
CLOSED = np.array([6, 1])


def config_of(tiny, folder, **changes):
    """A tiny run whose actions have features from a file, and two of which are closed."""
    np.save(folder / "features.npy", 100.0 * BITS - 7.0)
    np.save(folder / "closed.npy", CLOSED)
    files = {
        "embedding.action_features": str(folder / "features.npy"),
        "rollout.excluded_actions": str(folder / "closed.npy"),
    }
    return replaced(tiny(), {**files, **changes})


@pytest.fixture(scope="module")
def done(tiny, tmp_path_factory):
    """A run to the end, whose files are gone by now."""
    folder = tmp_path_factory.mktemp("features")
    found = train(config_of(tiny, folder, **{"embedding.action_rows": True}), folder / "run")
    (folder / "features.npy").unlink()
    (folder / "closed.npy").unlink()
    return found


def policy_of(run, seed=0) -> Any:
    return embrl.load(run.path).policy(seed)


def outcome(folder):
    return [
        (folder.path / "metrics.csv").read_bytes(),
        next(folder.checkpoint.glob("*/state.safetensors")).read_bytes(),
    ]


def test_the_gridworld_knows_its_actuators():
    np.testing.assert_array_equal(GridworldConfig(actuators=3).build().action_features(), BITS)


def test_closed_actions_are_never_drawn():
    allowed = np.array([True, False, True, False, True])
    drawn = np.asarray(random_actions(Discrete(5), jax.random.key(0), (3000,), allowed))
    counts = np.bincount(drawn, minlength=5)
    np.testing.assert_array_equal(counts > 0, allowed)
    assert counts[allowed].min() > 900


def test_f_never_returns_what_is_not_allowed():
    actor = GaussianActor(1, 1, (), std=0.1, bounded=False, key=jax.random.key(0))
    table = jnp.array([[0.0], [0.01], [0.9]])
    allowed = np.array([False, True, True])
    policy: Any = OverallPolicy(
        lambda s: s, actor, NearestAction(), table, None, jnp.array(allowed)
    )
    at = np.zeros((1,), np.float32)
    noise = (np.zeros(1, np.float32), None)
    assert (int(policy.mode(at)), int(policy.act(at, noise)[0])) == (1, 1)
    mask = np.array([True, False, True])
    assert (int(policy.mode(at, mask)), int(policy.act(at, noise, mask)[0])) == (2, 2)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (None, [0, 1, 1, 0, 0]),
        ([1, 1, 0, 1, 1], [0, 1, 0, 0, 0]),  # tried and not excluded
        ([1, 0, 0, 1, 1], [0, 0, 0, 1, 0]),  # not tried, but it is all that is left
        ([1, 0, 0, 0, 1], [0, 1, 1, 0, 0]),  # excluded: the mask cannot be kept to
    ],
)
def test_what_was_not_tried_is_chosen_only_if_a_mask_leaves_nothing_else(mask, expected):
    actor = GaussianActor(1, 1, (), std=0.1, bounded=False, key=jax.random.key(0))
    allowed, tried = (
        jnp.array([False, True, True, True, False]),
        jnp.array([True] * 3 + [False] * 2),
    )
    policy: Any = OverallPolicy(
        lambda s: s, actor, NearestAction(), jnp.zeros((5, 1)), None, allowed, tried
    )
    given = None if mask is None else jnp.array(mask, bool)
    np.testing.assert_array_equal(policy.allowed_by(given), np.array(expected, bool))


def test_a_run_needs_its_folder_alone(done):
    policy = policy_of(done, 1)
    actions = np.concatenate([policy.act(np.arange(100), seed=seed) for seed in range(20)])
    assert not np.isin(actions, CLOSED).any()
    assert len(np.unique(actions)) > 1
    assert policy.g.columns == 3
    np.testing.assert_array_equal(policy.g.features(), 100.0 * BITS - 7.0)
    np.testing.assert_array_equal(policy.overall.table, policy.g.table)
    with pytest.raises(EmbrlError, match=r"mask.*no action|mask.*at least one"):
        policy.act(3, mask=np.isin(np.arange(8), CLOSED))


def test_features_are_stored_once(done):
    assert np.load(done.path / action_inputs.FEATURES).shape == (8, 3)
    np.testing.assert_array_equal(np.load(done.path / action_inputs.EXCLUDED), np.sort(CLOSED))
    manifest = next(done.checkpoint.glob("*/state.safetensors"))
    assert b".features" not in manifest.read_bytes()


@pytest.mark.parametrize(
    "stage", ["training", pytest.param("pre-training", marks=pytest.mark.slow)]
)
def test_a_run_goes_on_to_the_same_result(tiny, tmp_path, done, stage):
    # Of files at the same places as before, for a run of the same programs.
    place = done.path.parent
    config = config_of(tiny, place, **{"embedding.action_rows": True})

    def interrupt(progress):
        if progress.stage == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", on_progress=interrupt, save_every=0.0)
    np.save(place / "features.npy", np.zeros((8, 3)))  # no longer asked
    (place / "closed.npy").unlink()
    assert outcome(train(config, tmp_path / "run", resume=True)) == outcome(done)
    (place / "features.npy").unlink()


@pytest.mark.slow
def test_the_environment_has_the_same_features_as_the_file(tiny, tmp_path):
    changes = {"embedding.action_features": "env", "total_timesteps": 800}
    by_env = train(config_of(tiny, tmp_path, **changes), tmp_path / "a")
    np.save(tmp_path / "bits.npy", BITS)
    changes["embedding.action_features"] = str(tmp_path / "bits.npy")
    by_file = train(config_of(tiny, tmp_path, **changes), tmp_path / "b")
    assert outcome(by_env) == outcome(by_file)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": "sac", "sac.updates_per_step": 0.1, "online.every": 2},
        {"decoder.kind": "softmax"},
    ],
)
def test_closed_actions_with_other_algorithms(tiny, tmp_path, changes):
    config = tiny()
    if changes.pop("algorithm", "") == "sac":
        sac = embrl.config.defaults.default_config("gridworld", config.env, "jsae", "sac", "tuned")
        config = dataclasses.replace(config, algorithm="sac", hyperparameters=sac.hyperparameters)
    np.save(tmp_path / "closed.npy", CLOSED)
    names = {
        "rollout.excluded_actions": str(tmp_path / "closed.npy"),
        "embedding.action_features": "env",
    }
    run = train(replaced(config, {**names, **changes}), tmp_path / "run")
    assert np.isfinite(run.metrics()["return_mean"]).all()
    drawn = embrl.load(run.path).policy().act(np.arange(100), seed=0)
    assert not np.isin(drawn, CLOSED).any()


def test_new_actions_are_chosen_where_they_lie(done):
    policy = policy_of(done)
    more = policy.with_actions(100.0 * BITS[CLOSED] - 7.0)
    assert more.action_space == Discrete(10)
    assert policy.action_space == Discrete(8)
    # The same places, but for the rows of their own that closed actions kept at 0.
    np.testing.assert_allclose(
        more.overall.table[8:], np.asarray(policy.g.table)[CLOSED], atol=1e-6
    )
    only = more.without(range(8))
    assert set(only.act(np.arange(100), seed=0)) <= {8, 9}
    mask = np.arange(10) == 9
    assert set(more.act(np.arange(100), mask=mask, seed=0)) == {9}
    again = more.with_actions(np.zeros((3, 3)))
    assert again.overall.allowed.tolist() == [i not in CLOSED for i in range(8)] + [True] * 5


def test_what_cannot_be_added_or_removed(done):
    policy = policy_of(done)
    with pytest.raises(EmbrlError, match=r"3.*2|2.*3"):
        policy.with_actions(np.zeros((1, 2)))
    with pytest.raises(EmbrlError, match=r"0 to 7.*8|8.*0 to 7"):
        policy.without([8])
    with pytest.raises(EmbrlError, match="of 8 actions"):
        policy.without([i for i in range(8) if i not in CLOSED])


def test_policies_without_features():
    phi = RawStates(Box(-1.0, 1.0, (1,)))
    actor = GaussianActor(1, 2, (), std=0.1, bounded=False, key=jax.random.key(0))
    g = ActionEncoder(4, 2, key=jax.random.key(0))
    overall = OverallPolicy(phi, actor, NearestAction(), g.table)
    plain = embrl.Policy(overall, Box(-1.0, 1.0, (1,)), Discrete(4), g=g)
    with pytest.raises(EmbrlError, match=r"embedding\.action[-_]features"):
        plain.with_actions(np.zeros((1, 3)))
    at = np.zeros(1)
    action = plain.act(at, deterministic=True)
    assert plain.without([action]).act(at, deterministic=True) != action
    raw = embrl.Policy(overall, Box(-1.0, 1.0, (1,)), Discrete(4))
    with pytest.raises(EmbrlError, match="embedding of Discrete actions"):
        raw.without([1])


class Nothing:
    action_space = Discrete(8)

    def action_features(self):
        return None


def bad(tiny, tmp_path, what, **changes):
    """What `gathered` says of a file with this in it."""
    path = tmp_path / "bad.npy"
    if what is not None:
        np.save(path, what, allow_pickle=True)
    config = replaced(tiny(changes.pop("method", "jsae")), {k: str(path) for k in changes["names"]})
    with pytest.raises(EmbrlError) as error:
        action_inputs.ActionInputs.gather(
            config, changes.get("env", Nothing()), RunFolder(tmp_path / "run")
        )
    assert "\n" not in str(error.value)
    return str(error.value)


FEATURES = ("embedding.action_features",)


@pytest.mark.parametrize(
    ("what", "names", "message"),
    [
        (None, FEATURES, "does not exist"),
        (np.zeros((7, 2)), FEATURES, r"action_features.*(7 rows|8 actions, got 7)"),
        (np.array([{"a": 1}], object), FEATURES, r"not a complete \.npy file of numbers"),
        (
            np.full((8, 1), np.nan),
            FEATURES,
            r"action_features.*(nan.* row 0, column 0|row 0, column 0 is nan)",
        ),
        (
            np.array([8]),
            ("rollout.excluded_actions",),
            r"excluded_actions.*(got 8 at entry 0|entry 0 is 8)",
        ),
        (np.arange(8), ("rollout.excluded_actions",), r"excluded_actions.*of 8 actions"),
        (np.zeros(2), ("rollout.excluded_actions",), r"excluded_actions.*float64\[2\]"),
    ],
)
def test_bad_files(tiny, tmp_path, what, names, message):
    assert re.search(message, bad(tiny, tmp_path, what, names=names))


def test_where_there_is_nothing_to_embed(tiny, tmp_path):
    none = np.array([1])
    said = bad(tiny, tmp_path, none, names=("rollout.excluded_actions",), method="none")
    assert "method none has none" in said
    box: Any = Nothing()
    box.action_space = Box(-1.0, 1.0, (2,))
    assert "needs Discrete actions" in bad(
        tiny, tmp_path, none, names=("rollout.excluded_actions",), env=box
    )
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY\x01\x00")
    assert "not a complete .npy file" in bad(tiny, tmp_path, None, names=FEATURES)
    (tmp_path / "bad.npy").unlink()
    np.savez(tmp_path / "two.npz", a=none)
    shutil.move(tmp_path / "two.npz", tmp_path / "bad.npy")
    assert "holds several arrays" in bad(tiny, tmp_path, None, names=FEATURES)
    config = replaced(tiny(), {"embedding.action_features": "env"})
    with pytest.raises(EmbrlError, match=r"embedding\.action_features must be .*got env"):
        action_inputs.ActionInputs.gather(config, Nothing(), RunFolder(tmp_path / "run"))


def test_a_damaged_copy_is_named(done, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(done.path, folder)
    (folder / action_inputs.FEATURES).unlink()
    with pytest.raises(EmbrlError, match=r"action-features\.npy"):
        embrl.load(folder).policy()


def test_settings_name_the_files(done):
    config = json.loads((done.path / "config.json").read_text())
    assert config["embedding"]["action_features"].endswith("features.npy")
    assert config["rollout"]["excluded_actions"].endswith("closed.npy")
