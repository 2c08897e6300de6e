"""Small policies with random weights, of every kind."""

import dataclasses
from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from embrl import envs
from embrl.algorithms.base import PolicyConfig
from embrl.config.defaults import default_config
from embrl.core.scaling import RunningStats
from embrl.decoding import DecoderConfig
from embrl.deploy.array_forms import Forms
from embrl.deploy.convert import portable_policy
from embrl.deploy.exported import ExportedPolicy
from embrl.embedding.encoders import Norm
from embrl.envs.gym.flat_actions import Actions
from embrl.envs.gym.flat_observations import Observations
from embrl.envs.gym.masks import MaskReader, SpaceMasks
from embrl.training.state import Agent
from embrl.training.trained_policy import Policy
from embrl.training.trainer import Trainer

inf = np.float32(np.inf)


class Host:
    """What `Policy` and exports ask of an environment on the host."""

    name = "host"

    def __init__(self, observations: gymnasium.Space, actions: gymnasium.Space) -> None:
        self.observations, self.actions = Observations(observations), Actions(actions)
        self.observation_space, self.action_space = self.observations.space, self.actions.space
        self.masks = MaskReader(observations, self.actions)
        if not isinstance(self.action_space, spaces.Box):
            self.mask_forms = SpaceMasks(self.actions)


def policy(
    observations: gymnasium.Space,
    actions: gymnasium.Space,
    method: str = "jsae",
    algorithm: str = "vpg",
    f: str | None = None,
    k: int = 16,
    embedding: dict[str, Any] | None = None,
    **policy: Any,
) -> Policy:
    """One that nobody trained, with noise in all its weights."""
    host = Host(observations, actions)
    continuous = isinstance(host.action_space, spaces.Box)
    config = default_config("cart_pole", envs.configure("cart_pole"), method, algorithm, "tuned")
    kind: Any = f or ("learned" if continuous else "nearest")
    changes = {
        "decoder": DecoderConfig(kind=kind, k=k),
        "embedding": dataclasses.replace(config.embedding, **(embedding or {})),
        "policy": PolicyConfig(hidden=(16, 16), **policy),
    }
    trainer = Trainer(
        dataclasses.replace(config, **changes),
        host.observation_space,
        host.action_space,
    )
    rng = np.random.default_rng(4)

    def moved(leaf: Any) -> Any:
        if not eqx.is_inexact_array(leaf):
            return leaf
        return jnp.asarray(leaf + 0.2 * rng.normal(size=leaf.shape), jnp.float32)

    @jax.jit
    def looked(agent: Agent, seen: Any, acted: Any) -> Agent:
        if agent.embedding is not None:
            agent = agent._replace(embedding=agent.embedding.scaled_by(seen, acted))
            if agent.norm is not None:
                assert agent.embedding is not None
                agent = agent._replace(norm=Norm.of(agent.embedding.phi(seen)))
        if agent.running_stats is not None:
            running = RunningStats.empty(seen.shape[-1]).update(seen)
            agent = agent._replace(running_stats=running)
        return agent

    agent = jax.tree.map(moved, jax.jit(trainer.untrained)(jax.random.key(3)))
    seen = host.observations(batch(observations, 500))
    agent = looked(agent, seen, host.actions.from_original(batch(actions, 500)))
    overall: Any = trainer.policy(agent)
    return Policy(overall, host.observation_space, host.action_space, host)  # type: ignore[arg-type]


def batch(space: gymnasium.Space, count: int) -> np.ndarray:
    """Observations or actions, `[count, ...]`."""
    rng = np.random.default_rng(0)
    if isinstance(space, spaces.Box):
        low, high = (
            np.where(np.isfinite(side), side, s) for side, s in ((space.low, -3), (space.high, 3))
        )
        values = rng.uniform(low.astype(float), high.astype(float), (count, *space.shape))
        return values.astype(space.dtype)
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.start, space.start + space.n, count)
    if isinstance(space, spaces.MultiDiscrete):
        return space.start + rng.integers(0, space.nvec, (count, *space.shape))
    return rng.integers(0, 2, (count, *(space.shape or ()))).astype(space.dtype)


def exported(policy: Policy) -> ExportedPolicy:
    """The same in plain steps, in the environment's own observations and actions."""
    host: Any = policy.host
    own = (host.observations.original, host.actions.original)
    forms = Forms.of(policy.observation_space, policy.action_space, *own)
    about = {"run": "run", "seed": 0, "environment": "host", "versions": {"embrl": "0"}}
    plain = portable_policy(policy.overall, forms)
    return ExportedPolicy(plain, forms.observation, forms.action, about)
