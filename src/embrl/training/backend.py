"""Backends: where the environments of a run are stepped, compiled or on the host."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from embrl.core.errors import EmbrlError
from embrl.core.registry import Registry
from embrl.core.types import Transition
from embrl.embedding.quality import filled_up
from embrl.envs import AnyEnvironment, Environment
from embrl.training.compile_ahead import Expect
from embrl.training.evaluation import random_return
from embrl.training.kept_programs import kept_result
from embrl.training.replicas import Program, Replicas
from embrl.training.state import Agent, PretrainingData, TrainState
from embrl.training.trainer import EMPTY_MASKS, Trainer
from embrl.training.turns import Turns

Metrics = dict[str, Any]
"""An array of all replicas, `[replicas]`, for each name."""

Report = Callable[[int, int], None]
"""Takes how much of something long is done, and how much there is."""


def ignore_count(done: int, total: int) -> None:
    """Do nothing."""
    del done, total


class GroundTruth(NamedTuple):
    """Facts about states and actions that an environment knows, for measuring only."""

    state_coordinates: np.ndarray | None = None
    coordinate_names: tuple[str, ...] | None = None
    action_effects: np.ndarray | None = None


class Backend(Protocol):
    """Interface of training to an environment, for all replicas of a run together.

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

    def evaluate(
        self, state: TrainState, index: int, rounds: int, report: Report = ignore_count
    ) -> Metrics:
        """Evaluate the policies after `index` updates (`Trainer.evaluate`).

        Args:
            state: of all replicas.
            index: number of updates.
            rounds: repetitions of `evaluation.episodes` episodes.
            report: called with the number of episodes that have been played, and of all.
        """
        ...

    def ground_truth(self, observations: np.ndarray) -> GroundTruth:
        """Return what the environment knows of these observations, and of its actions."""
        ...

    def references(self, report: Report = ignore_count) -> dict[str, float | None]:
        """Return returns to compare with, at least `random_return`; `report` as in `evaluate`."""
        ...

    def close(self) -> None:
        """Stop whatever runs beside this process."""
        ...


BACKENDS = Registry(
    "backend",
    {
        "compiled": "embrl.training.backend:CompiledBackend",
        "hosted": "embrl.training.hosted_backend:HostedBackend",
    },
)


def make_backend(replicas: Replicas, env: AnyEnvironment) -> Backend:
    """Return the backend for an environment of either kind."""
    return BACKENDS["compiled" if isinstance(env, Environment) else "hosted"](replicas, env)


class CompiledBackend:
    """Backend of JAX environments: everything is one compiled trainer."""

    def __init__(self, replicas: Replicas, env: Environment) -> None:
        self.env, self.trainer, self.keys = env, replicas.trainer, replicas.keys
        self._collect = replicas.over(Trainer.collect, shared=(0,), once=True)
        self._start = replicas.over(Trainer.start, shared=(0,), once=True)
        self._imitate = None
        if self.trainer.config.imitation.gradient_steps:
            self._imitate = replicas.over(Trainer.imitate, shared=(0,))
        self._turns = Turns(replicas) if Turns.pay(replicas) else None
        self._iterate = replicas.over(Trainer.iterate, shared=(0, 3, 4), donate=(1,))
        self._evaluate = replicas.over(Trainer.evaluate, shared=(0, 3, 4))

    @property
    def programs(self) -> tuple[Program, ...]:
        """Programs that `expect_transitions` and `compile_ahead` name."""
        iterate = self._iterate if self._turns is None else self._turns.program
        return self._collect, self._start, iterate, self._evaluate

    def expect_transitions(self, expect: Expect) -> Any:
        """Compile `collect`; return the shapes of transitions."""
        return expect(self._collect, self.env, self.keys)

    def compile_ahead(self, expect: Expect, agent: Any, data: Any) -> None:
        """Compile training for agents and transitions of these shapes."""
        number, keys = jnp.int32(0), self.keys
        state = expect(self._start, self.env, keys, agent, data)
        if self._turns is None:
            expect(self._iterate, self.env, state, keys, number, number)
        else:
            self._turns.compile_ahead(expect, self.env, state)
        expect(self._evaluate, self.env, state, keys, number, number)

    def collect(self) -> Transition:
        return self._collect(self.env, self.keys)

    def begin(self, agent: Agent, data: PretrainingData | None) -> TrainState:
        state = self._start(self.env, self.keys, agent, data)
        return state if self._imitate is None else self._imitate(self.env, state, self.keys)

    def shapes(self, agent: Any, data: Any) -> Any:
        start = jax.vmap(self.trainer.start, (None, 0, 0, 0))
        return jax.eval_shape(start, self.env, self.keys, agent, data)

    def improve(self, state: TrainState, first: int, count: int) -> tuple[TrainState, Metrics]:
        if self._turns is None:
            state, metrics = self._iterate(
                self.env, state, self.keys, jnp.int32(first), jnp.int32(count)
            )
        else:
            state, metrics = self._turns(self.env, state, first, count)
        empty = np.max(metrics.pop(EMPTY_MASKS, 0.0))
        if empty > 0:
            begin, end = map(self.trainer.schedule.timesteps, (first, first + count))
            raise EmbrlError(
                f"action_mask of {type(self.env).__name__} must allow an action in every state but "
                f"the end of an episode, got none in {empty:.2%} of the steps between timesteps "
                f"{begin:,} and {end:,}"
            )
        return state, metrics

    def evaluate(
        self, state: TrainState, index: int, rounds: int, report: Report = ignore_count
    ) -> Metrics:
        del report  # one compiled program plays them all
        return self._evaluate(self.env, state, self.keys, jnp.int32(index), jnp.int32(rounds))

    def ground_truth(self, observations: np.ndarray) -> GroundTruth:
        coordinates = self.env.state_coordinates(filled_up(observations))
        effects = self.env.action_effects()
        return GroundTruth(
            None if coordinates is None else np.asarray(coordinates)[: len(observations)],
            self.env.coordinate_names,
            None if effects is None else np.asarray(effects),
        )

    def references(self, report: Report = ignore_count) -> dict[str, float | None]:
        del report
        longest = self.trainer.config.evaluation.max_episode_steps

        def measured() -> dict[str, float | None]:
            key = jax.random.key(0)  # the same for every run of an environment
            random = random_return(self.env, key, max_episode_steps=longest)
            return {"random_return": random, **self.env.references(key)}

        return dict(kept_result(self.env, ("references", longest), measured))

    def close(self) -> None:
        pass
