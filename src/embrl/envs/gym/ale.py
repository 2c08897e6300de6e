"""Parallel Atari games in the threads of ale-py, which preprocesses their pictures in C++."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from embrl.core.errors import EmbrlError, require
from embrl.core.runtime import available_cores
from embrl.envs.gym.vector_env import Advance, PooledVectorEnv

NAMESPACE = "ALE/"
"""Beginning of the ids of ale-py's games."""

SET = ("game", "num_envs", "batch_size", "autoreset_mode")
"""Arguments of `AtariVectorEnv` that embrl sets itself."""

EVALUATED = {"reward_clipping": False, "episodic_life": False}
"""Options with which returns are those of the game."""


class AleHostVectorEnv(PooledVectorEnv):
    """Environments of `ale_py.vector_env.AtariVectorEnv`, all of them stepped in each batch.

    They are reset in the step that ends an episode (Gymnasium's `SAME_STEP`), which returns the
    true last observations as `final_obs`. The same seeds give the same episodes with any number of
    threads.
    """

    def _open(self, seeds: Sequence[int]) -> np.ndarray:
        self._pool = _made(self.name, self.num_envs, self._options)
        return self._restart(seeds)

    def _restart(self, seeds: Sequence[int]) -> np.ndarray:
        return self._read(self._pool.reset(seed=np.array(seeds))[0])

    def _advance(self, actions: Any) -> Advance:
        observations, *results, info = self._pool.step(actions)
        first = after = self._read(observations)
        step = self._step_from(after, *results)
        ended = step.terminated | step.truncated
        if ended.any():
            after = first.copy()
            after[ended] = self._read(info["final_obs"][ended])
        return Advance(step._replace(observation=after), first)


def ale_options(
    spec: EnvSpec, kwargs: dict[str, Any], max_episode_steps: int | None
) -> dict[str, Any]:
    """Return the arguments of `AtariVectorEnv` for a registered game.

    Those of the id (sticky actions, frame skip), then embrl's: rewards are not clipped, and there
    are as many threads as cores; then the user's.

    Args:
        spec: The game's specification.
        kwargs: Arguments that the user gave.
        max_episode_steps: Steps, not frames, until truncation; None: the game's own limit.

    Raises:
        EmbrlError: If the id is no game of ale-py's vector environment, or an argument is one that
            embrl sets.
    """
    if spec.vector_entry_point != "ale_py.vector_env:AtariVectorEnv":
        raise EmbrlError(
            f"env.vector must be sync, threads or async for {spec.id}, got ale, which has Atari "
            f"games alone, as {NAMESPACE}Pong-v5"
        )
    for name in kwargs:
        if name in SET:
            raise EmbrlError(f"env.kwargs must not contain {name}, which embrl sets itself")
    options = {**spec.kwargs, "reward_clipping": False, "num_threads": 0, **kwargs}
    if max_episode_steps is not None:
        options["max_num_frames_per_episode"] = max_episode_steps * options["frameskip"]
    return options


def ale_spaces(
    name: str, options: dict[str, Any]
) -> tuple[spaces.Space, spaces.Space, tuple[str, ...] | None]:
    """Return the observation and action spaces of one environment, and the names of its actions.

    Args:
        name: Name for messages.
        options: Arguments of `AtariVectorEnv`.

    Raises:
        EmbrlError: If ale-py refuses an option.
    """
    games = _made(name, 1, options)
    seen, actions = games.single_observation_space, games.single_action_space
    if 0 in seen.shape:
        raise EmbrlError(f"{name} must have observations, got {seen}; see env.kwargs")
    names = None
    if isinstance(actions, spaces.Discrete):
        names = tuple(action.name for action in games.ale.get_action_set())
    return seen, actions, names


def ale_steps(options: dict[str, Any]) -> int:
    """Return the steps after which an episode is truncated."""
    return -(-options["max_num_frames_per_episode"] // options["frameskip"])


def register() -> bool:
    """Import ale-py, which registers its games with Gymnasium; return whether it is installed."""
    try:
        importlib.import_module("ale_py")
    except ModuleNotFoundError:
        return False
    return True


def _made(name: str, num_envs: int, options: dict[str, Any]) -> Any:
    ale_py = require("ale_py", "atari")
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # else it prints its name
    threads = options["num_threads"] or min(num_envs, available_cores())
    given = options | {"num_threads": threads, "autoreset_mode": "SameStep"}
    try:
        return ale_py.AtariVectorEnv(num_envs=num_envs, **given)
    except Exception as error:
        raise EmbrlError(f"ale-py cannot make {name}: {type(error).__name__}: {error}") from error
