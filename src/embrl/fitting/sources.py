"""Sources of transitions for a fit: environments with a policy, and recorded data."""

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
from embrl.config.defaults import ALGORITHM, FULL_SIZE, Settings, default_config
from embrl.config.run import RunConfig, load_config
from embrl.core.errors import EmbrlError
from embrl.core.spaces import difference, is_continuous
from embrl.core.types import Key, Transition
from embrl.data.host_rollout import host_rollout
from embrl.data.rollout import open_envs, rollout
from embrl.data.sources import UNSAID, Given, Recorded, from_transition, looks_recorded, read
from embrl.data.sources.behaviour import Behaviour, play_compiled, play_host
from embrl.envs import ENVIRONMENTS, AnyEnvironment, EnvConfig, Environment
from embrl.envs.environment import named_factor
from embrl.envs.gym import HostEnvironment, ObjectConfig
from embrl.envs.gym.registration import PREFIX
from embrl.storage.run_folder import RunFolder
from embrl.training.backend import Backend, GroundTruth, make_backend
from embrl.training.replicas import Replicas
from embrl.training.restore import restore_policy
from embrl.training.rng_streams import RngStream, stream_key

RECORDED = "data"
"""Value of `RunConfig.environment` for recorded data."""

NEEDED_COLUMNS = {
    "reward": ("reward",),
    "termination": ("terminated",),
    "outcome": ("reward", "terminated"),
}
"""Columns that objectives need and recorded data may lack."""


class OpenSource(Protocol):
    """An opened source: a part of a `Backend`."""

    def collect(self) -> Transition:
        """Return the transitions, `[1, T, B, ...]`."""
        ...

    def ground_truth(self, observations: np.ndarray) -> GroundTruth:
        """Return what is known of these observations, and of the actions."""
        ...

    def close(self) -> None:
        """Stop whatever runs beside this process."""
        ...


class DataSource(abc.ABC):
    """Base class of sources: spaces, and transitions once it is opened."""

    name: str
    """Name for messages and for the record."""

    @property
    @abc.abstractmethod
    def observation_space(self) -> gymnasium.Space:
        """The observations, in embrl's form."""

    @property
    @abc.abstractmethod
    def action_space(self) -> gymnasium.Space:
        """The actions, in embrl's form."""

    @property
    def named(self) -> int | None:
        """Factor of observations whose values the actions name, if there is one."""
        return None

    def action_features(self) -> Any:
        """Return the features of each discrete action, or None."""
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the data that a user has to know, in a line each."""
        return ()

    @property
    @abc.abstractmethod
    def about(self) -> dict[str, Any]:
        """Description of the source in plain values, which is saved with the embedding."""

    @abc.abstractmethod
    def config(self, method: str, settings: Settings) -> RunConfig:
        """Return the default configuration of a fit."""

    @abc.abstractmethod
    def open(self, replicas: Replicas) -> OpenSource:
        """Prepare the source to be read."""


def open_source(
    source: Any,
    given: Given = UNSAID,
    policy: Behaviour | str | Path | None = None,
    options: dict[str, Any] | None = None,
) -> DataSource:
    """Return the source that a user names.

    Args:
        source: what `embrl.fit` takes.
        given: spaces of recorded transitions.
        policy: the policy in an environment, a function or a run's folder; None: random actions.
        options: settings of an environment given by name.

    Raises:
        EmbrlError: there is no such source, or its content cannot be used.
    """
    if isinstance(source, Transition | Recorded) or is_recorded(source):
        for name, told in (("policy", policy), ("options", options)):
            if told:
                raise EmbrlError(f"{name} must be left out, as the transitions are recorded")
        if isinstance(source, Recorded):
            return RecordedData(source)
        if isinstance(source, Transition):
            return RecordedData(from_transition(source, given))
        return RecordedData(read(source, given))
    if given.observation_space is not None or given.action_space is not None:
        raise EmbrlError("spaces must be left out, as the environment has its own")
    found = _environment(source, options or {})
    if given.strict and isinstance(found.env, HostEnvironment):
        found = dataclasses.replace(found, env=found.env.made_strict())
    if policy is None:
        return found
    behaviour = policy if callable(policy) else RunPolicy.of(policy)
    if isinstance(behaviour, RunPolicy):
        behaviour.check(found.env)
    return PlayedEnvironment(found.name, found.env_config, found.env, behaviour)


def is_recorded(source: Any) -> bool:
    """Return whether a name or path is that of a file or data set."""
    if isinstance(source, str) and source in ENVIRONMENTS:
        return False
    return isinstance(source, str | Path) and looks_recorded(source)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Settings in the place of an environment's, where there is none."""

    host: ClassVar[bool] = True
    """True, as no compiled program takes steps in it."""

    name: str = ""
    """Name of the file or data set."""
    continuous_actions: bool = False
    """True if actions are continuous."""

    def build(self) -> NoReturn:
        """Refuse, as there is no environment.

        Raises:
            EmbrlError: always.
        """
        raise EmbrlError(f"{self.name} is recorded data; there is no environment to take steps in")


