"""A whole epoch of JSAE + VPG, ten seeds side by side against the same ten one after another."""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Row, compare
from embrl.envs.gridworld import GridworldConfig
from embrl.training.program import Program
from embrl.training.seeds import over_seeds, seed_keys
from embrl.training.settings import default_config

SEEDS, EPOCHS = 10, 20


def run() -> Iterator[Row]:
    env_config = GridworldConfig()
    config = dataclasses.replace(default_config("gridworld", env_config, "jsae"), seeds=SEEDS)
    env = env_config.build()
    program = Program(config, env.observation_space, env.action_space)

    def prepare(seeds: int):
        keys = seed_keys(0, seeds)
        models = over_seeds(program.new_model, seeds, once=True)(keys).model
        agents = over_seeds(program.new_agent, seeds, once=True)(keys, models)
        state = over_seeds(program.start, seeds, shared=(0,), once=True)(env, keys, agents, None)
        improve = over_seeds(program.improve, seeds, shared=(0, 3, 4))
        return lambda: jax.block_until_ready(
            improve(env, state, keys, jnp.int32(0), jnp.int32(EPOCHS))
        )

    together, alone = prepare(SEEDS), prepare(1)
    samples = EPOCHS * config.rollout.epoch
    yield compare(
        "JSAE + VPG samples, 10 seeds",
        together,
        samples * SEEDS,
        "one seed at a time",
        lambda: [alone() for _ in np.arange(SEEDS)],
        samples * SEEDS,
    )
