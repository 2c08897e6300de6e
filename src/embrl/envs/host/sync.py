"""Lanes one after another, in this process."""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np

from embrl.envs.host.actions import Actions
from embrl.envs.host.lanes import Advance, HostLanes, HostStep
from embrl.envs.host.leaves import unstacked
from embrl.envs.host.observations import Observations


class SyncLanes(HostLanes):
    """A plain loop. It leaves info dictionaries alone, of which `gymnasium.vector.SyncVectorEnv`
    makes arrays at every step.
    """

    def __init__(
        self,
        name: str,
        observations: Observations,
        actions: Actions,
        seeds: Sequence[int],
        make: Callable[[], gymnasium.Env],
    ) -> None:
        self._make = make
        self._envs: list[gymnasium.Env] = []
        super().__init__(name, observations, actions, seeds)

    def render(self) -> list[Any]:
        if any(env.render_mode is None for env in self._envs):
            return super().render()
        return [env.render() for env in self._envs]

    def close(self) -> None:
        while self._envs:
            self._envs.pop().close()

    def _open(self, seeds: Sequence[int]) -> np.ndarray:
        first = self._empty()
        for lane, seed in enumerate(seeds):
            self._envs.append(self._make())
            self._reset(lane, first, "when it was first reset", seed)
        return first

    def _restart(self, seeds: Sequence[int]) -> np.ndarray:
        first = self._empty()
        for lane, seed in enumerate(seeds):
            self._reset(lane, first, "when it was reset", seed)
        return first

    def _advance(self, actions: Any) -> Advance:
        plain = self._read.plain
        after = self._empty()
        rows = after if plain is None else after.reshape(self.lanes, *plain)
        rewards, terminated, truncated, ended = [], [], [], []
        each = unstacked(self._actions.original, actions, self.lanes)
        lane = 0
        try:
            for lane, env in enumerate(self._envs):
                observation, reward, terminal, limit, _ = env.step(each[lane])
                # At once, as an environment may write its next one into the same array.
                if plain is not None and getattr(observation, "shape", None) == plain:
                    rows[lane] = observation
                else:
                    after[lane] = self._converted(observation)
                rewards.append(reward)
                terminated.append(terminal)
                truncated.append(limit)
                if terminal or limit:
                    ended.append(lane)
            lane = 0
            step = HostStep(
                after,
                np.array(rewards, np.float32),
                np.array(terminated, bool),
                np.array(truncated, bool),
            )
        except Exception as error:
            raise self._raised(lane, error, f"at step {self.steps + 1}") from error
        first = after
        if ended:
            first = after.copy()
            for lane in ended:
                self._reset(lane, first, f"when it was reset after step {self.steps + 1}")
        return Advance(step, first)

    def _reset(self, lane: int, into: np.ndarray, when: str, seed: int | None = None) -> None:
        env = self._envs[lane]
        try:
            observation, _ = env.reset() if seed is None else env.reset(seed=seed)
            into[lane] = self._converted(observation)
        except Exception as error:
            raise self._raised(lane, error, when) from error

    def _empty(self) -> np.ndarray:
        return np.empty((self.lanes, *self._read.shape), self._read.dtype)
