"""Where a run takes place: in the compiled program, or beside it, on the host."""

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from embrl.core.types import Transition
from embrl.envs import AnyEnvironment, Environment
from embrl.training.evaluation import random_return
from embrl.training.replicas import Rows
from embrl.training.state import Agent, Found, SeedState
from embrl.training.trainer import Program

if TYPE_CHECKING:
    pass

Measures = dict[str, Any]
"""An array of all rows, `[rows]`, for each name."""


class Truth(NamedTuple):
    """What an environment says of itself, for measuring only (`Environment`)."""

    state_coordinates: np.ndarray | None = None
    coordinate_names: tuple[str, ...] | None = None
    action_effects: np.ndarray | None = None


class World(Protocol):
    """What training needs of an environment, for all rows of a run together. All that is learned is
    learned by `Program`, wherever the steps are taken.
    """

    def collect(self) -> Transition:
        """Random transitions, `[rows, T, B, ...]`; the same each time."""
        ...

    def begin(self, agent: Agent, found: Found | None) -> SeedState:
        """The agents at the beginning of their first epoch (`Program.begin`)."""
        ...

    def shapes(self, agent: Any, found: Any) -> Any:
        """The shapes of what `begin` returns."""
        ...

    def improve(self, state: SeedState, first: int, count: int) -> tuple[SeedState, Measures]:
        """`count` epochs from number `first` on, and their measures (`Program.improve`)."""
        ...

    def evaluate(self, state: SeedState, index: int, rounds: int) -> Measures:
        """What the policies are worth (`Program.evaluate`)."""
        ...

    def truth(self, observations: np.ndarray) -> Truth:
        """What the environment knows of these observations, and of its actions."""
        ...

    def references(self) -> dict[str, float | None]:
        """Returns to compare with, at least `random_return`."""
        ...

    def close(self) -> None:
        """Ends what runs beside this process's program."""
        ...


def world(rows: Rows, env: AnyEnvironment) -> World:
    """The world for an environment of either kind."""
    if isinstance(env, Environment):
        return CompiledWorld(rows, env)
    from embrl.training.hosted_backend import HostWorld  # Gymnasium is not needed before

    return HostWorld(rows, env)


class CompiledWorld:
    """An environment of ours: everything is one compiled program."""

    def __init__(self, rows: Rows, env: Environment) -> None:
        self.env, self.program, self.keys = env, rows.program, rows.keys
        self._collect = rows.over(Program.collect, shared=(0,), once=True)
        self._start = rows.over(Program.start, shared=(0,), once=True)
        self._improve = rows.over(Program.improve, shared=(0, 3, 4), donate=(1,))
        self._evaluate = rows.over(Program.evaluate, shared=(0, 3, 4))

    def collect(self) -> Transition:
        return self._collect(self.env, self.keys)

    def begin(self, agent: Agent, found: Found | None) -> SeedState:
        return self._start(self.env, self.keys, agent, found)

    def shapes(self, agent: Any, found: Any) -> Any:
        start = jax.vmap(self.program.start, (None, 0, 0, 0))
        return jax.eval_shape(start, self.env, self.keys, agent, found)

    def improve(self, state: SeedState, first: int, count: int) -> tuple[SeedState, Measures]:
        return self._improve(self.env, state, self.keys, jnp.int32(first), jnp.int32(count))

    def evaluate(self, state: SeedState, index: int, rounds: int) -> Measures:
        return self._evaluate(self.env, state, self.keys, jnp.int32(index), jnp.int32(rounds))

    def truth(self, observations: np.ndarray) -> Truth:
        coordinates = self.env.state_coordinates(jnp.asarray(observations))
        effects = self.env.action_effects()
        return Truth(
            None if coordinates is None else np.asarray(coordinates),
            self.env.coordinate_names,
            None if effects is None else np.asarray(effects),
        )

    def references(self) -> dict[str, float | None]:
        key = jax.random.key(0)  # the same for every run of an environment
        return {"random_return": random_return(self.env, key), **self.env.references(key)}

    def close(self) -> None:
        pass
