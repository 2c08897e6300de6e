"""Policies that are trained in an embedding which was fitted before."""

from typing import Any

import numpy as np
import pytest
from small_fits import WORLD

import embrl
from embrl.core.errors import EmbrlError

TINY: dict[str, Any] = {
    "rollout": {"num_envs": 10, "steps_per_update": 100, "buffer_size": 2_000},
    "evaluation": {"every": 200, "episodes": 5, "final_episodes": 5},
}


@pytest.fixture
def folder(gridworld_embedding, tmp_path):
    gridworld_embedding.save(tmp_path / "embedding")
    return str(tmp_path / "embedding")


def train(folder: str, out: Any, **changes: Any) -> embrl.Run:
    arguments: dict[str, Any] = {"seeds": 2, "total_timesteps": 200, "out": out, **WORLD, **changes}
    sections = {
        "settings": "tuned",
        "algorithm": "vpg",
        **TINY,
        "transfer": {"run": folder},
        **arguments,
    }
    return embrl.train("gridworld", **{**sections, **arguments})


def test_a_run_begins_with_it_and_spends_nothing_on_it(gridworld_embedding, folder, tmp_path):
    run = train(folder, tmp_path / "run")
    for seed in (0, 1):
        embedding = run.embedding(seed)
        np.testing.assert_array_equal(embedding.table, gridworld_embedding.table)
    assert run.summary["timesteps"] == 200
    assert run.metrics["timesteps"].tolist() == [0, 0, 200, 200]
    # Monitoring compares with what the fit saw.
    assert np.isfinite(run.metrics["reference_loss"][-2:]).all()
    assert (run.metrics["phi_drift"][-2:] == 0.0).all()
    # The folder of a run is whole without the embedding's.
    assert 0 <= run.policy(1).act(3, seed=0) < 8


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"actuators": 4}, "the action space of .* it has 8 values, and must have 16"),
        ({"bins": 12}, "the observation space of .* it has 100 values, and must have 144"),
        ({"method": "dct"}, "has method jsae, this run dct"),
        (
            {"embedding": {"state_dim": 3}},
            r"embedding\.state_dim must be 8, .*got 3",
        ),
        (
            {"objectives": {"forward": 1.0, "reward": 1.0}},
            "has objectives forward, this run forward, reward",
        ),
    ],
)
def test_what_does_not_fit_is_said(folder, tmp_path, changes, said):
    with pytest.raises(EmbrlError, match=said) as error:
        train(folder, tmp_path / "run", **changes)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()  # the same command, fixed, needs no --resume


def test_an_embedding_has_no_policy_to_take_over(folder, tmp_path):
    with pytest.raises(EmbrlError, match=r"transfer\.policy needs a run"):
        train(folder, tmp_path / "run", transfer={"run": folder, "policy": True})
