"""Environments of sb3-contrib's kind, which raise on actions that their masks exclude."""

from typing import Any

import numpy as np
import pytest

import embrl

pytestmark = pytest.mark.usefixtures("quick")

SMALL: dict[str, Any] = {
    "seeds": 1,
    "total_timesteps": 1_000,
    "pretrain": {"gradient_steps": 20},
    "evaluation": {"episodes": 5, "final_episodes": 5},
}
STEPS = 20

KINDS: dict[str, dict[str, Any]] = {
    "InvalidActionEnvDiscrete": {"dim": 20, "n_invalid_actions": 10},
    "InvalidActionEnvMultiDiscrete": {"dims": [5, 5], "n_invalid_actions": 4},
    "InvalidActionEnvMultiBinary": {"dims": 5, "n_invalid_actions": 3},
}


def maker(kind: str) -> Any:
    contrib = pytest.importorskip("sb3_contrib.common.envs", reason="pip install sb3-contrib")

    def make() -> Any:
        return getattr(contrib, kind)(ep_length=STEPS, **KINDS[kind])

    return make


@pytest.mark.parametrize(
    "kind",
    [
        "InvalidActionEnvDiscrete",
        pytest.param("InvalidActionEnvMultiDiscrete", marks=pytest.mark.slow),
        pytest.param("InvalidActionEnvMultiBinary", marks=pytest.mark.slow),
    ],
)
def test_its_environments_are_trained_in_and_wrapped(kind):
    make = maker(kind)
    run = embrl.train(make, **SMALL)  # an action that is excluded raises
    assert run.evaluate(5).lengths.tolist() == [STEPS] * 5
    policy, env = run.policy(environment=make), make()
    seen, _ = env.reset()
    for _ in range(STEPS):
        action, _ = policy.predict(seen, action_masks=env.action_masks())
        seen, *_ = env.step(action)
    wrapped = embrl.wrap(make(), run.embedding())
    wrapped.reset(seed=0)
    for _ in range(STEPS):
        wrapped.step(wrapped.action_space.sample())


@pytest.mark.parametrize("kind", KINDS)
def test_its_masks_are_read_in_its_form(kind):
    from embrl.envs.gym import HostEnvironment

    make = maker(kind)
    env = HostEnvironment.of(make)
    assert env.masked
    rng = np.random.default_rng(0)
    with env.open(3, 0) as envs:
        for _ in range(2 * STEPS + 1):
            assert envs.masks is not None
            assert not envs.masks.all()
            chosen = [rng.choice(np.flatnonzero(mask)) for mask in envs.masks]
            envs.step(np.array(chosen))


def test_its_evaluation_with_masks_takes_our_policies():
    """`evaluate_policy` of MaskablePPO asks the environment, and passes the masks on."""
    evaluation = pytest.importorskip("sb3_contrib.common.maskable.evaluation")
    monitor = pytest.importorskip("stable_baselines3.common.monitor")
    make = maker("InvalidActionEnvDiscrete")
    run = embrl.train(make, **SMALL, method="none")
    lengths = evaluation.evaluate_policy(
        run.policy(environment=make),
        monitor.Monitor(make()),
        n_eval_episodes=3,
        return_episode_rewards=True,
        warn=False,
    )[1]
    assert lengths == [STEPS] * 3
