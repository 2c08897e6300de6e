"""Lanes side by side, a process each."""

import copy
import functools
import multiprocessing
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from embrl.core.errors import EmbrlError
from embrl.envs.host.actions import Actions
from embrl.envs.host.lanes import Advance, HostLanes, HostStep
from embrl.envs.host.observations import Observations

GONE = (EOFError, ConnectionError)
"""What is raised where a process has ended."""


class _Quiet(gymnasium.Wrapper):
    """What comes back from a process: no information, which nobody reads and which takes time to
    send; and observations that stay as they are when the environment goes on.
    """

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, _ = self.env.step(action)
        return copy.deepcopy(observation), reward, terminated, truncated, {}

    def reset(self, **options: Any) -> Any:
        return self.env.reset(**options)[0], {}


def _quiet(make: Callable[[], gymnasium.Env]) -> gymnasium.Env:
    return _Quiet(make())


class AsyncLanes(HostLanes):
    """`gymnasium.vector.AsyncVectorEnv`: worth it where a step takes longer than the milliseconds
    that processes take to talk.

    Processes are started anew, not forked, as a fork of a process in which JAX runs may hang. What
    makes an environment must therefore be importable, or defined in a plugin file or a notebook.
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
        self._vector: AsyncVectorEnv | None = None
        super().__init__(name, observations, actions, seeds)

    def close(self) -> None:
        vector, self._vector = self._vector, None
        if vector is not None and not vector.closed:
            vector.close(terminate=any(pipe is None for pipe in vector.parent_pipes))

    def _open(self, seeds: Sequence[int]) -> np.ndarray:
        context = "spawn"
        if "forkserver" in multiprocessing.get_all_start_methods():
            context = "forkserver"
            # Imported once, not in every process; no effect where a server runs already.
            multiprocessing.set_forkserver_preload(["__main__", __name__])
        # A plugin file is a module that no other process finds: what it defines travels whole.
        for name, module in list(sys.modules.items()):
            if name.startswith("embrl_plugin_"):
                cloudpickle.register_pickle_by_value(module)
        try:
            self._vector = AsyncVectorEnv(
                [functools.partial(_quiet, self._make)] * self.lanes,
                context=context,
                autoreset_mode=AutoresetMode.SAME_STEP,
            )
        except EmbrlError:
            raise
        except Exception as error:
            raise EmbrlError(
                f"{self.name} cannot be made in a process of its own "
                f"({type(error).__name__}: {error}): choose --env.vector sync"
            ) from error
        first, _ = self._asked("when it was first reset", lambda v: v.reset(seed=list(seeds)))
        return self._read(first)

    def _restart(self, seeds: Sequence[int]) -> np.ndarray:
        first, _ = self._asked("when it was reset", lambda v: v.reset(seed=list(seeds)))
        return self._read(first)

    def _advance(self, actions: Any) -> Advance:
        when = f"at step {self.steps + 1}"
        observations, rewards, terminated, truncated, info = self._asked(
            when, lambda vector: vector.step(actions)
        )
        first = after = self._read(observations)
        ended = np.flatnonzero(terminated | truncated)
        if len(ended):
            after = first.copy()
            for lane in ended:
                after[lane] = self._converted(info["final_obs"][lane])
        with np.errstate(over="ignore"):
            rewards = rewards.astype(np.float32)
        return Advance(HostStep(after, rewards, terminated, truncated), first)

    def _asked(self, when: str, ask: Callable[[AsyncVectorEnv], Any]) -> Any:
        vector = self._vector
        if vector is None:
            raise EmbrlError(f"{self.name}: its lanes are closed")
        try:
            with warnings.catch_warnings():
                # Gymnasium shows the traceback of what a process raised as a warning.
                warnings.simplefilter("ignore", UserWarning)
                return ask(vector)
        except GONE as error:
            dead = [not process.is_alive() for process in vector.processes]
            lane = dead.index(True) if any(dead) else 0
            raise EmbrlError(f"{self._at(lane)}: its process ended {when}") from error
        except Exception as error:
            # The only trace of which process it was.
            closed = [pipe is None for pipe in vector.parent_pipes]
            lane = closed.index(True) if any(closed) else 0
            raise self._raised(lane, error, when) from error
