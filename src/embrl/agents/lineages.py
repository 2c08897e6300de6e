"""Training runs side by side, and the agents taken from them."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Float, Int

from embrl.agents.architecture import Architecture, Layer
from embrl.config.defaults import FULL_SIZE, default_config
from embrl.config.run import HYPERPARAMETERS, RunConfig
from embrl.config.settings_by_name import replaced, validate_name
from embrl.core.errors import EmbrlError
from embrl.core.spaces import action_count, dimensions, is_continuous
from embrl.core.types import Key
from embrl.envs import EnvConfig, Environment
from embrl.training.kept_programs import kept
from embrl.training.replicas import numbered_keys, over_replicas
from embrl.training.state import TrainState
from embrl.training.trainer import Trainer

RATE = f"{HYPERPARAMETERS}.actor_lr"
"""Setting that differs between lineages."""


@dataclasses.dataclass(frozen=True)
class LineageConfig:
    """Training runs of one environment that differ in seed and learning rate."""

    environment: str
    """Registered name of the environment."""
    env: EnvConfig
    """Settings of the environment."""
    algorithm: str = "ppo"
    """`vpg` or `ppo`, with the hyperparameters of `embrl train --method none`."""
    hidden: tuple[int, ...] = (32, 32)
    """Widths of the hidden layers of the policy, and of its critic, which is discarded."""
    checkpoints: tuple[int, ...] = (0, 1, 12, 48, 96)
    """Updates after which an agent is taken; 0 is before any training."""
    steps_per_update: int = 500
    """Environment steps per update of the policy."""
    num_envs: int = 25
    """Parallel environments in each run; must divide the environment steps per update."""
    learning_rate: tuple[float, float] = (1e-4, 1e-2)
    """Lowest and highest learning rate of the actor, drawn log-uniformly for each run."""
    seed: int = 0
    """Random seed."""


class Lineages:
    """Compiled training runs; number k of a seed is the same run in any block of equal size."""

    def __init__(self, config: LineageConfig, block: int) -> None:
        """Compile the training of `block` lineages at once.

        Raises:
            EmbrlError: a setting is invalid; the message names it.
        """
        self.config, self.block = config, block
        self.env = config.env.build()
        self.architecture = _architecture(config, self.env)
        # Agents see raw observations: a box that needs no scaling replaces the environment's.
        seen = spaces.Box(-1.0, 1.0, (self.architecture.inputs,))
        self.trainer = Trainer(_run_config(config, block), seen, self.env.action_space)
        self.trainer.validate()
        self._start = self._over_lineages(_start, once=True)
        self._improve = self._over_lineages(_improve, shared=(3, 4), donate=(1,))

    @property
    def steps(self) -> Int[np.ndarray, " checkpoints"]:
        """Environment steps that a run has taken at each of its checkpoints."""
        return np.asarray(self.config.checkpoints, np.int64) * self.config.steps_per_update

    def train(self, numbers: Int[np.ndarray, " block"]) -> Float[np.ndarray, "block c size"]:
        """Train the runs with these numbers and return their agents at each of the `c` checkpoints.

        Agents of a diverged run are not finite.
        """
        keys, rates = self.keys(numbers), self.learning_rates(numbers)
        state = self._start(self.env, rates, keys)
        found, done = [], 0
        for epochs in self.config.checkpoints:
            if epochs > done:
                first, count = jnp.int32(done), jnp.int32(epochs - done)
                state = self._improve(self.env, rates, state, keys, first, count)
                done = epochs
            found.append(_weights(self.architecture, state))
        return np.stack(found, axis=1)

    def keys(self, numbers: Int[np.ndarray, " n"]) -> Key:
        """Return the keys of these runs; run k has the key of seed k of `embrl train`."""
        return numbered_keys(self.config.seed, numbers)

    def learning_rates(self, numbers: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the actor's learning rate of each run, from seed and number alone."""
        low, high = np.log(self.config.learning_rate)
        draws = [np.random.default_rng([self.config.seed, int(k)]).random() for k in numbers]
        return np.exp(low + (high - low) * np.asarray(draws)).astype(np.float32)

    def _over_lineages(
        self,
        function: Callable[..., Any],
        shared: tuple[int, ...] = (),
        donate: tuple[int, ...] = (),
        once: bool = False,
    ) -> Callable[..., Any]:
        """Map `function` over lineages; positions do not count the trainer and environment."""
        trainer, block = self.trainer, self.block

        def one(env: Environment, rate: Array, *arguments: Any) -> Any:
            return function(trainer.with_settings({RATE: rate}), env, *arguments)

        def compiled() -> Callable[..., Any]:
            return over_replicas(
                one,
                block,
                shared=(0, *(at + 1 for at in shared)),
                donate=tuple(at + 1 for at in donate),
                once=once,
            )

        return kept(trainer, (function, block), compiled)


def _start(trainer: Trainer, env: Environment, key: Key) -> TrainState:
    return trainer.start(env, key, trainer.new_agent(key, None), None)


def _improve(
    trainer: Trainer, env: Environment, state: TrainState, key: Key, first: Array, count: Array
) -> TrainState:
    return trainer.iterate(env, state, key, first, count)[0]


def _weights(architecture: Architecture, state: TrainState) -> Float[np.ndarray, "block size"]:
    actor: Any = state.agent.learner.actor
    layers = [Layer(layer.weight, layer.bias) for layer in actor.logits.layers]
    return np.asarray(architecture.flat(jax.device_get(layers)))


def _architecture(config: LineageConfig, env: Environment) -> Architecture:
    if not is_continuous(env.observation_space):
        raise EmbrlError(
            f"observations must be vectors (a Box), got {env.observation_space} in "
            f"{config.environment}; choose an environment such as cart_pole"
        )
    inputs, outputs = dimensions(env.observation_space), action_count(env.action_space)
    return Architecture(inputs, config.hidden, outputs)


def _run_config(config: LineageConfig, block: int) -> RunConfig:
    _check(config)
    run = default_config(
        config.environment,
        config.env,
        "none",
        config.algorithm,
        "tuned",
        total_timesteps=FULL_SIZE,
    )
    if run.hyperparameters.off_policy:
        raise EmbrlError(
            f"algorithm must be vpg or ppo, got {config.algorithm}; each lineage would need a "
            "replay buffer of its own"
        )
    validate_name(run, f"{config.algorithm}.actor_lr")
    return replaced(
        run,
        {
            "seeds": block,
            "total_timesteps": max(1, config.checkpoints[-1]) * config.steps_per_update,
            "seed": config.seed,
            "policy.hidden": config.hidden,
            # An agent consists of its weights alone: running statistics must not scale its inputs.
            "policy.normalise": "squash",
            "rollout.steps_per_update": config.steps_per_update,
            "rollout.num_envs": config.num_envs,
            "evaluation.every": config.steps_per_update,
        },
    )


def _check(config: LineageConfig) -> None:
    """Check the settings that `Trainer.validate` does not know."""
    epochs = config.checkpoints
    if not epochs or epochs[0] < 0 or list(epochs) != sorted(set(epochs)):
        raise EmbrlError(
            f"checkpoints must be increasing numbers of updates from 0, got "
            f"{' '.join(map(str, epochs)) or 'none'}"
        )
    low, high = config.learning_rate
    if not 0.0 < low <= high < math.inf:
        raise EmbrlError(f"learning-rate must be 0 < low <= high, got {low:g} {high:g}")