@dataclasses.dataclass(frozen=True, eq=False)
class RecordedData(DataSource):
    """Recorded transitions."""

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
        config = default_config(
            RECORDED,
            cast(EnvConfig, env),
            method,
            ALGORITHM,
            settings,
            built,
            total_timesteps=FULL_SIZE,
        )
        pretrain = dataclasses.replace(config.pretrain, timesteps=self.recorded.timesteps)
        return dataclasses.replace(config, pretrain=pretrain)

    def open(self, replicas: Replicas) -> OpenSource:
        config = replicas.trainer.config
        for column in self.recorded.lacks:
            for name in config.objectives:
                if column in NEEDED_COLUMNS.get(name, ()):
                    raise EmbrlError(
                        f"{self.name} has no column {column}, which objective {name} needs; choose "
                        "another method, or other objectives"
                    )
        return _OpenRecorded(self.recorded.first(config.pretrain.timesteps))


@dataclasses.dataclass(frozen=True, eq=False)
class _OpenRecorded:
    recorded: Recorded

    def collect(self) -> Transition:
        return jax.tree.map(lambda column: jnp.asarray(column)[None], self.recorded.transitions)

    def ground_truth(self, observations: np.ndarray) -> GroundTruth:
        del observations
        return GroundTruth()

    def close(self) -> None:
        pass


@dataclasses.dataclass(frozen=True, eq=False)
class PlayedEnvironment(DataSource):
    """An environment in which a policy takes steps."""

    name: str
    env_config: EnvConfig
    env: AnyEnvironment
    policy: "Behaviour | RunPolicy | None" = None
    """The policy that chooses actions; None: random actions."""

    @property
    def observation_space(self) -> gymnasium.Space:
        return self.env.observation_space

    @property
    def action_space(self) -> gymnasium.Space:
        return self.env.action_space

    @property
    def named(self) -> int | None:
        return named_factor(self.env_config)

    @property
    def notes(self) -> tuple[str, ...]:
        source = self.env.data_source
        return () if source is None else source.notes()

    def action_features(self) -> Any:
        return self.env.action_features()

    @property
    def about(self) -> dict[str, Any]:
        policy = "random"
        if self.policy is not None:
            policy = getattr(self.policy, "__name__", "a function")
        settings = dataclasses.asdict(cast(Any, self.env_config))
        return {"kind": "environment", "policy": policy, "env": settings}

    def config(self, method: str, settings: Settings) -> RunConfig:
        return default_config(
            self.name,
            self.env_config,
            method,
            ALGORITHM,
            settings,
            self.env,
            total_timesteps=FULL_SIZE,
        )

    def open(self, replicas: Replicas) -> OpenSource:
        backend = make_backend(replicas, self.env)
        if self.policy is None:
            return backend
        return _OpenPlayed(replicas, self.env, self.policy, backend)


