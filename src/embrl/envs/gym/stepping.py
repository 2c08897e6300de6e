"""Ways of stepping parallel environments: one after another, in threads, or in processes."""

import contextlib
import copy
import functools
import multiprocessing
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import cloudpickle
import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from embrl.core.errors import EmbrlError, told
from embrl.core.runtime import available_cores
from embrl.envs.gym import contract
from embrl.envs.gym.contract import close_of, reset_of, step_of
from embrl.envs.gym.flat_actions import Actions
from embrl.envs.gym.flat_observations import Observations
from embrl.envs.gym.leaves import unstacked
from embrl.envs.gym.main_script import ADVICE
from embrl.envs.gym.masks import MASK, LaneMasks, MaskReader
from embrl.envs.gym.vector_env import Advance, HostStep, HostVectorEnv

StepResult: TypeAlias = tuple[Any, Any, Any]
"""Reward, terminated and truncated, as an environment returns them."""

ARRAYS = "embrl_arrays"
"""Key of the info with which a process says that a reward or flag was an array of one value."""

GONE = (EOFError, ConnectionError)
"""Exceptions raised where a process has ended."""


class SyncHostVectorEnv(HostVectorEnv):
    """Environments stepped one after another in this process.

    A plain loop that ignores info dictionaries, of which `gymnasium.vector.SyncVectorEnv` makes
    arrays at every step.
    """

    def __init__(
        self,
        name: str,
        observations: Observations,
        actions: Actions,
        seeds: Sequence[int],
        make: Callable[[], gymnasium.Env],
        reader: MaskReader | None = None,
    ) -> None:
        self._make = make
        self._envs: list[gymnasium.Env] = []
        super().__init__(name, observations, actions, seeds, reader)

    def render(self) -> list[Any]:
        if any(env.render_mode is None for env in self._envs):
            return super().render()
        return [env.render() for env in self._envs]

    def close(self) -> None:
        while self._envs:
            close_of(self._envs.pop(), self.name)

    def _open(self, seeds: Sequence[int]) -> np.ndarray:
        first, when = self._empty(), "when it was first reset"
        for index, seed in enumerate(seeds):
            self._envs.append(self._make())
            self._lanes.attach(index, self._envs[index])
            self._reset(index, first, when, seed)
        self._lanes.now = self._masks_read(when)
        return first

    def _restart(self, seeds: Sequence[int]) -> np.ndarray:
        first = self._empty()
        for index, seed in enumerate(seeds):
            self._reset(index, first, "when it was reset", seed)
        self._lanes.now = self._masks_read("when it was reset")
        return first

    def _advance(self, actions: Any) -> Advance:
        after = self._empty()
        each = unstacked(self._actions.original, actions, self.num_envs)
        results = self._step_all(after, each)
        step = self._step_from(after, *zip(*results, strict=True))
        step = self._with_masks(step)
        self._lanes.now = step.masks
        first, ended = after, np.flatnonzero(step.terminated | step.truncated)
        if len(ended):
            first, when = after.copy(), f"when it was reset after step {self.steps + 1}"
            for index in ended.tolist():
                self._reset(index, first, when)
            self._lanes.now = self._masks_read(when)
        return Advance(step, first)

    def _with_masks(self, step: HostStep) -> HostStep:
        """Return a step with the masks of its next observations."""
        when, index = f"at step {self.steps + 1}", 0
        try:
            for index in range(self.num_envs):
                self._lanes.ask(index, bool(step.terminated[index]))
        except Exception as error:
            raise self._raised(index, error, when) from error
        return step._replace(masks=self._masks_read(when, step.terminated | step.truncated))

    def _step_all(self, into: np.ndarray, actions: Sequence[Any]) -> list[StepResult]:
        """Step every environment; observations are written to their rows of `into`."""
        return self._step_some(range(self.num_envs), into, actions)

    def _step_some(
        self, indices: Sequence[int], into: np.ndarray, actions: Sequence[Any]
    ) -> list[StepResult]:
        """Step the environments at `indices`, one after another."""
        plain = self._read.plain
        rows = into if plain is None else into.reshape(self.num_envs, *plain)
        results: list[StepResult] = []
        index = 0
        try:
            for index in indices:
                observation, reward, terminal, limit, info = step_of(
                    self._envs[index], actions[index]
                )
                # At once, as an environment may write its next one into the same array.
                if plain is not None and getattr(observation, "shape", None) == plain:
                    rows[index] = observation
                else:
                    into[index] = self._converted(observation)
                if not index and not self._watch.over:
                    self._watch(observation)
                self._lanes.read(index, observation, info)
                results.append((reward, terminal, limit))
        except Exception as error:
            raise self._raised(index, error, f"at step {self.steps + 1}") from error
        return results

    def _reset(self, index: int, into: np.ndarray, when: str, seed: int | None = None) -> None:
        env = self._envs[index]
        try:
            observation, info = reset_of(env) if seed is None else reset_of(env, seed=seed)
            into[index] = self._converted(observation)
            if not index:
                self._watch(observation)
            self._lanes.read(index, observation, info)
            self._lanes.ask(index)
        except Exception as error:
            raise self._raised(index, error, when) from error

    def _empty(self) -> np.ndarray:
        return np.empty((self.num_envs, *self._read.shape), self._read.dtype)


