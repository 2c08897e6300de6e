"""Where the transitions of a fit come from."""

import abc
import dataclasses
from typing import Any, ClassVar, NoReturn, Protocol, cast

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from embrl.data.sources.playing import Behaviour, play_compiled, play_host
from embrl.data.sources.recorded import Recorded
from embrl.envs import EnvConfig, Environment
from embrl.envs.environment import named_factor
from embrl.errors import EmbrlError
from embrl.fitting.run_policy import RunPolicy
from embrl.spaces import is_continuous
from embrl.training.config import RunConfig
from embrl.training.purpose import Purpose, purpose
from embrl.training.rows import Rows
from embrl.training.settings import Settings, default_config
from embrl.training.world import AnyEnvironment, Truth, World, world
from embrl.types import Transition

DATA = "data"
"""What a configuration calls the environment where there is none."""

NEEDS = {"reward": ("reward",), "termination": ("terminated",), "outcome": ("reward", "terminated")}
"""Objectives that look at columns which recorded data may lack."""


class Opened(Protocol):
    """What a fit needs of it: a part of a `World`."""

    def collect(self) -> Transition:
        """`[1, T, B, ...]`."""
        ...

    def truth(self, observations: np.ndarray) -> Truth:
        """What is known of these observations, and of actions."""
        ...

    def close(self) -> None:
        """Ends what runs beside this process's program."""
        ...


class Origin(abc.ABC):
    """Spaces, and transitions once it is opened. One of: `Data`, `Played`."""

    name: str
    """For messages, and for the record."""

    @property
    @abc.abstractmethod
    def observation_space(self) -> gymnasium.Space:
        """In embrl's form."""

    @property
    @abc.abstractmethod
    def action_space(self) -> gymnasium.Space:
        """In embrl's form."""

    @property
    def named(self) -> int | None:
        """The factor of observations whose values the actions name, if they do."""
        return None

    def action_features(self) -> Any:
        """What is known of each discrete action (`model.action_features env`); None: nothing."""
        return None

    @property
    @abc.abstractmethod
    def about(self) -> dict[str, Any]:
        """For the record."""

    @abc.abstractmethod
    def config(self, method: str, settings: Settings) -> RunConfig:
        """The settings that a fit has when nothing else is said."""

    @abc.abstractmethod
    def open(self, rows: Rows) -> Opened:
        """Ready to collect."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Settings in place of an environment's, where there is none."""

    host: ClassVar[bool] = True
    """No compiled program takes steps in it."""

    name: str = ""
    """Of the file or data set."""
    continuous_actions: bool = False
    """Whether actions are vectors, not indices."""

    def build(self) -> NoReturn:
        """
        Raises:
            EmbrlError: always.
        """
        raise EmbrlError(f"{self.name} is recorded: there is no environment to take steps in")


@dataclasses.dataclass(frozen=True, eq=False)
class Data(Origin):
    """Transitions that were recorded."""

    recorded: Recorded

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.recorded.name

    @property
    def observation_space(self) -> gymnasium.Space:
        return self.recorded.observation_space

    @property
    def action_space(self) -> gymnasium.Space:
        return self.recorded.action_space

    @property
    def about(self) -> dict[str, Any]:
        return {"kind": "data", **self.recorded.about}

    def config(self, method: str, settings: Settings) -> RunConfig:
        env = DataConfig(self.name, is_continuous(self.action_space))
        built = cast(AnyEnvironment, self)  # for its spaces
        config = default_config(DATA, cast(EnvConfig, env), method, "vpg", settings, built)
        samples = dataclasses.replace(config.fit, samples=self.recorded.samples)
        return dataclasses.replace(config, fit=samples)

    def open(self, rows: Rows) -> Opened:
        for column in self.recorded.lacks:
            needy = [
                name for name in rows.program.config.objectives if column in NEEDS.get(name, ())
            ]
            if needy:
                raise EmbrlError(
                    f"{self.name} has no column {column}, and objective {needy[0]} needs it: "
                    "choose another method, or other objectives"
                )
        return _Recorded(self.recorded.first(rows.program.config.fit.samples))


@dataclasses.dataclass(frozen=True, eq=False)
class _Recorded:
    recorded: Recorded

    def collect(self) -> Transition:
        return jax.tree.map(lambda column: jnp.asarray(column)[None], self.recorded.transitions)

    def truth(self, observations: np.ndarray) -> Truth:
        del observations
        return Truth()

    def close(self) -> None:
        pass


@dataclasses.dataclass(frozen=True, eq=False)
class Played(Origin):
    """An environment in which steps are taken."""

    name: str
    env_config: EnvConfig
    env: AnyEnvironment
    policy: "Behaviour | RunPolicy | None" = None
    """Who chooses actions; None: chance."""

    @property
    def observation_space(self) -> gymnasium.Space:
        return self.env.observation_space

    @property
    def action_space(self) -> gymnasium.Space:
        return self.env.action_space

    @property
    def named(self) -> int | None:
        return named_factor(self.env_config)

    def action_features(self) -> Any:
        return self.env.action_features()

    @property
    def about(self) -> dict[str, Any]:
        who = "random" if self.policy is None else getattr(self.policy, "__name__", "a function")
        settings = dataclasses.asdict(cast(Any, self.env_config))
        return {"kind": "environment", "policy": who, "env": settings}

    def config(self, method: str, settings: Settings) -> RunConfig:
        return default_config(self.name, self.env_config, method, "vpg", settings, self.env)

    def open(self, rows: Rows) -> Opened:
        there = world(rows, self.env)
        return there if self.policy is None else _Behaved(rows, self.env, self.policy, there)


@dataclasses.dataclass(frozen=True, eq=False)
class _Behaved:
    """Steps of a policy; all else as in `world`."""

    rows: Rows
    env: AnyEnvironment
    policy: "Behaviour | RunPolicy"
    world: World

    def collect(self) -> Transition:
        program = self.rows.program
        key = purpose(self.rows.keys[0], Purpose.COLLECT)
        samples, lanes = program.pretraining_samples, program.config.rollout.lanes
        env, seed = self.env, program.config.seed
        if isinstance(self.policy, RunPolicy):
            found = self.policy.steps(env, key, samples // lanes, lanes, seed)
        elif isinstance(env, Environment):
            found = play_compiled(env, self.policy, samples, key)
        else:
            found = play_host(env, self.policy, samples, seed)
        return jax.tree.map(lambda column: jnp.asarray(column)[None], found)

    def truth(self, observations: np.ndarray) -> Truth:
        return self.world.truth(observations)

    def close(self) -> None:
        self.world.close()
