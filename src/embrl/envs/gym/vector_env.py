"""Parallel environments on the host: what all ways of stepping them have in common."""

import abc
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from embrl.core.errors import EmbrlError, told
from embrl.envs.gym.contract import NotOneValue, results
from embrl.envs.gym.flat_actions import Actions
from embrl.envs.gym.flat_observations import Observations
from embrl.envs.gym.masks import EmptyMask, LaneMasks, MaskReader
from embrl.envs.gym.precision import PrecisionWatch


class HostStep(NamedTuple):
    """One step of `B` parallel environments; arrays are new in every step and read-only."""

    observation: np.ndarray
    """True next observations, also where an episode ends: float32 `[B, p]`, int32 `[B]` or int32
    `[B, k]`."""
    reward: np.ndarray
    """Rewards, float32 `[B]`."""
    terminated: np.ndarray
    """True where the episode terminated, not truncated; bool `[B]`."""
    truncated: np.ndarray
    """True where a step limit ended the episode, after which the value still counts; bool `[B]`."""
    masks: np.ndarray | None = None
    """Actions that may be chosen in the next observations, bool `[B, n]`; None where every action
    may be."""


class Advance(NamedTuple):
    """Result of stepping every environment once and resetting those that ended."""

    step: HostStep
    first: np.ndarray
    """Observations the next actions answer to: the new episode's first where one ended."""


class HostVectorEnv(abc.ABC):
    """`B` parallel environments that reset themselves.

    Subclasses differ in how they step: in one thread, in threads, in processes, in envpool or in
    ale-py. The same seed gives the same episodes in each of them but these two, which have their
    own environments.
    """

    def __init__(
        self,
        name: str,
        observations: Observations,
        actions: Actions,
        seeds: Sequence[int],
        reader: MaskReader | None = None,
    ) -> None:
        """Make and reset the environments.

        Args:
            name: Name for messages.
            observations: Converter of the environment's observations.
            actions: Converter of the environment's actions.
            seeds: One seed for each environment.
            reader: Reader of action masks; None: every action may be chosen.

        Raises:
            EmbrlError: If an environment cannot be made or reset.
        """
        self.name = name
        self.num_envs = len(seeds)
        self.steps = 0
        """Steps of each environment since it was opened."""
        self._read, self._actions = observations, actions
        self._lanes = LaneMasks(reader, self.num_envs)
        self._watch = PrecisionWatch(name, observations)
        try:
            first = self._open(seeds)
            self._check_observations(first, "when it was first reset")
        except BaseException:
            self.close()
            raise
        self.observations = first
        """Observations the next actions answer to, `[B, ...]`."""

    def step(self, actions: np.ndarray) -> HostStep:
        """Step every environment; where an episode ends, the next one begins.

        Args:
            actions: `[B]` or `[B, n]`, in the environment's `action_space`.

        Raises:
            EmbrlError: If an environment raises, or gives an observation that is no value of its
                space or a reward that is not finite; the message says which environment, which step
                and what. Numbers outside their bounds are taken, unless the environment is strict.
        """
        actions = np.asarray(actions)
        if actions.shape[:1] != (self.num_envs,):
            raise EmbrlError(
                f"actions of {self.name} must have a leading axis of {self.num_envs}, one for each "
                f"environment, got shape {list(actions.shape)}"
            )
        step, first = self._advance(self._actions.to_original(actions))
        self.steps += 1
        self._check_observations(step.observation, f"at step {self.steps}")
        if first is not step.observation:
            self._check_observations(first, f"when it was reset after step {self.steps}")
        wrong = ~np.isfinite(step.reward)
        if wrong.any():
            index = int(np.argmax(wrong))
            raise EmbrlError(
                f"{self._at(index)} gave the reward {step.reward[index]} at step {self.steps}"
            )
        self.observations = first
        return step

    def restart(self, seed: int) -> None:
        """Reset every environment as if just opened with this seed, from index 0 on.

        Raises:
            EmbrlError: If an environment cannot be reset.
        """
        first = self._restart(env_seeds(self.num_envs, seed))
        self.steps = 0
        self._check_observations(first, "when it was reset")
        self.observations = first

    @property
    def masks(self) -> np.ndarray | None:
        """Actions that the environments accept next, bool `[B, n]`; None: all, as far as is known.

        An environment that gives no mask accepts every action.
        """
        return self._lanes.now

    def render(self) -> list[Any]:
        """Return a picture of each environment in its current state.

        Raises:
            EmbrlError: If the environments were opened without a `render_mode`.
        """
        raise EmbrlError(f"{self.name} cannot be rendered; open it with a render_mode")

    @abc.abstractmethod
    def close(self) -> None:
        """Close the environments and their processes; may be called twice."""

    def __enter__(self) -> "HostVectorEnv":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abc.abstractmethod
    def _open(self, seeds: Sequence[int]) -> np.ndarray:
        """Make and reset every environment; return the first observations."""

    @abc.abstractmethod
    def _advance(self, actions: Any) -> Advance:
        """Take a step with the environment's own actions, environments first in each leaf."""

    def _restart(self, seeds: Sequence[int]) -> np.ndarray:
        """Reset every environment; return the first observations."""
        self.close()
        return self._open(seeds)

    def _converted(self, observation: Any) -> np.ndarray:
        """Convert the observation of one environment.

        Raises:
            EmbrlError: If it does not belong to its space.
        """
        value = self._read(observation)
        if value.shape != self._read.shape:
            raise EmbrlError(
                "an observation has axes that its space does not have, "
                f"{list(value.shape[: value.ndim - len(self._read.shape)])} before the shape of "
                f"{self._read.original}; return one observation"
            )
        return value

    def _masks_read(self, when: str, ended: np.ndarray | None = None) -> np.ndarray | None:
        """Return the masks that were taken in (`LaneMasks.stacked`).

        Raises:
            EmbrlError: If one allows no action; the message says whose and when.
        """
        try:
            return self._lanes.stacked(ended)
        except EmptyMask as error:
            raise self._raised(error.index, error, when) from error

    def _step_from(
        self,
        observation: np.ndarray,
        reward: Sequence[Any],
        terminated: Sequence[Any],
        truncated: Sequence[Any],
    ) -> HostStep:
        """Return a step of converted observations, and of the rest as environments return it.

        Raises:
            EmbrlError: If a reward is not a number, or a flag not true or false.
        """
        try:
            values, arrays = results(reward, terminated, truncated)
        except NotOneValue as error:
            raise self._raised(error.index, error, f"at step {self.steps + 1}") from error
        if arrays:
            self._warn_of_arrays()
        return HostStep(observation, *values)

    def _warn_of_arrays(self) -> None:
        self._read.warn(
            "arrays",
            f"{self.name} returns a reward or flag as an array of one value, which is taken as a "
            f"number (first at step {self.steps + 1}); return a float and bools",
        )

    def _raised(self, index: int, error: Exception, when: str) -> EmbrlError:
        """Return the error to raise in place of an environment's own exception."""
        if isinstance(error, EmbrlError):  # embrl's own, about the value it was given
            return EmbrlError(f"{self._at(index)} failed {when}: {error}")
        kind, colon, said = told(error).partition(":")
        return EmbrlError(f"{self._at(index)} raised {kind} {when}{colon}{said}")

    def _at(self, index: int) -> str:
        return f"{self.name}: environment {index} of {self.num_envs}"

    def _check_observations(self, values: np.ndarray, when: str) -> None:
        self._read.check(values, self._at, when)