class ThreadHostVectorEnv(SyncHostVectorEnv):
    """Environments stepped in as many threads as cores, a group of them in each.

    The numbers are those of `SyncHostVectorEnv`. Faster where a step spends its time outside
    Python, as MuJoCo's do.
    """

    _pool: ThreadPoolExecutor | None = None

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        super().close()

    def _open(self, seeds: Sequence[int]) -> np.ndarray:
        threads = min(available_cores(), self.num_envs)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="environments")
        self._groups = [part.tolist() for part in np.array_split(np.arange(self.num_envs), threads)]
        return super()._open(seeds)

    def _step_all(self, into: np.ndarray, actions: Sequence[Any]) -> list[StepResult]:
        assert self._pool is not None
        done = self._pool.map(lambda group: self._step_some(group, into, actions), self._groups)
        return [result for group in done for result in group]


class AsyncHostVectorEnv(HostVectorEnv):
    """Environments stepped in a process each, by `gymnasium.vector.AsyncVectorEnv`.

    Faster only where a step takes longer than the milliseconds of communication. Processes are
    started anew, not forked, as a fork of a process in which JAX runs may hang; so what makes an
    environment must be importable, or defined in a plugin file or a notebook.
    """

    def __init__(
        self,
        name: str,
        observations: Observations,
        actions: Actions,
        seeds: Sequence[int],
        make: Callable[[], gymnasium.Env],
        reader: MaskReader | None = None,
    ) -> None:
        self._make = make
        self._vector: AsyncVectorEnv | None = None
        super().__init__(name, observations, actions, seeds, reader)

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
        # No other process can import a plugin file, so what it defines is pickled by value.
        for name, module in list(sys.modules.items()):
            if name.startswith("embrl_plugin_"):
                cloudpickle.register_pickle_by_value(module)
        try:
            self._vector = AsyncVectorEnv(
                [functools.partial(_without_info, self._make, self._lanes.reader)] * self.num_envs,
                context=context,
                autoreset_mode=AutoresetMode.SAME_STEP,
            )
        except EmbrlError:
            raise
        except Exception as error:
            raise EmbrlError(
                f"{self.name} cannot be made in a process of its own ({told(error)}); {ADVICE}"
            ) from error
        return self._begun(seeds, "when it was first reset")

    def _restart(self, seeds: Sequence[int]) -> np.ndarray:
        return self._begun(seeds, "when it was reset")

    def _begun(self, seeds: Sequence[int], when: str) -> np.ndarray:
        first, info = self._request(when, lambda vector: vector.reset(seed=list(seeds)))
        self._take_masks(info)
        self._lanes.now = self._masks_read(when)
        self._watch(first, row=0)
        return self._read(first)

    def _take_masks(self, info: Any, indices: Sequence[int] | None = None) -> None:
        """Take in the masks that processes have sent, of all environments or of some."""
        given, masks = info.get("_" + MASK), info.get(MASK)
        for index in range(self.num_envs) if indices is None else indices:
            self._lanes.put(index, masks[index] if given is not None and given[index] else None)

    def _advance(self, actions: Any) -> Advance:
        when = f"at step {self.steps + 1}"
        observations, rewards, terminated, truncated, info = self._request(
            when, lambda vector: vector.step(actions)
        )
        first = after = self._read(observations)
        self._watch(observations, row=0)
        ended = np.flatnonzero(terminated | truncated)
        self._take_masks(info)
        self._take_masks(info.get("final_info", {}), ended.tolist())
        masks = self._masks_read(when, terminated | truncated)
        self._lanes.now = masks
        if len(ended):
            after = first.copy()
            for index in ended:
                after[index] = self._converted(info["final_obs"][index])
            self._take_masks(info, ended.tolist())
            reset = f"when it was reset after step {self.steps + 1}"
            self._lanes.now = self._masks_read(reset)
        if ARRAYS in info or ARRAYS in info.get("final_info", {}):
            self._warn_of_arrays()
        with np.errstate(over="ignore"):
            rewards = rewards.astype(np.float32)
        return Advance(HostStep(after, rewards, terminated, truncated, masks), first)

    def _request(self, when: str, call: Callable[[AsyncVectorEnv], Any]) -> Any:
        vector = self._vector
        if vector is None:
            raise EmbrlError(f"{self.name}: its environments are closed; open them again")
        try:
            with warnings.catch_warnings():
                # Gymnasium shows the traceback of what a process raised as a warning.
                warnings.simplefilter("ignore", UserWarning)
                return call(vector)
        except GONE as error:
            dead = [not process.is_alive() for process in vector.processes]
            index = dead.index(True) if any(dead) else 0
            raise EmbrlError(f"{self._at(index)}: its process ended {when}") from error
        except Exception as error:
            # The only trace of which process it was.
            closed = [pipe is None for pipe in vector.parent_pipes]
            index = closed.index(True) if any(closed) else 0
            raise self._raised(index, error, when) from error


