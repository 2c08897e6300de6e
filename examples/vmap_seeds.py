"""Train 16 seeds side by side in one compiled program, without writing to the disk.

python examples/vmap_seeds.py [TIMESTEPS]

`embrl.train` does the same with checkpoints and figures. `Trainer.train` is a pure function of a
random key, to be combined with JAX's transformations.
"""

import dataclasses
import sys

import jax
import numpy as np

from embrl import envs
from embrl.config.defaults import default_config
from embrl.config.settings_by_name import replaced
from embrl.training.replicas import seed_keys
from embrl.training.trainer import Trainer

SEEDS = 16


def main(timesteps: int, seeds: int = SEEDS) -> np.ndarray:
    """Return the final return of every seed."""
    env_config = envs.configure("gridworld", actuators=4, bins=20, step_limit=50)
    config = default_config(
        "gridworld", env_config, method="jsae", algorithm="ppo", settings="tuned"
    )
    config = dataclasses.replace(config, total_timesteps=timesteps)
    settings = {
        "pretrain.timesteps": 5_000,
        "pretrain.gradient_steps": 300,
        "rollout.steps_per_update": 500,
        "rollout.num_envs": 10,
        "evaluation.every": 2_500,
        "evaluation.final_episodes": 20,
    }
    trainer = Trainer.of(replaced(config, settings), env_config.build())

    keys = seed_keys(seed=0, seeds=seeds)
    _, metrics = jax.vmap(jax.jit(trainer.train))(keys)

    returns = np.asarray(metrics["return_mean"])  # [seeds, evaluations]
    means, stds = returns.mean(axis=0), returns.std(axis=0, ddof=1)
    intervals = 1.96 * stds / np.sqrt(seeds)
    print("timesteps  mean return of the seeds, 95 % interval")
    for t, mean, interval in zip(metrics["timesteps"][0], means, intervals, strict=True):
        print(f"{t:9,}  {mean:6.3f} +- {interval:.3f}")
    return returns[:, -1]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