class PooledVectorEnv(HostVectorEnv):
    """Environments that another library makes, and steps in threads of its own."""

    def __init__(
        self,
        name: str,
        observations: Observations,
        actions: Actions,
        seeds: Sequence[int],
        options: dict[str, Any],
    ) -> None:
        """Make and reset the environments.

        Args:
            name: That of `HostVectorEnv`, as the others are.
            observations: See there.
            actions: See there.
            seeds: See there.
            options: The library's own.
        """
        self._options = options
        self._pool: Any = None
        """What the library made; None once it is closed."""
        super().__init__(name, observations, actions, seeds)

    def close(self) -> None:
        """Close what the library made, if it did."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


def env_seeds(num_envs: int, seed: int, first: int = 0) -> list[int]:
    """Return a 31-bit seed for each of `num_envs` environments.

    Args:
        num_envs: Number of environments, at least 1. The seed of an environment does not depend
            on it.
        seed: Seed from which all are derived, at least 0.
        first: Index of the first environment.

    Raises:
        EmbrlError: If `num_envs` or `seed` is out of range.
    """
    if num_envs < 1:
        raise EmbrlError(f"num_envs must be at least 1, got {num_envs}")
    if seed < 0:
        raise EmbrlError(f"seed must be at least 0, got {seed}")
    return [
        int(np.random.SeedSequence(seed, spawn_key=(index,)).generate_state(1)[0] >> 1)
        for index in range(first, first + num_envs)
    ]
