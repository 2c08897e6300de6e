"""Environments side by side, on the host."""

import abc
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from embrl.core.errors import EmbrlError
from embrl.envs.host.actions import Actions
from embrl.envs.host.observations import Observations


class HostStep(NamedTuple):
    """One step of `B` lanes. Arrays are fresh in every step, and to be read only."""

    observation: np.ndarray
    """The true next ones, also where an episode ends: float32 `[B, p]`, or int32 `[B]` or
    `[B, k]`."""
    reward: np.ndarray
    """float32 `[B]`."""
    terminated: np.ndarray
    """bool `[B]`: the end of the world."""
    truncated: np.ndarray
    """bool `[B]`: a limit of steps, after which the value still counts."""


class Advance(NamedTuple):
    """What a kind of lanes makes of one step."""

    step: HostStep
    first: np.ndarray
    """What the next actions answer to: of lanes that ended, the new episode's first."""


class HostLanes(abc.ABC):
    """`B` environments that reset themselves. One of: `SyncLanes`, `AsyncLanes`, `PoolLanes`.

    The same seed gives the same lanes, whichever kind they are of (but for envpool's own
    environments).
    """

    def __init__(
        self, name: str, observations: Observations, actions: Actions, seeds: Sequence[int]
    ) -> None:
        self.name = name
        self.lanes = len(seeds)
        self.steps = 0
        """Steps of each lane since it was opened."""
        self._read, self._actions = observations, actions
        try:
            first = self._open(seeds)
            self._check_observations(first, "when it was first reset")
        except BaseException:
            self.close()
            raise
        self.observations = first
        """What the next actions answer to, `[B, ...]`."""

    def step(self, actions: np.ndarray) -> HostStep:
        """Takes a step in every lane; where an episode ends, the next one begins.

        Arguments:
            actions: `[B]` or `[B, n]`, in the environment's `action_space`.

        Raises:
            EmbrlError: an environment raised something, or gave what is no observation of its
                space or no finite number; the message says which lane, which step and what.
        """
        actions = np.asarray(actions)
        if actions.shape[:1] != (self.lanes,):
            raise EmbrlError(
                f"{self.name}: {self.lanes} lanes take as many actions, not {list(actions.shape)}"
            )
        step, first = self._advance(self._actions.to_original(actions))
        self.steps += 1
        self._check_observations(step.observation, f"at step {self.steps}")
        if first is not step.observation:
            self._check_observations(first, f"when it was reset after step {self.steps}")
        wrong = ~np.isfinite(step.reward)
        if wrong.any():
            lane = int(np.argmax(wrong))
            raise EmbrlError(
                f"{self._at(lane)} gave the reward {step.reward[lane]} at step {self.steps}"
            )
        self.observations = first
        return step

    def restart(self, seed: int) -> None:
        """Begins anew in every lane, as if just opened with this seed, from lane 0 on.

        Raises:
            EmbrlError: an environment cannot be reset.
        """
        first = self._restart(lane_seeds(self.lanes, seed))
        self.steps = 0
        self._check_observations(first, "when it was reset")
        self.observations = first

    def render(self) -> list[Any]:
        """A picture of each lane as it stands now.

        Raises:
            EmbrlError: the lanes were opened without a `render_mode`.
        """
        raise EmbrlError(f"{self.name}: open its lanes with a render_mode to see them")

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the environments, and their processes. May be called twice."""

    def __enter__(self) -> "HostLanes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abc.abstractmethod
    def _open(self, seeds: Sequence[int]) -> np.ndarray:
        """Makes and resets every environment; the first observations."""

    @abc.abstractmethod
    def _advance(self, actions: Any) -> Advance:
        """Takes the step; `actions` are the environment's own, lanes first in each leaf."""

    def _restart(self, seeds: Sequence[int]) -> np.ndarray:
        """Resets every environment; the first observations."""
        self.close()
        return self._open(seeds)

    def _converted(self, observation: Any) -> np.ndarray:
        """The observation of one lane.

        Raises:
            EmbrlError: it is none of its space.
        """
        value = self._read(observation)
        if value.shape != self._read.shape:
            raise EmbrlError(
                f"an observation has axes that its space has not: {self._read.original}"
            )
        return value

    def _raised(self, lane: int, error: Exception, when: str) -> EmbrlError:
        """What is raised in place of an environment's own exception."""
        if isinstance(error, EmbrlError):  # ours, on what it gave
            return EmbrlError(f"{self._at(lane)} failed {when}: {error}")
        said = f": {error}" if str(error) else ""
        return EmbrlError(f"{self._at(lane)} raised {type(error).__name__} {when}{said}")

    def _at(self, lane: int) -> str:
        return f"{self.name}: lane {lane} of {self.lanes}"

    def _check_observations(self, values: np.ndarray, when: str) -> None:
        if fault := self._read.fault(values):
            lane, words = fault
            raise EmbrlError(f"{self._at(lane)} gave {words} {when}")


def lane_seeds(lanes: int, seed: int, first: int = 0) -> list[int]:
    """A seed for each lane from number `first` on, 31 bits; lane b's is the same however many
    there are.

    Raises:
        EmbrlError: there are no lanes, or the seed is negative.
    """
    if lanes < 1:
        raise EmbrlError(f"{lanes} lanes: choose 1 or more")
    if seed < 0:
        raise EmbrlError(f"seed is {seed}: choose 0 or more")
    return [
        int(np.random.SeedSequence(seed, spawn_key=(lane,)).generate_state(1)[0] >> 1)
        for lane in range(first, first + lanes)
    ]
