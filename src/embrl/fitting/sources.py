"""What a person calls a source, as an `Origin`."""

import abc
import dataclasses
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Protocol, cast

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from embrl import envs
from embrl.algorithms.policy import OverallPolicy
from embrl.config.defaults import Settings, default_config
from embrl.config.run import RunConfig, from_json
from embrl.core.errors import EmbrlError
from embrl.core.spaces import difference, is_continuous
from embrl.core.types import Key, Transition
from embrl.data.rollout import host_rollout, open_lanes, rollout
from embrl.data.sources import UNSAID, Given, Recorded, from_transition, looks_recorded, read
from embrl.data.sources.behaviour import Behaviour, play_compiled, play_host
from embrl.envs import ENVIRONMENTS, AnyEnvironment, EnvConfig, Environment, Truth, World, world
from embrl.envs.environment import named_factor
from embrl.envs.host import HostEnvironment, ObjectConfig
from embrl.envs.host.objects import PREFIX
from embrl.storage.run_folder import RunFolder
from embrl.training.replicas import Rows
from embrl.training.restore import restore
from embrl.training.rng_streams import Purpose, purpose


def origin(
    source: Any,
    given: Given = UNSAID,
    policy: Behaviour | str | Path | None = None,
    options: dict[str, Any] | None = None,
) -> Origin:
    """
    Arguments:
        source: what `embrl.fit` takes.
        given: spaces, of recorded transitions.
        policy: who acts in an environment: a function, or a run's folder; None: chance.
        options: the environment's, of one that has a name.

    Raises:
        EmbrlError: there is no such source, or what it has cannot be used; the message says why.
    """
    if isinstance(source, Transition | Recorded) or is_recorded(source):
        for name, told in (("policy", policy), ("options", options)):
            if told:
                raise EmbrlError(f"{name}: the transitions are recorded: leave it out")
        if isinstance(source, Recorded):
            return Data(source)
        if isinstance(source, Transition):
            return Data(from_transition(source, given))
        return Data(read(source, given))
    if given != UNSAID:
        raise EmbrlError("spaces are given for recorded transitions: an environment has its own")
    found = _environment(source, options or {})
    if policy is None:
        return found
    who = policy if callable(policy) else RunPolicy.of(policy)
    if isinstance(who, RunPolicy):
        who.check(found.env)
    return Played(found.name, found.env_config, found.env, who)


def is_recorded(source: Any) -> bool:
    """Whether a name or path is that of a file or data set."""
    if isinstance(source, str) and source in ENVIRONMENTS:
        return False
    return isinstance(source, str | Path) and looks_recorded(source)


def _environment(source: Any, options: dict[str, Any]) -> Played:
    if isinstance(source, str):
        settings = envs.configure(source, **options)
        return Played(source, settings, settings.build())
    if options:
        raise EmbrlError(
            f"{', '.join(options)}: the environment is an object, its options are set where it is "
            "made"
        )
    if isinstance(source, Environment):
        name = type(source).__name__
        return Played(PREFIX + name, ObjectConfig(name, is_continuous(source.action_space)), source)
    if isinstance(source, gymnasium.Env | HostEnvironment) or callable(source):
        made: Any = source
        host = made if isinstance(made, HostEnvironment) else HostEnvironment.of(made)
        return Played(PREFIX + host.name, ObjectConfig.of(host), host)
    raise EmbrlError(
        f"{source!r} is nothing to fit on: pass an environment or its name, a Transition of "
        "arrays, a file or a Minari data set"
    )


# DOC Where the transitions of a fit come from.


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


# DOC A run's policy as one that collects.


@dataclasses.dataclass(frozen=True, eq=False)
class RunPolicy:
    """pi_o of one seed of a run."""

    path: Path
    policy: OverallPolicy
    observation_space: gymnasium.Space
    action_space: gymnasium.Space

    @classmethod
    def of(cls, path: str | Path, seed: int = 0) -> "RunPolicy":
        """
        Raises:
            EmbrlError: there is no such run or seed, or no policy in it yet.
        """
        folder = RunFolder.existing(path)
        config = from_json(folder.config(), folder.path / "config.json")
        left = restore(folder, config, seed)
        return cls(folder.path, left.policy, left.observation_space, left.action_space)

    @property
    def __name__(self) -> str:
        """For the record."""
        return self.path.name

    def check(self, env: AnyEnvironment) -> None:
        """
        Raises:
            EmbrlError: it is of another environment; the message says what differs.
        """
        for kind, has, needs in (
            ("observation", self.observation_space, env.observation_space),
            ("action", self.action_space, env.action_space),
        ):
            if differs := difference(has, needs):
                raise EmbrlError(f"policy: {self.path} has another {kind} space: {differs}")

    def steps(self, env: AnyEnvironment, key: Key, steps: int, lanes: int, seed: int) -> Transition:
        """So many steps of as many lanes, `[T, B, ...]`."""
        self.check(env)
        key_open, key_noise, key_step = jax.random.split(key, 3)
        noise = self.policy.noise(key_noise, (steps, lanes))
        if isinstance(env, Environment):

            @jax.jit
            def roll(env: Environment, policy: OverallPolicy, noise: Any) -> Transition:
                start = open_lanes(env, key_open, lanes)
                return rollout(env, policy.act, start, key_step, noise)[1]

            return roll(env, self.policy, noise)
        act = jax.jit(lambda policy, seen, noise: policy.act(seen, noise)[0])

        def choose(seen: np.ndarray, t: int) -> tuple[Any, None]:
            now = jax.tree.map(lambda whole: whole[t], noise)
            return np.asarray(act(self.policy, seen[0], now))[None], None

        with env.open(lanes, seed) as opened:
            found, _ = host_rollout(opened, steps, choose, 1)
        return jax.tree.map(lambda column: column[0], found)
