"""Updates of ten seeds with JSAE: against one seed after another, and by algorithm."""

import dataclasses
from collections.abc import Callable, Iterator

import jax

from benchmarks.timing import Row, compare
from embrl.algorithms import ALGORITHMS
from embrl.config.defaults import default_config
from embrl.envs.gridworld import GridworldConfig
from embrl.training.backend import CompiledBackend
from embrl.training.replicas import Replicas
from embrl.training.trainer import Trainer

SEEDS = 10


def run() -> Iterator[Row]:
    """Yield timesteps per second."""
    together, timesteps = updates("vpg", SEEDS, count=20)
    alone, _ = updates("vpg", 1, count=20)
    yield compare(
        "JSAE + VPG timesteps, 10 seeds",
        together,
        timesteps,
        "one seed at a time",
        lambda: [alone() for _ in range(SEEDS)],
        timesteps,
    )
    for seeds in (2, 3, 4, 5, 7, 8, 10, 16, 64):
        several, taken = updates("ppo", seeds, count=10)
        one, its = updates("ppo", 1, count=10)
        yield compare(f"JSAE + PPO timesteps, {seeds} seeds", several, taken, "one seed", one, its)
    for algorithm in ALGORITHMS:
        if algorithm == "vpg":
            continue
        # SAC's updates take long: a few are enough.
        other, fewer = updates(algorithm, SEEDS, count=20 if algorithm == "ppo" else 3)
        yield compare(
            f"JSAE + {algorithm.upper()} timesteps, 10 seeds",
            other,
            fewer,
            "JSAE + VPG",
            together,
            timesteps,
        )


def updates(algorithm: str, seeds: int, *, count: int) -> tuple[Callable[[], object], int]:
    """Return a function that trains for `count` updates with the tuned settings, and its timesteps.

    The timesteps are those of all seeds together. There are 512 actions; random steps fill SAC's
    buffer, and the embedding is untrained, which changes no shape.
    """
    env_config = GridworldConfig()
    config = dataclasses.replace(
        default_config(
            "gridworld", env_config, "jsae", algorithm, "tuned", total_timesteps=1_000_000
        ),
        seeds=seeds,
    )
    env = env_config.build()
    replicas = Replicas(Trainer.of(config, env))
    backend = CompiledBackend(replicas, env)
    models = replicas.over(Trainer.new_model, once=True)(replicas.keys).model
    agents = replicas.over(Trainer.new_agent, once=True)(replicas.keys, models)
    newest = [backend.begin(agents, backend.collect())]

    def train() -> None:
        newest[0], _ = backend.improve(newest[0], 0, count)
        jax.block_until_ready(newest[0])

    return train, count * config.rollout.steps_per_update * seeds
