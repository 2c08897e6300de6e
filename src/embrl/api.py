"""Python interface of training, as `import embrl` offers it."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from embrl import envs
from embrl.algorithms.policy import OverallPolicy
from embrl.config.defaults import Settings, default_config, overridden
from embrl.config.run import RunConfig, load_config
from embrl.core.errors import EmbrlError
from embrl.core.runtime import prepare_jax
from embrl.core.spaces import action_count, check_mask, check_observation, is_continuous
from embrl.embedding.encoders import ActionEncoder, ContinuousActions
from embrl.embedding.feature_actions import (
    FeatureActions,
    append_rows,
    checked_features,
    extend_mask,
    without,
)
from embrl.embedding.objectives import OwnObjective
from embrl.envs import AnyEnvironment, EnvConfig
from embrl.fitting.embedding import Embedding
from embrl.fitting.fit import embedding_of_run
from embrl.storage.run_folder import RunFolder
from embrl.training.episodes import Episode
from embrl.training.loop import ProgressCallback, ignore_progress
from embrl.training.loop import train as run_training
from embrl.training.restore import restore_policy

if TYPE_CHECKING:
    from embrl.envs.gym import HostEnvironment

__all__ = ["Episode", "Policy", "Run", "load", "make", "play", "train"]

EnvironmentObject: TypeAlias = "gymnasium.Env | Callable[..., gymnasium.Env] | HostEnvironment"
"""A Gymnasium environment as an object: itself, a function that makes one, or the result of
`HostEnvironment.of`."""


def make(environment: str, **options: Any) -> Any:
    """Make an environment by name.

    Args:
        environment: a name of ours, or a Gymnasium id.
        **options: settings in place of its defaults.

    Returns:
        A JAX `Environment` of ours, or a `HostEnvironment` of Gymnasium's.

    Raises:
        EmbrlError: there is no such environment or option, or a value is out of range.
    """
    return envs.configure(environment, **options).build()


def train(
    environment: "str | EnvironmentObject",
    *,
    out: str | Path,
    method: str = "jsae",
    algorithm: str = "vpg",
    settings: Settings = "tuned",
    seeds: int = 4,
    total_timesteps: int = 1_000_000,
    seed: int = 0,
    resume: bool = False,
    objectives: Mapping[str, float] | None = None,
    custom_objectives: Mapping[str, OwnObjective] | None = None,
    overrides: dict[str, dict[str, Any]] | None = None,
    on_progress: ProgressCallback = ignore_progress,
    **options: Any,
) -> "Run":
    """Train a policy and write a run folder, as `embrl train` does.

    Args:
        environment: a name of ours or a Gymnasium id; or an object: a `gymnasium.Env`, which is
            copied and never stepped itself, or a function that makes one. To resume the run of an
            object, pass the object again.
        out: the run folder to write.
        method: a name in `embrl.embedding.methods.METHODS`: `jsae`, or `none` for the same
            algorithm on raw states and actions.
        algorithm: `vpg`, `ppo`, `sac`, or one that is registered.
        settings: source of the defaults, `tuned`, `best` or `paper`.
        seeds: number of independent trainings, side by side.
        total_timesteps: environment steps of each, including those of pre-training.
        seed: random seed.
        resume: continue from the last checkpoint in `out`; to more `total_timesteps`, if given.
        objectives: weights by name, instead of the method's.
        custom_objectives: your own objectives, by their names in `objectives`: functions of an
            embedding and transitions, or subclasses of `Objective`. To resume, pass them again.
        overrides: other settings by section and name, as on the command line:
            `{"embedding": {"state_dim": 2}, "vpg": {"actor_lr": 1e-3}}`.
        on_progress: called with a `Progress` between chunks.
        **options: settings of an environment given by name.

    Returns:
        The run.

    Raises:
        EmbrlError: as `embrl train` reports it.
    """
    prepare_jax()
    name, env, found = _environment(environment, options)
    config = default_config(name, env, method, algorithm, settings, found)
    config = dataclasses.replace(config, seeds=seeds, total_timesteps=total_timesteps, seed=seed)
    config = overridden(config, overrides)
    if objectives is not None:
        config = dataclasses.replace(config, objectives=dict(objectives))
    run_training(
        config,
        out,
        resume=resume,
        on_progress=on_progress,
        custom_objectives=custom_objectives,
        env=found,
    )
    return load(out)


def play(
    run: "str | Path | Run",
    *,
    seed: int = 0,
    episodes: int = 10,
    greedy: bool = False,
    max_steps: int | None = None,
    gif: str | Path | None = None,
    fps: float = 15.0,
    width: int = 240,
    environment: "EnvironmentObject | None" = None,
) -> list[Episode]:
    """Play whole episodes with a trained policy, the same ones each time, as `embrl play` does.

    Args:
        run: the run, or its folder.
        seed: index of the seed whose policy plays.
        episodes: number of episodes.
        greedy: whether to take the most likely internal action instead of drawing one.
        max_steps: steps after which an episode is cut; None: it is played to its end.
        gif: a file to write an animation to.
        fps: frames per second of the animation, at most.
        width: its width in pixels, at most.
        environment: the environment of a run that was trained on an object.

    Raises:
        EmbrlError: as `embrl play` reports it.
    """
    from embrl.report import recording  # with it come pictures
    from embrl.report.film import FilmConfig

    prepare_jax()
    film = None if gif is None else FilmConfig(Path(gif), fps, width)
    path = run.folder.path if isinstance(run, Run) else run
    env = None if environment is None else _host(environment)
    played = recording.play(
        path, seed=seed, episodes=episodes, greedy=greedy, max_steps=max_steps, film=film, env=env
    )
    return list(played)


def load(path: str | Path) -> "Run":
    """Load a run from its folder.

    Raises:
        EmbrlError: there is none, or its files are damaged.
    """
    folder = RunFolder.existing(path)
    return Run(folder, load_config(folder))


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained run."""

    folder: RunFolder
    config: RunConfig

    @property
    def summary(self) -> dict[str, Any]:
        """Results of the run, see docs/run-folder.md."""
        return self.folder.summary()

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """Columns of metrics.csv."""
        return self.folder.metrics()

    def embedding(self, seed: int = 0) -> Embedding:
        """Return the embedding of one seed, to use from NumPy and to save.

        Its attribute `model` holds phi, g and T as JAX modules.

        Raises:
            EmbrlError: there is no such seed or no policy yet, or the method has no embedding.
        """
        return embedding_of_run(self.folder.path, seed)

    def policy(
        self, seed: int = 0, environment: "EnvironmentObject | str | None" = None
    ) -> "Policy":
        """Return the overall policy of one seed.

        Args:
            seed: index of the seed.
            environment: a Gymnasium environment, an object or an id, whose own observations and
                actions, such as `Dict` and `Tuple`, the policy is to take and return. None: embrl's
                forms, vectors or indices.

        Raises:
            EmbrlError: there is no such seed or no policy yet, or the environment is another one.
        """
        restored = restore_policy(self.folder, self.config, seed)
        space, actions = restored.observation_space, restored.action_space
        g = None if restored.embedding is None else restored.embedding.g
        if environment is None:
            return Policy(restored.policy, space, actions, g=g)
        if isinstance(environment, str):
            built = envs.configure(environment).build()
            if not envs.is_host(built):
                raise EmbrlError(f"{environment} has no other observations; leave it out")
            environment = cast("HostEnvironment", built)
        host = _host(environment)
        for kind, has, needs in (
            ("observation", host.observation_space, space),
            ("action", host.action_space, actions),
        ):
            if has != needs:
                raise EmbrlError(
                    f"{host.name} has the {kind} space {has}, and {self.folder.path} was trained "
                    f"with {needs}"
                )
        return Policy(restored.policy, space, actions, host, g)


