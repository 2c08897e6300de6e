"""Time of a wrapper's own work in a step: a wrapped environment minus the bare one.

    python -m benchmarks.wrapper_step

It is not among the rates of `python -m benchmarks`, as it has no competitor, only a limit of 20
microseconds.
"""

import dataclasses
import time
from typing import Any

import equinox as eqx
import gymnasium
import jax
import numpy as np
from gymnasium import spaces

from embrl.decoding.base import DecoderConfig
from embrl.embedding.config import EchoConfig, EmbeddingConfig, PretrainConfig
from embrl.embedding.encoders import Norm
from embrl.embedding.model import JointEmbedding
from embrl.embedding.saved import EmbeddingSettings
from embrl.fitting.embedding import Embedding
from embrl.interop.wrappers import EmbeddedEnv

STATES, STEPS, REPETITIONS = 1600, 200, 100


class Bare(gymnasium.Env):
    """An environment whose step does nothing."""

    def __init__(self, actions: spaces.Space) -> None:
        self.observation_space, self.action_space = spaces.Discrete(STATES), actions

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed, options=options)
        return 0, {}

    def step(self, action: Any) -> Any:
        del action
        return 7, 0.0, False, False, {}


def embedding(
    actions: spaces.Space, n: int, d: int, features: np.ndarray | None = None
) -> Embedding:
    """Return an untrained embedding whose actions cover E.

    They lie by their features, if there are any; actions of several factors, by these in order;
    others, at random.
    """
    states = spaces.Discrete(STATES)
    named = "" if features is None else "given"
    config = EmbeddingConfig(state_dim=8, action_dim=d, action_spread=0.6, action_features=named)
    key = jax.random.key(0)
    known = None if features is None else jax.numpy.asarray(features)
    model = JointEmbedding(
        states, spaces.Discrete(n), config, objectives=(), features=known, key=key
    )
    settings = EmbeddingSettings(config, EchoConfig(), {}, PretrainConfig(), DecoderConfig())
    found = Embedding(model, "random", settings, states, spaces.Discrete(n), Norm.none(8))
    if isinstance(actions, spaces.MultiDiscrete):
        digits = np.stack(np.unravel_index(np.arange(n), actions.nvec), -1)
        table = 1.8 * digits[:, :d] / (actions.nvec[:d] - 1) - 0.9
        table += np.random.default_rng(0).normal(0.0, 0.02, table.shape)
        rows = np.arctanh(np.clip(table, -0.99, 0.99)).astype(np.float32)
        model = eqx.tree_at(lambda m: m.g.rows, model, jax.numpy.asarray(rows))
        found = dataclasses.replace(found, model=model)
    return found


def microseconds(env: gymnasium.Env, actions: list[Any]) -> float:
    """Return the mean time of a step in microseconds."""
    env.reset(seed=0)
    start = time.perf_counter()
    for action in actions:
        env.step(action)
    return (time.perf_counter() - start) / len(actions) * 1e6


def own(
    actions: spaces.Space,
    n: int,
    d: int,
    allowed: int | None = None,
    features: np.ndarray | None = None,
) -> float:
    """Return the wrapper's microseconds per step, the minimum of `REPETITIONS` measurements.

    Args:
        actions: The environment's action space; each action is a random point of the `Box`.
        n: Number of actions.
        d: Dimensions of E.
        allowed: Number of actions that may be chosen, drawn at random; None for all.
        features: Features of all actions, `[n, q]`; None for none.
    """
    bare = Bare(actions)
    found = embedding(actions, n, d, features)
    if allowed is not None:
        chosen = np.random.default_rng(1).permutation(n) < allowed
        found = dataclasses.replace(found, allowed=chosen)
    wrapped = EmbeddedEnv(bare, found)
    wrapped.action_space.seed(0)
    points = [wrapped.action_space.sample() for _ in range(STEPS)]
    plain = [actions.sample() for _ in range(STEPS)]
    microseconds(wrapped, points)  # builds what is cached
    ours = min(microseconds(wrapped, points) for _ in range(REPETITIONS))
    return ours - min(microseconds(bare, plain) for _ in range(REPETITIONS))


def main() -> None:
    orders = spaces.MultiDiscrete([11] * 5)
    for n, d, actions, allowed in (
        (512, 2, spaces.Discrete(512), 512),
        (2048, 2, spaces.Discrete(2048), 2048),
        (161_051, 2, spaces.Discrete(161_051), 161_051),
        (161_051, 5, orders, 161_051),
        (161_051, 5, orders, 4444),
    ):
        taken = own(actions, n, d, allowed)
        print(f"{n:>8,} {actions}, {allowed:,} of them allowed, d = {d}: {taken:5.1f} us")


if __name__ == "__main__":
    main()
