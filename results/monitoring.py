"""The figures of docs/monitoring.md: what monitoring reports if the environment changes, or not.

    python results/monitoring.py METHOD CHANGE [--total-timesteps N] [--seed S] [--online-every N]

CHANGE: unchanged, mirrored, shifted, turned. It happens between pre-training and the first update.
"""

import argparse
import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from embrl.config.defaults import default_config
from embrl.core.runtime import prepare_jax
from embrl.embedding.monitor import MEASURES, embedding_warnings
from embrl.envs.gridworld import Gridworld, GridworldConfig
from embrl.training.replicas import over_replicas, seed_keys
from embrl.training.trainer import Trainer

SEEDS = 8
WALLS = GridworldConfig(actuators=9)
OBSTACLES = {
    "mirrored": ((0.5, 0.375, 1.0, 0.4), (0.475, 0.375, 0.5, 0.75)),
    "shifted": ((0.0, 0.275, 0.5, 0.3), (0.6, 0.275, 0.625, 0.65)),
}


def changed(change: str) -> Gridworld:
    """Return the environment after the change."""
    env = dataclasses.replace(WALLS, obstacles=OBSTACLES.get(change, WALLS.obstacles)).build()
    if change == "turned":
        x, y = env.motions.T
        env = eqx.tree_at(lambda e: e.motions, env, jnp.stack([-y, x], axis=1))
    return env


def main() -> None:
    """Print the measures of monitoring at each evaluation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("method")
    parser.add_argument("change", choices=["unchanged", "turned", *OBSTACLES])
    parser.add_argument("--total-timesteps", type=int, default=150_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--online-every", type=int, default=0)
    given = parser.parse_args()
    prepare_jax()
    config = default_config(
        "gridworld", WALLS, given.method, "vpg", "tuned", total_timesteps=1_000_000
    )
    config = dataclasses.replace(
        config,
        total_timesteps=given.total_timesteps,
        seed=given.seed,
        seeds=SEEDS,
        online=dataclasses.replace(config.online, every=given.online_every),
    )
    before, after = WALLS.build(), changed(given.change)
    trainer = Trainer(config, before.observation_space, before.action_space)
    keys = seed_keys(config.seed, SEEDS)

    def pretrain(env, key):
        transitions = trainer.collect(env, key)
        train, _ = trainer.split(transitions)
        state = trainer.new_model(key)
        if config.objectives:
            state, _ = trainer.fit(state, train, key, jnp.arange(config.pretrain.gradient_steps))
        return trainer.new_agent(key, state.model), transitions

    agent, transitions = over_replicas(pretrain, SEEDS, shared=(0,))(before, keys)
    state = over_replicas(trainer.start, SEEDS, shared=(0,))(after, keys, agent, transitions)
    improve = over_replicas(trainer.iterate, SEEDS, shared=(0, 3, 4))
    evaluate = over_replicas(trainer.evaluate, SEEDS, shared=(0, 3, 4))
    chunk = config.evaluation.every // config.rollout.steps_per_update
    print("timesteps return | mean over seeds of", ", ".join(MEASURES))
    for done in range(0, trainer.schedule.num_updates - chunk + 1, chunk):
        state, found = improve(after, state, keys, jnp.int32(done), jnp.int32(chunk))
        played = evaluate(after, state, keys, jnp.int32(done + chunk), jnp.int32(1))
        found = {name: np.asarray(found[name]) for name in MEASURES if name in found}
        seeds = [{name: float(v[at]) for name, v in found.items()} for at in range(SEEDS)]
        timesteps = trainer.schedule.timesteps(done + chunk)
        means = " ".join(f"{value.mean():.4f}" for value in found.values())
        mean = played["return_mean"].mean()
        print(f"{timesteps:,} {mean:.2f} | {means} | {embedding_warnings(seeds)}")


if __name__ == "__main__":
    main()