class Policy:
    """Overall policy pi_o = f . pi_i . phi: raw observations in, original actions out."""

    def __init__(
        self,
        policy: OverallPolicy,
        observation_space: Any,
        action_space: Any,
        host: "HostEnvironment | None" = None,
        g: ActionEncoder | FeatureActions | ContinuousActions | None = None,
    ) -> None:
        """Wrap a JAX policy.

        Args:
            policy: the policy.
            observation_space: its observations, in embrl's form.
            action_space: its actions, in embrl's form.
            host: an environment whose own observations and actions it takes and returns.
            g: the embedding of actions; None where there is none.
        """
        self.overall = policy
        self.host = host
        self.g = g
        self.observation_space = observation_space
        self.action_space = action_space
        self._sample = eqx.filter_jit(_sample)
        self._mode = eqx.filter_jit(
            lambda policy, observation, mask: policy.mode(observation, mask)
        )

    def act(
        self,
        observation: Any,
        *,
        mask: Any = None,
        deterministic: bool = False,
        seed: int | None = None,
    ) -> Any:
        """Choose an action for one observation, or one for each of a batch.

        Args:
            observation: in the observation space, with any leading axes.
            mask: True where an action may be chosen, `[n]` or with the leading axes; for discrete
                actions only.
            deterministic: take the most likely internal action instead of drawing one. (On the
                gridworld it can walk in a circle that the noise of a draw would leave.)
            seed: random seed of the draw; None draws anew each time.

        Returns:
            An int for one observation, otherwise int32 `[...]`; for continuous actions float32
            `[p]` or `[..., p]`, within their bounds.

        Raises:
            EmbrlError: an observation is not in the space, or a mask has another shape, allows no
                action, or is given for continuous actions.
        """
        values = observation if self.host is None else self.host.observations(observation)
        values = check_observation(self.observation_space, values)
        mask = self._checked(mask)
        if deterministic:
            action = self._mode(self.overall, values, mask)
        else:
            number = np.random.SeedSequence().entropy if seed is None else seed
            key = jax.random.key(int(number) % 2**32)  # type: ignore[arg-type]
            action = self._sample(self.overall, values, mask, key)
        if self.host is not None:
            return self.host.actions.to_original(np.asarray(action))
        return int(action) if action.ndim == 0 else np.asarray(action)

    def with_actions(self, features: Any) -> "Policy":
        """Return a policy that can choose new actions, too, without training.

        They are numbered from n on, and lie where g puts actions with such features.

        Args:
            features: `[k, q]`, in the units of those that the embedding was trained with.

        Raises:
            EmbrlError: this policy's actions have no features, or they are other ones.
        """
        if not isinstance(self.g, FeatureActions):
            raise EmbrlError(
                "new actions need features, and this policy's actions have none; train with "
                "--embedding.action-features"
            )
        if self.host is not None:
            raise EmbrlError(
                f"{self.host.name} has a fixed set of actions; load the policy without environment"
            )
        new = checked_features(features, "new actions", rows=None, columns=self.g.columns)
        table: Any = self.overall.table
        overall = dataclasses.replace(
            self.overall,
            table=append_rows(table, self.g, jnp.asarray(new)),
            allowed=extend_mask(self.overall.allowed, len(new)),
        )
        actions = gymnasium.spaces.Discrete(action_count(self.action_space) + len(new))
        return Policy(overall, self.observation_space, actions, None, self.g)

    def without(self, actions: Any) -> "Policy":
        """Return a policy that never chooses these actions, without training.

        The others keep their numbers.

        Args:
            actions: indices.

        Raises:
            EmbrlError: this policy's actions are not embedded, or continuous; an index is out of
                range; or no action would be left.
        """
        if self.g is None or is_continuous(self.action_space):
            raise EmbrlError(
                "removing actions needs an embedding of Discrete actions, and this policy has none;"
                " pass a mask to act instead"
            )
        before = self.overall.allowed
        left = without(
            None if before is None else np.asarray(before), action_count(self.action_space), actions
        )
        overall = dataclasses.replace(self.overall, allowed=jnp.asarray(left))
        return Policy(overall, self.observation_space, self.action_space, self.host, self.g)

    def _checked(self, mask: Any) -> np.ndarray | None:
        if mask is None:
            return None
        return check_mask(self.action_space, mask, self.overall.allowed)


def _environment(
    environment: "str | EnvironmentObject", options: dict[str, Any]
) -> "tuple[str, EnvConfig, AnyEnvironment | None]":
    """Return its name, its settings, and itself where the settings cannot build it."""
    if isinstance(environment, str):
        return environment, envs.configure(environment, **options), None
    from embrl.envs.gym.registration import PREFIX, ObjectConfig

    host = _host(environment)
    if options:
        raise EmbrlError(
            f"{', '.join(options)} must be left out: {host.name} is an object, and its options are "
            "set where it is made"
        )
    return PREFIX + host.name, ObjectConfig.of(host), host


def _host(environment: EnvironmentObject) -> "HostEnvironment":
    from embrl.envs.gym import HostEnvironment

    if isinstance(environment, HostEnvironment):
        return environment
    return HostEnvironment.of(environment)


def _sample(policy: OverallPolicy, observation: Any, mask: Any, key: Any) -> Any:
    batch = policy.phi(observation).shape[:-1]
    return policy.act(observation, policy.noise(key, batch), mask)[0]
