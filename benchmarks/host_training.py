"""Training on Gymnasium's environments, against the same environments with random actions."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.timing import Row
from embrl import envs
from embrl.training.config import RunConfig
from embrl.training.named import replaced
from embrl.training.runner import Progress, train
from embrl.training.settings import default_config

SEEDS, EPOCHS, FIT, STEPS = 3, 24, 6000, 1000
ENVIRONMENTS = ("HalfCheetah-v5", 250), ("Ant-v5", 1000)
"""And the paper's limits of steps."""


def bare(config: RunConfig) -> float:
    """Steps a second of the same number of lanes with random actions."""
    env = config.env.build()
    lanes = SEEDS * config.rollout.lanes
    random = np.random.default_rng(0)
    with env.open(lanes, 0) as opened:  # type: ignore[attr-defined]
        actions = random.uniform(-1, 1, (100, lanes, *env.action_space.shape)).astype(np.float32)  # type: ignore[misc]
        began = time.perf_counter()
        for t in range(STEPS):
            opened.step(actions[t % 100])
        return STEPS * lanes / (time.perf_counter() - began)


def trained(config: RunConfig) -> float:
    """Steps a second of the second half of training: the first compiled everything. Of two
    evaluations of an episode one is in it.
    """
    marks: list[tuple[float, int]] = []

    def watch(progress: Progress) -> None:
        if progress.stage == "training":
            marks.append((time.perf_counter(), progress.done))

    with TemporaryDirectory() as folder:
        train(config, Path(folder) / "run", watch=watch)
    (start, first), (end, last) = marks
    return SEEDS * (last - first) / (end - start)


def cases() -> Iterator[tuple[str, str, RunConfig]]:
    """Environments of both speeds, with the paper's settings of VPG and our PPO's."""
    for (name, limit), vector in itertools.product(ENVIRONMENTS, ("sync", "threads")):
        env = envs.configure(name, max_episode_steps=limit, vector=vector)
        for method, algorithm in itertools.product(("none", "jsae"), ("vpg", "ppo")):
            paper = default_config(name, env, method, "vpg", "paper")
            config = paper if algorithm == "vpg" else default_config(name, env, method, "ppo")
            epoch = config.rollout.epoch
            changes = {
                "seeds": SEEDS,
                "samples": EPOCHS * epoch + (FIT if method == "jsae" else 0),
                "evaluation.every": EPOCHS // 2 * epoch,
                "evaluation.episodes": 1,
                "evaluation.final_episodes": 1,
            }
            if method == "jsae":
                changes["fit.samples"] = FIT
            yield name, f"{method} + {algorithm}, {vector}", replaced(config, changes)


def run(only: str = "") -> Iterator[Row]:
    """Rates with three seeds side by side, beside the same lanes with random actions."""
    for name, what, config in cases():
        if only in f"{name}, {what}":
            before, rate, after = bare(config), trained(config), bare(config)
            yield Row(f"{name}, {what}", rate, "bare simulator", (before + after) / 2)
