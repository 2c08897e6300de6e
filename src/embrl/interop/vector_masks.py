"""Action masks of Gymnasium's vector environments."""

from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from embrl.envs.gym.masks import MaskReader


class VectorMasks:
    """Masks of a vector environment's next actions, from the sources of `MaskReader`.

    An environment that gives none accepts every action, and so does one whose episode has ended:
    in Gymnasium's usual mode its next action is ignored.
    """

    def __init__(self, env: VectorEnv, reader: MaskReader) -> None:
        """Find out where masks are.

        Args:
            env: The vector environment.
            reader: Reader of a single environment's masks.
        """
        self._env, self._reader = env, reader
        self._method = reader.path is None and _have(env, reader.method)
        self._ended = np.zeros(env.num_envs, bool)
        self._masks: np.ndarray | None = None

    def begin(self, observations: Any, infos: dict[str, Any], reset: Any = None) -> None:
        """Take in what a reset returned.

        Args:
            observations: Of all environments.
            infos: Of those that were reset.
            reset: Bool `[B]`, those that were reset: the others keep their masks; None: all.
        """
        which = np.ones(len(self._ended), bool) if reset is None else np.asarray(reset, bool)
        self._ended = self._ended & ~which
        before, self._masks = self._masks, self._read(observations, infos)
        if which.all() or before is None:
            return
        if self._masks is None:
            self._masks = np.ones_like(before)
        self._masks[~which] = before[~which]

    def follow(self, observations: Any, infos: dict[str, Any], ended: np.ndarray) -> None:
        """Take in what a step returned, and which episodes ended with it."""
        self._ended = np.asarray(ended, bool)
        self._masks = self._read(observations, infos)

    def now(self) -> np.ndarray | None:
        """Return the masks of the next actions, bool `[B, n]`; None where there are none."""
        if self._method:
            found = self._base.call(self._reader.method)
            self._masks = self._stacked(found)
        if self._masks is not None:
            self._masks[self._ended & ~self._masks.any(-1)] = True
        return self._masks

    @property
    def _base(self) -> Any:
        return self._env.unwrapped

    def _read(self, observations: Any, infos: dict[str, Any]) -> np.ndarray | None:
        if self._method:
            return None
        if self._reader.path is not None:
            return self._reader.of_observation(observations, self._ended.shape)
        given = infos.get("_" + self._reader.key)
        if given is None:
            return None
        return self._stacked(
            value if there else None
            for value, there in zip(infos[self._reader.key], given, strict=True)
        )

    def _stacked(self, values: Any) -> np.ndarray | None:
        flags = self._reader.flags
        assert flags is not None
        rows = [None if value is None else flags(value) for value in values]
        if all(row is None for row in rows):
            return None
        everything = np.ones(flags.count, bool)
        return np.stack([everything if row is None else row for row in rows])


def _have(env: VectorEnv, method: str) -> bool:
    """Return True if all single environments have a method of that name."""
    base: Any = env.unwrapped
    if isinstance(base, SyncVectorEnv):
        return all(each.has_wrapper_attr(method) for each in base.envs)
    return isinstance(base, AsyncVectorEnv) and all(base.call("has_wrapper_attr", method))
