"""Parallel environments in the threads of envpool, which has its own, written in C++."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError, UnknownNameError, require
from embrl.envs.gym.vector_env import Advance, PooledVectorEnv


class EnvpoolHostVectorEnv(PooledVectorEnv):
    """Environments made by `envpool.make_gymnasium`, all of them stepped in each batch.

    envpool resets an ended episode at the next step, whose action it discards (Weng et al. 2022,
    "EnvPool", and its documentation, "Auto Reset"). So the observation of an ending step is the
    true last one, and the environment is reset here at once, before an action can be lost.
    """

    def _open(self, seeds: Sequence[int]) -> np.ndarray:
        self._pool = _made(
            self.name, "make_gymnasium", num_envs=self.num_envs, seed=list(seeds), **self._options
        )
        with _without_bound_warnings():  # it reads its spaces again
            return self._reset(np.arange(self.num_envs), "when it was first reset")

    def _advance(self, actions: Any) -> Advance:
        try:
            observations, reward, terminated, truncated, info = self._pool.step(actions)
        except Exception as error:
            raise self._broken(error, f"at step {self.steps + 1}") from error
        # In order of environments; results come in any.
        order = np.argsort(np.asarray(info["env_id"]))
        after = self._read(observations)[order]
        values: Any = (np.asarray(value)[order] for value in (reward, terminated, truncated))
        step = self._step_from(after, *values)
        ended = np.flatnonzero(step.terminated | step.truncated)
        first = after
        if len(ended):
            first = after.copy()
            first[ended] = self._reset(ended, f"when it was reset after step {self.steps + 1}")
        return Advance(step, first)

    def _reset(self, indices: np.ndarray, when: str) -> np.ndarray:
        """Reset environments, given in ascending order; return their first observations."""
        try:
            observations, info = self._pool.reset(indices.astype(np.int32))
        except Exception as error:
            raise self._broken(error, when) from error
        return self._read(observations)[np.argsort(np.asarray(info["env_id"]))]

    def _broken(self, error: Exception, when: str) -> EmbrlError:
        return EmbrlError(f"{self.name}: envpool raised {type(error).__name__} {when}: {error}")


def pool_spaces(name: str, options: dict[str, Any]) -> tuple[spaces.Space, spaces.Space]:
    """Return the observation and action spaces of a single environment.

    Args:
        name: envpool's id.
        options: Options of `envpool.make_spec`.

    Raises:
        EmbrlError: If envpool is not installed, has no such environment, or refuses an option.
    """
    spec = _made(name, "make_spec", **options)
    with _without_bound_warnings():
        return spec.gymnasium_observation_space, spec.gymnasium_action_space


@contextlib.contextmanager
def _without_bound_warnings() -> Iterator[None]:
    """Silence Gymnasium's warning that envpool's float64 bounds become float32."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*precision lowered by casting", UserWarning)
        yield


def _made(name: str, function: str, **options: Any) -> Any:
    envpool = require("envpool", "envpool")
    known = envpool.list_all_envs()
    if name not in known:
        raise UnknownNameError("environment of envpool", name, known)
    try:
        with _without_bound_warnings():
            return getattr(envpool, function)(name, **options)
    except Exception as error:
        raise EmbrlError(f"envpool cannot make {name}: {type(error).__name__}: {error}") from error
