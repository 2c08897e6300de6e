"""Lanes in threads, a part of them in each."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from embrl.core.runtime import available_cores
from embrl.envs.host.sync import Outcome, SyncLanes


class ThreadLanes(SyncLanes):
    """As many threads as cores, each with its own lanes. The same numbers as one after another, and
    worth it where a step spends its time outside of Python, as MuJoCo's do.
    """

    _pool: ThreadPoolExecutor | None = None

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        super().close()

    def _open(self, seeds: Sequence[int]) -> np.ndarray:
        threads = min(available_cores(), self.lanes)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="lanes")
        self._parts = [part.tolist() for part in np.array_split(np.arange(self.lanes), threads)]
        return super()._open(seeds)

    def _step_all(self, into: np.ndarray, actions: Sequence[Any]) -> list[Outcome]:
        assert self._pool is not None
        done = self._pool.map(lambda part: self._step_some(part, into, actions), self._parts)
        return [outcome for part in done for outcome in part]
