"""Lanes one after another, in this process."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import gymnasium
import numpy as np

from embrl.envs.host.actions import Actions
from embrl.envs.host.lanes import Advance, HostLanes, HostStep
from embrl.envs.host.leaves import unstacked
from embrl.envs.host.observations import Observations

Outcome: TypeAlias = tuple[Any, Any, Any]
"""Reward, terminated, truncated, as an environment gives them."""


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
        after = self._empty()
        each = unstacked(self._actions.original, actions, self.lanes)
        outcomes = self._step_all(after, each)
        rewards, terminated, truncated = zip(*outcomes, strict=True)
        try:
            step = HostStep(
                after,
                np.array(rewards, np.float32),
                np.array(terminated, bool),
                np.array(truncated, bool),
            )
        except Exception as error:
            raise self._raised(0, error, f"at step {self.steps + 1}") from error
        first, ended = after, np.flatnonzero(step.terminated | step.truncated)
        if len(ended):
            first = after.copy()
            for lane in ended.tolist():
                self._reset(lane, first, f"when it was reset after step {self.steps + 1}")
        return Advance(step, first)

    def _step_all(self, into: np.ndarray, actions: Sequence[Any]) -> list[Outcome]:
        """A step of every lane; observations go `into` their places."""
        return self._step_some(range(self.lanes), into, actions)

    def _step_some(
        self, lanes: Sequence[int], into: np.ndarray, actions: Sequence[Any]
    ) -> list[Outcome]:
        """A step of some, one after another."""
        plain = self._read.plain
        rows = into if plain is None else into.reshape(self.lanes, *plain)
        outcomes: list[Outcome] = []
        lane = 0
        try:
            for lane in lanes:
                observation, reward, terminal, limit, _ = self._envs[lane].step(actions[lane])
                # At once, as an environment may write its next one into the same array.
                if plain is not None and getattr(observation, "shape", None) == plain:
                    rows[lane] = observation
                else:
                    into[lane] = self._converted(observation)
                outcomes.append((reward, terminal, limit))
        except Exception as error:
            raise self._raised(lane, error, f"at step {self.steps + 1}") from error
        return outcomes

    def _reset(self, lane: int, into: np.ndarray, when: str, seed: int | None = None) -> None:
        env = self._envs[lane]
        try:
            observation, _ = env.reset() if seed is None else env.reset(seed=seed)
            into[lane] = self._converted(observation)
        except Exception as error:
            raise self._raised(lane, error, when) from error

    def _empty(self) -> np.ndarray:
        return np.empty((self.lanes, *self._read.shape), self._read.dtype)
