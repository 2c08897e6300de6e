"""Training on Gymnasium's environments, against the same environments with random actions."""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from embrl import envs
from embrl.training.config import RunConfig
from embrl.training.named import replaced
from embrl.training.runner import Progress, train
from embrl.training.seeds import prepare_jax
from embrl.training.settings import default_config

SEEDS, EPOCHS = 3, 40
RUNS = [
    (name, limit, method, algorithm)
    for name, limit in (("HalfCheetah-v5", 250), ("Ant-v5", 1000))
    for method in ("none", "jsae")
    for algorithm in ("vpg", "ppo")
]


def bare(config: RunConfig, steps: int) -> float:
    """Steps a second of the same number of lanes with random actions."""
    env = config.env.build()
    lanes = SEEDS * config.rollout.lanes
    random = np.random.default_rng(0)
    with env.open(lanes, 0) as opened:  # type: ignore[attr-defined]
        actions = random.uniform(-1, 1, (100, lanes, *env.action_space.shape)).astype(np.float32)  # type: ignore[misc]
        began = time.perf_counter()
        for t in range(steps):
            opened.step(actions[t % 100])
        return steps * lanes / (time.perf_counter() - began)


def trained(config: RunConfig) -> float:
    """Steps a second of training, once everything is compiled; without evaluating."""
    marks: list[tuple[float, int]] = []

    def watch(progress: Progress) -> None:
        if progress.stage == "training":
            marks.append((time.perf_counter(), progress.done))

    with TemporaryDirectory() as folder:
        train(config, Path(folder) / "run", watch=watch)
    (start, first), (end, last) = marks[0], marks[-2]
    return SEEDS * (last - first) / (end - start)


def main() -> None:
    prepare_jax()
    for name, limit, method, algorithm in RUNS:
        if sys.argv[1:] and sys.argv[1] not in (name, algorithm, method):
            continue
        env = envs.configure(name, max_episode_steps=limit)
        algorithm_ = "vpg" if method == "jsae" and "Cheetah" in name else algorithm
        config = default_config(
            name, env, method, algorithm_, "paper" if algorithm == "vpg" else "tuned"
        )
        paper = default_config(name, env, method, "vpg", "paper")
        config = replaced(
            config,
            {
                "seeds": SEEDS,
                "rollout.epoch": paper.rollout.epoch,
                "rollout.lanes": paper.rollout.lanes,
                "policy.hidden": (128, 128),
                "samples": EPOCHS * paper.rollout.epoch + (6000 if method == "jsae" else 0),
                "fit.samples": 6000,
                "evaluation.every": 4 * paper.rollout.epoch,
                "evaluation.episodes": 1,
                "evaluation.final_episodes": 1,
            },
        )
        rates = [bare(config, 1000), trained(config), bare(config, 1000)]
        base = (rates[0] + rates[2]) / 2
        print(
            f"{name} {method} {algorithm}: {rates[1]:,.0f} of {base:,.0f} a second: {rates[1] / base:.2f}",
            flush=True,
        )


main()
