"""A run's policy as one that collects."""

import dataclasses
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np

from embrl.data.host_rollout import host_rollout
from embrl.data.rollout import open_lanes, rollout
from embrl.envs import Environment
from embrl.errors import EmbrlError
from embrl.policy.overall import OverallPolicy
from embrl.spaces import difference
from embrl.training.config import from_json
from embrl.training.restore import restore
from embrl.training.run_folder import RunFolder
from embrl.training.world import AnyEnvironment
from embrl.types import Key, Transition


@dataclasses.dataclass(frozen=True, eq=False)
class RunPolicy:
    """pi_o of one seed of a run."""

    path: Path
    policy: OverallPolicy
    observation_space: gymnasium.Space
    action_space: gymnasium.Space

    @classmethod
    def of(cls, path: str | Path, seed: int = 0) -> "RunPolicy":
        """
        Raises:
            EmbrlError: there is no such run or seed, or no policy in it yet.
        """
        folder = RunFolder.existing(path)
        config = from_json(folder.config(), folder.path / "config.json")
        left = restore(folder, config, seed)
        return cls(folder.path, left.policy, left.observation_space, left.action_space)

    @property
    def __name__(self) -> str:
        """For the record."""
        return self.path.name

    def check(self, env: AnyEnvironment) -> None:
        """
        Raises:
            EmbrlError: it is of another environment; the message says what differs.
        """
        for kind, has, needs in (
            ("observation", self.observation_space, env.observation_space),
            ("action", self.action_space, env.action_space),
        ):
            if differs := difference(has, needs):
                raise EmbrlError(f"policy: {self.path} has another {kind} space: {differs}")

    def steps(self, env: AnyEnvironment, key: Key, steps: int, lanes: int, seed: int) -> Transition:
        """So many steps of as many lanes, `[T, B, ...]`."""
        self.check(env)
        key_open, key_noise, key_step = jax.random.split(key, 3)
        noise = self.policy.noise(key_noise, (steps, lanes))
        if isinstance(env, Environment):

            @jax.jit
            def roll(env: Environment, policy: OverallPolicy, noise: Any) -> Transition:
                start = open_lanes(env, key_open, lanes)
                return rollout(env, policy.act, start, key_step, noise)[1]

            return roll(env, self.policy, noise)
        act = jax.jit(lambda policy, seen, noise: policy.act(seen, noise)[0])

        def choose(seen: np.ndarray, t: int) -> tuple[Any, None]:
            now = jax.tree.map(lambda whole: whole[t], noise)
            return np.asarray(act(self.policy, seen[0], now))[None], None

        with env.open(lanes, seed) as opened:
            found, _ = host_rollout(opened, steps, choose, 1)
        return jax.tree.map(lambda column: column[0], found)
