import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import embrl
from embrl.training.loop import Progress

pytestmark = pytest.mark.usefixtures("quick")

WORLD: dict[str, Any] = {"actuators": 3, "bins": 10, "step_limit": 20}
SMALL: dict[str, Any] = {
    "settings": "tuned",
    "algorithm": "vpg",
    "seeds": 2,
    "total_timesteps": 1_200,
    "policy": embrl.PolicyConfig(actions="embedded"),
    "pretrain": {"timesteps": 600, "gradient_steps": 100, "batch_size": 64},
    "rollout": {"steps_per_update": 100, "num_envs": 10, "buffer_size": 2_000},
    "evaluation": {"every": 200, "episodes": 5, "final_episodes": 10},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> embrl.Run:
    out = tmp_path_factory.mktemp("api") / "run"
    return embrl.train("gridworld", **WORLD, out=out, **SMALL)


def test_importing_embrl_loads_no_jax():
    code = "import sys, embrl; assert not {'jax', 'equinox', 'gymnasium'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_can_be_completed():
    assert {*embrl.__all__, "__version__"} <= set(dir(embrl))


def test_a_run_says_what_came_out(run, tiny):
    assert run.config == tiny()  # which others train, too, so that its programs are there
    assert run.summary["seeds"] == 2
    assert run.summary["timesteps"] == 1_200
    assert set(run.metrics["seed"]) == {0, 1}


def test_what_a_run_holds_is_printed_in_a_line(run):
    assert repr(run.policy()) == "Policy(Discrete(100) -> Discrete(8))"
    assert repr(run.embedding()) == "Embedding(jsae on gridworld, states in 8, 8 actions in 2)"


def test_a_loaded_policy_acts_like_the_trained_one(run):
    again = embrl.load(run.folder.path).policy(seed=1)
    cells = np.arange(100)
    expected = run.policy(seed=1).act(cells, seed=3)
    np.testing.assert_array_equal(again.act(cells, seed=3), expected)
    assert not np.array_equal(run.policy(seed=0).act(cells, seed=3), expected)


def test_a_policy_is_f_of_pi_i_of_phi(run):
    policy, embedding = run.policy(), run.embedding()
    x = policy.overall.phi(np.arange(100))
    e = np.asarray(policy.overall.actor.mode(x), np.float64)
    distance = ((e[:, None] - np.asarray(embedding.model.g.table, np.float64)) ** 2).sum(-1)
    np.testing.assert_array_equal(
        policy.act(np.arange(100), deterministic=True), distance.argmin(1)
    )


def test_one_observation_gives_one_int(run):
    action = run.policy().act(5)
    assert isinstance(action, int)
    assert 0 <= action < 8


def test_a_mask_is_kept_to(run):
    allowed = np.zeros(8, bool)
    allowed[[2, 5]] = True
    actions = run.policy().act(np.arange(100), mask=allowed)
    assert set(actions.tolist()) <= {2, 5}
    each = np.eye(8, dtype=bool)[np.arange(100) % 8]
    np.testing.assert_array_equal(run.policy().act(np.arange(100), mask=each), np.arange(100) % 8)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (100, r"observation 100 is not in Discrete\(100\)"),
        ([3, -1], r"observation -1 at \[1\] is not in"),
        (0.5, "must be integers, got float64"),
    ],
)
def test_an_observation_outside_the_space_is_named(run, observation, message):
    with pytest.raises(embrl.EmbrlError, match=message):
        run.policy().act(observation)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones(7, bool), r"mask must be .*\[8\], got shape \[7\] of bool"),
        (np.array(["yes"] * 8), r"mask must be .*\[8\], got shape \[8\] of <U3"),
        (np.zeros(8, bool), "allows no action"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(run, mask, message):
    with pytest.raises(embrl.EmbrlError, match=message):
        run.policy().act(0, mask=mask)


def test_wrong_names_offer_the_nearest(run, tmp_path):
    with pytest.raises(embrl.EmbrlError, match="did you mean actuators"):
        embrl.make("gridworld", actuator=9)
    with pytest.raises(embrl.EmbrlError, match="option of gridworld 'models'"):
        embrl.train("gridworld", out=tmp_path / "run", models={})
    with pytest.raises(embrl.EmbrlError, match="did you mean state_dim"):
        embrl.train("gridworld", out=tmp_path / "run", embedding={"state_dims": 1})
    with pytest.raises(embrl.EmbrlError, match=r"seed of .* must be in 0 to 1, got 2"):
        run.policy(seed=2)
    with pytest.raises(embrl.EmbrlError, match="must be a folder that embrl wrote"):
        embrl.load(tmp_path)


def test_progress_is_reported_from_both_stages(tmp_path):
    seen: list[Progress] = []
    embrl.train(
        "gridworld",
        **WORLD,
        out=tmp_path / "run",
        **SMALL,
        on_progress=seen.append,
    )
    assert [step.stage for step in seen] == ["pre-training"] * 3 + ["training"] * 3
    assert seen[-1].done == seen[-1].total == 1_200


def test_unknown_settings_are_refused(tmp_path):
    with pytest.raises(embrl.EmbrlError, match="unknown settings 'papers': did you mean paper"):
        embrl.train("gridworld", out=tmp_path / "run", settings="papers")  # type: ignore[arg-type]
