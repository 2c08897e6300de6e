"""Random gridworld steps: compiled parallel environments, against a NumPy environment in a loop."""

from collections.abc import Iterator

import jax
import numpy as np

from benchmarks.timing import Row, compare
from embrl.data.rollout import random_transitions
from embrl.envs.gridworld import GridworldConfig
from embrl.envs.square import SUBSTEP_LENGTH, SUBSTEPS, motions

STEPS, NUM_ENVS, LOOP_STEPS = 500, 1_000, 20_000


class PlainGridworld:
    """The gridworld as one would write it for Gymnasium, one step at a time."""

    def __init__(self, config: GridworldConfig) -> None:
        self.config, self.motions = config, motions(config.actuators)
        self.reset()

    def reset(self) -> None:
        self.position, self.steps = np.array(self.config.start), 0

    def step(self, action: int) -> tuple[int, float, bool, bool]:
        self.steps += 1
        reward, terminated = -0.01, False
        for _ in range(SUBSTEPS):
            target = self.position + SUBSTEP_LENGTH * self.motions[action]
            if (target < 0).any() or (target > 1).any() or self._inside_any(target):
                reward -= 0.05
                break
            self.position = target
            if self._inside(target, self.config.goal):
                reward, terminated = reward + 1.0, True
                break
        column, row = np.minimum((self.position * 40).astype(int), 39)
        return int(row * 40 + column), reward, terminated, self.steps >= 150

    def _inside_any(self, point: np.ndarray) -> bool:
        return any(self._inside(point, box) for box in self.config.obstacles)

    @staticmethod
    def _inside(point: np.ndarray, box: tuple[float, float, float, float]) -> bool:
        return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def run() -> Iterator[Row]:
    """Yield environment steps per second."""
    config = GridworldConfig()
    env = config.build()
    collect = jax.jit(
        lambda key: random_transitions(env, key, STEPS * NUM_ENVS, NUM_ENVS).reward.sum()
    )
    plain, random = PlainGridworld(config), np.random.default_rng(0)

    def loop() -> None:
        for action in random.integers(0, 512, LOOP_STEPS):
            _, _, terminated, truncated = plain.step(int(action))
            if terminated or truncated:
                plain.reset()

    yield compare(
        "gridworld steps, 512 actions",
        lambda: collect(jax.random.key(0)).block_until_ready(),
        STEPS * NUM_ENVS,
        "NumPy loop",
        loop,
        LOOP_STEPS,
    )