@dataclasses.dataclass(frozen=True, eq=False)
class _OpenPlayed:
    """Steps of a policy; the rest as the backend has it."""

    replicas: Replicas
    env: AnyEnvironment
    policy: "Behaviour | RunPolicy"
    backend: Backend

    def collect(self) -> Transition:
        trainer = self.replicas.trainer
        key = stream_key(self.replicas.keys[0], RngStream.COLLECT)
        timesteps = trainer.schedule.pretraining_timesteps
        num_envs = trainer.config.rollout.num_envs
        env, seed = self.env, trainer.config.seed
        if isinstance(self.policy, RunPolicy):
            found = self.policy.steps(env, key, timesteps // num_envs, num_envs, seed)
        elif isinstance(env, Environment):
            found = play_compiled(env, self.policy, timesteps, key)
        else:
            found = play_host(env, self.policy, timesteps, seed)
        return jax.tree.map(lambda column: jnp.asarray(column)[None], found)

    def ground_truth(self, observations: np.ndarray) -> GroundTruth:
        return self.backend.ground_truth(observations)

    def close(self) -> None:
        self.backend.close()


@dataclasses.dataclass(frozen=True, eq=False)
class RunPolicy:
    """The overall policy of one seed of a run."""

    path: Path
    policy: OverallPolicy
    observation_space: gymnasium.Space
    action_space: gymnasium.Space

    @classmethod
    def of(cls, path: str | Path, seed: int = 0) -> "RunPolicy":
        """Read a policy from a run's folder.

        Raises:
            EmbrlError: there is no such run or seed, or no policy in it yet.
        """
        folder = RunFolder.existing(path)
        run = restore_policy(folder, load_config(folder), seed)
        return cls(folder.path, run.policy, run.observation_space, run.action_space)

    @property
    def __name__(self) -> str:
        """Name for the record."""
        return self.path.name

    def check(self, env: AnyEnvironment) -> None:
        """Check that the policy fits an environment.

        Raises:
            EmbrlError: it does not; the message says what differs.
        """
        for kind, has, needs in (
            ("observation", self.observation_space, env.observation_space),
            ("action", self.action_space, env.action_space),
        ):
            if differs := difference(has, needs):
                raise EmbrlError(f"policy: {self.path} has another {kind} space: {differs}")

    def steps(
        self, env: AnyEnvironment, key: Key, steps: int, num_envs: int, seed: int
    ) -> Transition:
        """Return that many steps of each parallel environment, `[T, B, ...]`."""
        self.check(env)
        key_open, key_noise, key_step = jax.random.split(key, 3)
        noise = self.policy.noise(key_noise, (steps, num_envs))
        if isinstance(env, Environment):

            @jax.jit
            def roll(env: Environment, policy: OverallPolicy, noise: Any) -> Transition:
                start = open_envs(env, key_open, num_envs)
                return rollout(env, policy.in_environment(env).act, start, key_step, noise)[1]

            return roll(env, self.policy, noise)
        act = jax.jit(lambda policy, seen, noise, mask: policy.act(seen, noise, mask)[0])

        def choose(seen: np.ndarray, t: int, masks: np.ndarray | None) -> tuple[Any, None]:
            now = jax.tree.map(lambda whole: whole[t], noise)
            mask = None if masks is None else masks[0]
            return np.asarray(act(self.policy, seen[0], now, mask))[None], None

        with env.open(num_envs, seed) as opened:
            found, *_ = host_rollout(opened, steps, choose, 1, self.policy.allowed)
        return jax.tree.map(lambda column: column[0], found)


def _environment(source: Any, options: dict[str, Any]) -> PlayedEnvironment:
    if isinstance(source, str):
        settings = envs.configure(source, **options)
        return PlayedEnvironment(source, settings, settings.build())
    if options:
        raise EmbrlError(
            f"{', '.join(options)} must be left out: the environment is an object, and its options "
            "are set where it is made"
        )
    if isinstance(source, Environment):
        name = envs.environment_name(source)
        config = ObjectConfig(name, is_continuous(source.action_space))
        return PlayedEnvironment(PREFIX + name, config, source)
    if isinstance(source, gymnasium.Env | HostEnvironment) or callable(source):
        made: Any = source
        host = made if isinstance(made, HostEnvironment) else HostEnvironment.of(made)
        return PlayedEnvironment(PREFIX + host.name, ObjectConfig.of(host), host)
    if hasattr(source, "default_params"):  # gymnax's, whose adapter stands above this package
        raise EmbrlError(
            f"source must be embrl.interop.gymnax.FromGymnax(environment), got {source!r} alone"
        )
    raise EmbrlError(
        f"source must be an environment or its name, a Transition of arrays, a file or a Minari "
        f"data set, got {source!r}"
    )
