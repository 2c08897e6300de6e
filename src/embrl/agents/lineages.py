"""A great many training runs side by side, and the agents along their way."""

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
from embrl.config.defaults import default_config
from embrl.config.run import RunConfig
from embrl.config.settings_by_name import replaced, validate_name
from embrl.core.errors import EmbrlError
from embrl.core.spaces import action_count, dimensions, is_continuous
from embrl.core.types import Key
from embrl.envs import EnvConfig, Environment
from embrl.training.replicas import over_replicas
from embrl.training.state import TrainState
from embrl.training.trainer import Trainer

RATE = "hyper.actor_lr"
"""The setting that differs between lineages."""


@dataclasses.dataclass(frozen=True)
class LineageConfig:
    """How agents come to be: training runs of one environment that differ in their seed and in
    their learning rate.
    """

    environment: str
    env: EnvConfig
    algorithm: str = "ppo"
    """vpg or ppo, with the hyperparameters that `embrl train` has without an embedding."""
    hidden: tuple[int, ...] = (32, 32)
    """Widths of the policy's hidden layers; of its critic's too, which is not kept."""
    checkpoints: tuple[int, ...] = (0, 1, 12, 48, 96)
    """Epochs after which an agent is taken; 0 is before any training."""
    epoch: int = 500
    """Samples between two updates of the policy."""
    lanes: int = 25
    """Environments side by side in each run; must divide the epoch."""
    learning_rate: tuple[float, float] = (1e-4, 1e-2)
    """The lowest and the highest of the actor's: log-uniform between them, drawn for each run."""
    seed: int = 0
    """Where all randomness comes from."""


class Lineages:
    """Training runs, compiled: number k of a seed is the same run in any block of the same size."""

    def __init__(self, config: LineageConfig, block: int) -> None:
        """
        Arguments:
            block: how many are trained at once.

        Raises:
            EmbrlError: a setting is wrong; the message names it.
        """
        self.config, self.block = config, block
        self.env = config.env.build()
        self.architecture = _architecture(config, self.env)
        # Agents see observations as they are: a box that needs no scaling stands for theirs.
        seen = spaces.Box(-1.0, 1.0, (self.architecture.inputs,))
        self.trainer = Trainer(_run_config(config, block), seen, self.env.action_space)
        self.trainer.validate()
        self._start = self._over_lineages(_start, once=True)
        self._improve = self._over_lineages(_improve, shared=(3, 4), donate=(1,))

    @property
    def steps(self) -> Int[np.ndarray, " checkpoints"]:
        """Samples that a run has taken when each of its agents is."""
        return np.asarray(self.config.checkpoints, np.int64) * self.config.epoch

    def train(self, numbers: Int[np.ndarray, " block"]) -> Float[np.ndarray, "block c size"]:
        """The agents of the runs with these numbers, `c` checkpoints of each. Where a run has
        diverged they are not finite.
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
        """As `embrl.training.replicas.seed_keys` makes them."""
        key = jax.random.key(self.config.seed)
        return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers.astype(np.uint32))

    def learning_rates(self, numbers: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The actor's, of each of these runs: on the host, from seed and number alone."""
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
        """Positions count without the trainer and the environment."""

        def one(env: Environment, rate: Array, *arguments: Any) -> Any:
            return function(self.trainer.with_settings({RATE: rate}), env, *arguments)

        return over_replicas(
            one,
            self.block,
            shared=(0, *(at + 1 for at in shared)),
            donate=tuple(at + 1 for at in donate),
            once=once,
        )


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
            f"agents observe a vector of numbers (a Box), and {config.environment} has "
            f"{env.observation_space}: choose an environment such as cart_pole"
        )
    inputs, outputs = dimensions(env.observation_space), action_count(env.action_space)
    return Architecture(inputs, config.hidden, outputs)


def _run_config(config: LineageConfig, block: int) -> RunConfig:
    _check(config)
    run = default_config(config.environment, config.env, "none", config.algorithm)
    if run.hyperparameters.off_policy:
        raise EmbrlError(
            f"algorithm is {config.algorithm}: each lineage would need a replay buffer of its "
            "own: choose vpg or ppo"
        )
    validate_name(run, RATE)
    return replaced(
        run,
        {
            "seeds": block,
            "samples": max(1, config.checkpoints[-1]) * config.epoch,
            "seed": config.seed,
            "policy.hidden": config.hidden,
            # An agent is its weights and no more: what it has seen does not scale its inputs.
            "policy.normalise": "squash",
            "rollout.steps_per_update": config.epoch,
            "rollout.num_envs": config.lanes,
            "evaluation.every": config.epoch,
        },
    )


def _check(config: LineageConfig) -> None:
    """What `embrl.training.validation` does not know of."""
    epochs = config.checkpoints
    if not epochs or epochs[0] < 0 or list(epochs) != sorted(set(epochs)):
        raise EmbrlError(
            f"checkpoints are {' '.join(map(str, epochs)) or 'none'}: give one or more numbers of "
            "epochs, 0 or more, each greater than the one before"
        )
    low, high = config.learning_rate
    if not 0.0 < low <= high < math.inf:
        raise EmbrlError(
            f"learning-rate is {low:g} to {high:g}: give the lowest and the highest, above 0"
        )
