"""Transitions from environments on the host."""

from collections.abc import Callable
from typing import Any

import numpy as np

from embrl.envs.host import HostLanes
from embrl.types import Transition

Choose = Callable[[np.ndarray, int], tuple[Any, Any]]
"""Actions `[rows, B, ...]`, and what else is to be kept of the choice, for observations like them
and the number of the step."""


def host_rollout(lanes: HostLanes, steps: int, choose: Choose, rows: int) -> tuple[Transition, Any]:
    """So many steps of lanes that belong to several rows, row by row: transitions and what else was
    kept, `[rows, T, B, ...]`.
    """

    def by_row(values: np.ndarray) -> np.ndarray:
        return values.reshape(rows, -1, *values.shape[1:])

    kept: list[Any] = []
    columns: list[tuple[np.ndarray, ...]] = []
    for t in range(steps):
        seen = lanes.observations
        action, extra = choose(by_row(seen), t)
        action = np.asarray(action)
        after = lanes.step(action.reshape(-1, *action.shape[2:]))
        flat = (seen, after.reward, after.observation, after.terminated, after.truncated)
        observation, *others = (by_row(column) for column in flat)
        columns.append((observation, action, *others))
        kept.append(None if extra is None else np.asarray(extra))
    stacked = [np.stack(column, axis=1) for column in zip(*columns, strict=True)]
    extras = None if kept[0] is None else np.stack(kept, axis=1)
    return Transition(*stacked), extras  # type: ignore[arg-type]
