"""Lanes in threads, a part of them in each."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium
import numpy as np

from embrl.envs.host.actions import Actions
from embrl.envs.host.observations import Observations
from embrl.envs.host.sync import Outcome, SyncLanes


class ThreadLanes(SyncLanes):
    """As many threads as cores, each with its own lanes. The same numbers as one after another, and
    worth it where a step spends its time outside of Python, as MuJoCo's do.
    """

    def __init__(
        self,
        name: str,
        observations: Observations,
        actions: Actions,
        seeds: Sequence[int],
        make: Callable[[], gymnasium.Env],
    ) -> None:
        threads = min(os.cpu_count() or 1, len(seeds))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="lanes")
        self._parts = [part.tolist() for part in np.array_split(np.arange(len(seeds)), threads)]
        super().__init__(name, observations, actions, seeds, make)

    def close(self) -> None:
        self._pool.shutdown()
        super().close()

    def _step_all(self, into: np.ndarray, actions: Sequence[Any]) -> list[Outcome]:
        done = self._pool.map(lambda part: self._step_some(part, into, actions), self._parts)
        return [outcome for part in done for outcome in part]