class _WithoutInfo(gymnasium.Wrapper):
    """An environment with no info but its masks: the rest is not read and takes time to send.

    Observations are copied, so that they stay as they are when the environment goes on. Rewards
    and flags are checked here, as Gymnasium's vector would fail on them without a word of why.
    """

    def __init__(self, env: gymnasium.Env, reader: MaskReader | None) -> None:
        super().__init__(env)
        self._lane = LaneMasks(reader, 1)
        self._lane.attach(0, env)

    def step(self, action: Any) -> Any:
        observation, *rest, info = step_of(self.env, action)
        try:
            results, arrays = contract.results(*([value] for value in rest))
        except contract.NotOneValue as error:
            raise EmbrlError(str(error)) from error  # which can be sent from process to process
        kept = self._masks(observation, info, over=bool(results[1][0]))
        kept |= {ARRAYS: True} if arrays else {}
        return copy.deepcopy(observation), *(value.item() for value in results), kept

    def reset(self, **options: Any) -> Any:
        observation, info = reset_of(self.env, **options)
        return observation, self._masks(observation, info)

    def _masks(self, observation: Any, info: Any, over: bool = False) -> dict[str, Any]:
        try:
            mask = self._lane.of(0, observation, info, over)
        except EmbrlError as error:
            raise EmbrlError(str(error)) from error  # as above
        return {} if mask is None else {MASK: mask}

    def close(self) -> None:
        with contextlib.suppress(Exception):  # it could only end the process, with a traceback
            self.env.close()


def _without_info(make: Callable[[], gymnasium.Env], reader: MaskReader | None) -> gymnasium.Env:
    return _WithoutInfo(make(), reader)
