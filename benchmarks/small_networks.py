"""PPO on Cart-Pole and on the pixels of MinAtar's Breakout, compiled whole, against rejax.

Both have the same networks and take the same steps of training.
"""

import dataclasses
import importlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Row, compare, installed
from embrl.algorithms.ppo import PPO
from embrl.config.defaults import default_config
from embrl.config.run import RolloutConfig
from embrl.core.types import Action, EnvState, Key, Observation, TimeStep
from embrl.envs import Environment
from embrl.envs.cart_pole import CartPoleConfig
from embrl.training.replicas import over_replicas, seed_keys
from embrl.training.trainer import Trainer

RATE, GAMMA, TRACE, ENTROPY = 3e-4, 0.99, 0.95, 0.01
HIDDEN = (64, 64)


class Task(NamedTuple):
    """A name of gymnax, and how to train there."""

    name: str
    num_envs: int
    steps: int
    """Of each environment between updates."""
    epochs: int
    minibatches: int
    updates: int
    """In one call."""

    @property
    def timesteps(self) -> int:
        """Timesteps of each seed in one call."""
        return self.updates * self.num_envs * self.steps


CART_POLE = Task("CartPole-v1", 8, 128, 4, 4, updates=40)
BREAKOUT = Task("Breakout-MinAtar", 64, 128, 4, 8, updates=10)


class Breakout(Environment):
    """Breakout of the gymnax that rejax needs, which `embrl.interop.gymnax` does not take."""

    env: Any = eqx.field(static=True)
    params: Any

    @property
    def observation_space(self) -> gymnasium.Space:
        """Four planes of flags."""
        return gymnasium.spaces.Box(0, 1, (10, 10, 4), np.uint8)

    @property
    def action_space(self) -> gymnasium.Space:
        """Stay, left and right."""
        return gymnasium.spaces.Discrete(3)

    def reset(self, key: Key) -> tuple[EnvState, Observation]:
        """Start an episode."""
        seen, state = self.env.reset_env(key, self.params)
        return state, seen.astype(jnp.uint8)

    def step(self, key: Key, state: EnvState, action: Action) -> tuple[EnvState, TimeStep]:
        """Take one step."""
        seen, state, reward, done, _ = self.env.step_env(key, state, action, self.params)
        late = state.time >= self.params.max_steps_in_episode
        return state, TimeStep(seen.astype(jnp.uint8), reward, done & ~late, late)


def ours(task: Task, seeds: int) -> Callable[[], object]:
    """Return a function that takes the updates of that many seeds, without an embedding."""
    env_config = CartPoleConfig()
    env = env_config.build()
    config = default_config(
        "cart_pole", env_config, "none", "ppo", "tuned", total_timesteps=task.timesteps
    )
    if task is BREAKOUT:
        made, params = importlib.import_module("gymnax").make(task.name)
        env = Breakout(made, params)
        flat = dataclasses.replace(config.embedding, image_layers="flat")
        config = dataclasses.replace(config, embedding=flat)
    config = dataclasses.replace(
        config,
        seeds=seeds,
        hyperparameters=PPO(
            actor_lr=RATE, critic_lr=RATE, gamma=GAMMA, gae_lambda=TRACE, ent_coef=ENTROPY,
            update_epochs=task.epochs, critic_epochs=task.epochs, num_minibatches=task.minibatches,
        ),
        policy=dataclasses.replace(config.policy, hidden=HIDDEN, inputs="observation"),
        rollout=RolloutConfig(
            steps_per_update=task.num_envs * task.steps, num_envs=task.num_envs
        ),
    )  # fmt: skip
    trainer = Trainer(config, env.observation_space, env.action_space)
    keys = seed_keys(0, seeds)
    agents = over_replicas(lambda key: trainer.new_agent(key, None), seeds, once=True)(keys)
    start = over_replicas(trainer.start, seeds, shared=(0, 3), once=True)
    state = start(env, keys, agents, None)
    improve = over_replicas(trainer.iterate, seeds, shared=(0, 3, 4), one_by_one=True)
    return lambda: jax.block_until_ready(
        improve(env, state, keys, jnp.int32(0), jnp.int32(task.updates))
    )


def theirs(task: Task, seeds: int) -> Callable[[], object]:
    """Return the same of rejax, without evaluations."""
    algorithm = importlib.import_module("rejax").PPO.create(
        env=task.name, num_envs=task.num_envs, num_steps=task.steps, num_epochs=task.epochs,
        num_minibatches=task.minibatches, learning_rate=RATE, gamma=GAMMA, gae_lambda=TRACE,
        ent_coef=ENTROPY, total_timesteps=task.timesteps, eval_freq=task.timesteps,
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
    for task, seeds in ((CART_POLE, 1), (CART_POLE, 8), (BREAKOUT, 1), (BREAKOUT, 4)):
        timesteps = seeds * task.timesteps
        yield compare(
            f"PPO timesteps on {task.name}, {seeds} seed{'s' * (seeds > 1)}",
            ours(task, seeds), timesteps, "rejax", theirs(task, seeds), timesteps,
        )  # fmt: skip
