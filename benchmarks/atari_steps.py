"""Training on an Atari game, against ale-py's vector environment with random actions.

    taskset -c 1 python -m benchmarks.atari_steps

Rates are per second of processor time, in turn in one process, so that other work on the core
changes neither side.
"""

import argparse
import importlib
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import host_training
from embrl import envs
from embrl.config.defaults import default_config
from embrl.config.run import RunConfig
from embrl.config.settings_by_name import replaced
from embrl.core.runtime import prepare_jax
from embrl.envs.gym import HostEnvironment
from embrl.training.hosted_backend import HostedBackend
from embrl.training.replicas import Replicas
from embrl.training.trainer import Trainer

GAME = "ALE/Freeway-v5"
STEPS, REPETITIONS = 100, 5
"""Steps of the bare simulator in one repetition, and repetitions, of which the median counts."""
PPO = {
    "policy.hidden": (64, 64),
    "rollout.num_envs": 16,
    "rollout.steps_per_update": 2048,
    "hyperparameters.update_epochs": 4,
    "hyperparameters.critic_epochs": 4,
    "hyperparameters.num_minibatches": 8,
}
JSAE: dict[str, Any] = {"pretrain.timesteps": 2048, "policy.inputs": "embedding"}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {"none": ("none", {}), "jsae": ("jsae", JSAE)}


def configured(arm: str, side: int) -> RunConfig:
    """Return the configuration of a method, for pictures of `side` x `side`."""
    env = envs.configure(GAME, vector="ale", kwargs={"img_height": side, "img_width": side})
    method, settings = ARMS[arm]
    return replaced(default_config(GAME, env, method, "ppo"), PPO | settings)


def rate(function: Callable[[], object], events: int) -> float:
    """Return events per second of processor time, of all threads."""
    start = time.process_time()
    function()
    return events / (time.process_time() - start)


def measure(arm: str, side: int) -> tuple[float, float, float]:
    """Return steps per second of training and of the bare simulator, and the median ratio."""
    ale_py: Any = importlib.import_module("ale_py")
    config = configured(arm, side)
    env = config.env.build()
    assert isinstance(env, HostEnvironment)
    replicas = Replicas(Trainer(config, env.observation_space, env.action_space))
    backend = HostedBackend(replicas, env)
    count = config.rollout.num_envs
    bare = ale_py.AtariVectorEnv(
        "freeway", count, num_threads=1, img_height=side, img_width=side,
        repeat_action_probability=0.25,
    )  # fmt: skip
    bare.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 3, (STEPS, count))
    with mock.patch.object(host_training, "UPDATES", 1):
        train = host_training.updates(replicas, backend)
        train()
        pairs = [
            (
                rate(train, config.rollout.steps_per_update),
                rate(lambda: [bare.step(each) for each in actions], STEPS * count),
            )
            for _ in range(REPETITIONS)
        ]
    backend.close()
    ours, theirs = zip(*pairs, strict=True)
    ratios = [one / other for one, other in pairs]
    return statistics.median(ours), statistics.median(theirs), statistics.median(ratios)


def main() -> None:
    """Print a row for each arm and size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--sides", nargs="+", type=int, default=[42, 84])
    given = parser.parse_args()
    prepare_jax()
    print("| arm | pictures | training | simulator alone | ratio |\n|---|---|---|---|---|")
    for side, arm in itertools.product(given.sides, given.arms):
        ours, theirs, ratio = measure(arm, side)
        print(
            f"| {arm} | {side} x {side} | {ours:,.0f} | {theirs:,.0f} | {ratio:.0%} |", flush=True
        )


if __name__ == "__main__":
    main()
