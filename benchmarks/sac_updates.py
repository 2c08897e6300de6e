"""SAC updates per second, against Stable-Baselines3 and SBX with the same networks and batch."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Row, compare, installed
from embrl.algorithms.base import Batch, EmbeddedActions, Experience, PolicyConfig
from embrl.algorithms.sac import SAC
from embrl.core.types import Transition
from embrl.data import replay as replays
from embrl.decoding.continuous import Identity

SHAPES = {"Ant": (105, 8), "HalfCheetah": (17, 6)}
"""Lengths of observations and actions."""
HIDDEN, BATCH, UPDATES, STORED = (256, 256), 256, 200, 10_000


def ours(shape: tuple[int, int], seeds: int) -> Callable[[], object]:
    """Return `UPDATES` updates of that many learners side by side, from replay buffers."""
    observations, actions = shape
    hyper = SAC(actor_lr=3e-4, critic_lr=3e-4, alpha_lr=3e-4, batch_size=BATCH)
    config = PolicyConfig(hidden=HIDDEN)

    def filled(key: Any) -> Any:
        one, two, three = jax.random.split(key, 3)
        seen = jax.random.normal(one, (STORED, 1, observations))
        action = jax.random.uniform(two, (STORED, 1, actions), minval=-1.0)
        reward = jax.random.normal(three, (STORED, 1))
        no = jnp.zeros((STORED, 1), bool)
        return Transition(seen, action, reward, seen[::-1], no, no)

    def start(key: Any) -> Any:
        return hyper.start(observations, EmbeddedActions(actions), Identity(), config, key=key)

    @jax.jit
    @jax.vmap
    def update(learner: Any, stored: Any, key: Any) -> Any:
        replay = replays.Replay(stored, None)

        def draw(key: Any, count: int) -> Batch:
            steps = replays.draw(replay, key, count, STORED).steps
            return Batch(
                steps.observation, steps.action, steps.action, steps.reward,
                steps.next_observation, steps.terminated, steps.truncated,
            )  # fmt: skip

        fresh = jax.tree.map(lambda column: column[:UPDATES], stored)
        fresh = Batch(*fresh[:1], *fresh[1:2], *fresh[1:2], *fresh[2:])
        return hyper.update(learner, Experience(fresh, draw, None), key)[0]

    keys = jax.random.split(jax.random.key(0), seeds)
    learners, stored = jax.vmap(start)(keys), jax.vmap(filled)(keys)
    return lambda: jax.block_until_ready(update(learners, stored, keys))


class Box(gymnasium.Env):
    """An empty environment with spaces of given lengths."""

    def __init__(self, observations: int, actions: int) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (observations,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (actions,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        del options
        super().reset(seed=seed)
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        return self._seen(), float(action[0]), False, False, {}

    def _seen(self) -> np.ndarray:
        return self.np_random.normal(size=self.observation_space.shape).astype(np.float32)


def theirs(package: str, shape: tuple[int, int]) -> Callable[[], object]:
    """Return as many updates of another library, with its default networks and batch size."""
    kind: Any = importlib.import_module(package).SAC
    model = kind("MlpPolicy", Box(*shape), learning_starts=STORED, buffer_size=STORED)
    model.learn(STORED)  # fills the buffer
    return lambda: model.train(gradient_steps=UPDATES, batch_size=BATCH)


def run() -> Iterator[Row]:
    """Yield updates per second."""
    for package in ("stable_baselines3", "sbx"):
        if not installed(package):
            continue
        for name, shape in SHAPES.items():
            rival = theirs(package, shape)
            for seeds in (1, 4):
                yield compare(
                    f"SAC updates, {name}'s shapes, {seeds} seed{'s' * (seeds > 1)}",
                    ours(shape, seeds), seeds * UPDATES, package, rival, UPDATES,
                )  # fmt: skip
