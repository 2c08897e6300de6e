"""PPO on Cart-Pole, compiled whole, against rejax with the same networks and the same updates."""

import dataclasses
import importlib
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

from benchmarks.timing import Row, compare, installed
from embrl.algorithms.ppo import PPO
from embrl.config.defaults import default_config
from embrl.config.run import RolloutConfig
from embrl.envs.cart_pole import CartPoleConfig
from embrl.training.replicas import over_replicas, seed_keys
from embrl.training.trainer import Trainer

NUM_ENVS, STEPS, EPOCHS, MINIBATCHES = 8, 128, 4, 4
HIDDEN, RATE, GAMMA, TRACE = (64, 64), 3e-4, 0.99, 0.95
UPDATES = 40
TIMESTEPS = UPDATES * NUM_ENVS * STEPS
"""Of each seed in one call."""


def ours(seeds: int) -> Callable[[], object]:
    """Return `UPDATES` updates of that many seeds without an embedding."""
    env_config = CartPoleConfig()
    env = env_config.build()
    config = default_config(
        "cart_pole", env_config, "none", "ppo", "tuned", total_timesteps=TIMESTEPS
    )
    config = dataclasses.replace(
        config,
        seeds=seeds,
        hyperparameters=PPO(
            actor_lr=RATE, critic_lr=RATE, gamma=GAMMA, gae_lambda=TRACE, ent_coef=0.01,
            update_epochs=EPOCHS, critic_epochs=EPOCHS, num_minibatches=MINIBATCHES,
        ),
        policy=dataclasses.replace(config.policy, hidden=HIDDEN, inputs="observation"),
        rollout=RolloutConfig(steps_per_update=NUM_ENVS * STEPS, num_envs=NUM_ENVS),
    )  # fmt: skip
    trainer = Trainer(config, env.observation_space, env.action_space)
    keys = seed_keys(0, seeds)
    agents = over_replicas(lambda key: trainer.new_agent(key, None), seeds, once=True)(keys)
    start = over_replicas(trainer.start, seeds, shared=(0, 3), once=True)
    state = start(env, keys, agents, None)
    improve = over_replicas(trainer.iterate, seeds, shared=(0, 3, 4), one_by_one=True)
    return lambda: jax.block_until_ready(
        improve(env, state, keys, jnp.int32(0), jnp.int32(UPDATES))
    )


def theirs(seeds: int) -> Callable[[], object]:
    """Return as many updates of rejax, without evaluations."""
    algorithm = importlib.import_module("rejax").PPO.create(
        env="CartPole-v1", num_envs=NUM_ENVS, num_steps=STEPS, num_epochs=EPOCHS,
        num_minibatches=MINIBATCHES, learning_rate=RATE, gamma=GAMMA, gae_lambda=TRACE,
        ent_coef=0.01, total_timesteps=TIMESTEPS, eval_freq=TIMESTEPS,
        skip_initial_evaluation=True, normalize_observations=False,
        agent_kwargs={"hidden_layer_sizes": HIDDEN, "activation": "tanh"},
    )  # fmt: skip
    algorithm = algorithm.replace(eval_callback=lambda *_: ())
    train = jax.jit(jax.vmap(algorithm.train))
    keys = jax.random.split(jax.random.key(0), seeds)
    return lambda: jax.block_until_ready(train(keys))


def run() -> Iterator[Row]:
    """Yield timesteps per second, all seeds together."""
    if not installed("rejax"):
        return
    for seeds in (1, 8):
        yield compare(
            f"PPO timesteps on Cart-Pole, {seeds} seed{'s' * (seeds > 1)}", ours(seeds),
            seeds * TIMESTEPS, "rejax", theirs(seeds), seeds * TIMESTEPS,
        )  # fmt: skip
