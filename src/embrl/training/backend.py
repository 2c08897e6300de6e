"""Backends: where the environments of a run are stepped, compiled or on the host."""

from typing import Any, NamedTuple, Protocol

import numpy as np

from embrl.core.registry import Registry
from embrl.core.types import Transition
from embrl.envs import AnyEnvironment, Environment
from embrl.training.replicas import Replicas
from embrl.training.state import Agent, PretrainingData, TrainState

Metrics = dict[str, Any]
"""An array of all replicas, `[replicas]`, for each name."""


class GroundTruth(NamedTuple):
    """What an environment knows of its states and actions, for measuring only (`Environment`)."""

    state_coordinates: np.ndarray | None = None
    coordinate_names: tuple[str, ...] | None = None
    action_effects: np.ndarray | None = None


class Backend(Protocol):
    """What training needs of an environment, for all replicas of a run together.

    Learning itself is done by `Trainer`, wherever the steps are taken.
    """

    def collect(self) -> Transition:
        """Return random transitions, `[replicas, T, B, ...]`; the same each time."""
        ...

    def begin(self, agent: Agent, data: PretrainingData | None) -> TrainState:
        """Return the states before the first update (`Trainer.begin`)."""
        ...

    def shapes(self, agent: Any, data: Any) -> Any:
        """Return the shapes of what `begin` returns."""
        ...

    def improve(self, state: TrainState, first: int, count: int) -> tuple[TrainState, Metrics]:
        """Run `count` updates from number `first` on (`Trainer.iterate`)."""
        ...

    def evaluate(self, state: TrainState, index: int, rounds: int) -> Metrics:
        """Evaluate the policies after `index` updates (`Trainer.evaluate`)."""
        ...

    def ground_truth(self, observations: np.ndarray) -> GroundTruth:
        """Return what the environment knows of these observations, and of its actions."""
        ...

    def references(self) -> dict[str, float | None]:
        """Return returns to compare with, at least `random_return`."""
        ...

    def close(self) -> None:
        """Stop whatever runs beside this process."""
        ...


BACKENDS = Registry(
    "backend",
    {
        "compiled": "embrl.training.compiled_backend:CompiledBackend",
        "hosted": "embrl.training.hosted_backend:HostedBackend",
    },
)


def make_backend(replicas: Replicas, env: AnyEnvironment) -> Backend:
    """Return the backend for an environment of either kind."""
    return BACKENDS["compiled" if isinstance(env, Environment) else "hosted"](replicas, env)
