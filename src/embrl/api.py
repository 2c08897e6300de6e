"""The Python interface: what `import embrl` offers."""

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
from embrl.config.run import RunConfig, from_json
from embrl.core.errors import EmbrlError
from embrl.core.runtime import prepare_jax
from embrl.core.spaces import action_count, check_mask, check_observation, is_continuous
from embrl.embedding.encoders import ActionEncoder, ContinuousActions
from embrl.embedding.feature_actions import (
    FeatureActions,
    checked_features,
    longer,
    with_more,
    without,
)
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives import OwnObjective
from embrl.envs import AnyEnvironment
from embrl.fitting.embedding import Embedding
from embrl.fitting.fit import embedding_of_run
from embrl.storage.run_folder import RunFolder
from embrl.training.backend import EnvConfig
from embrl.training.episodes import Episode
from embrl.training.loop import Watcher, unwatched
from embrl.training.loop import train as run_training
from embrl.training.restore import restore

if TYPE_CHECKING:
    from embrl.envs.host import HostEnvironment

__all__ = ["Episode", "Policy", "Run", "load", "make", "play", "train"]

AnObject: TypeAlias = "gymnasium.Env | Callable[..., gymnasium.Env] | HostEnvironment"
"""An environment of Gymnasium's: itself, what makes one, or what `HostEnvironment.of` says."""


def make(environment: str, **options: Any) -> Any:
    """An environment by name, with `options` in place of its defaults: an `Environment` of ours,
    or a `HostEnvironment` of Gymnasium's.

    Raises:
        EmbrlError: no such environment or option, or a value is out of range.
    """
    return envs.configure(environment, **options).build()


def train(
    environment: "str | AnObject",
    *,
    out: str | Path,
    method: str = "jsae",
    algorithm: str = "vpg",
    settings: Settings = "tuned",
    seeds: int = 4,
    samples: int = 1_000_000,
    seed: int = 0,
    resume: bool = False,
    objectives: Mapping[str, float] | None = None,
    own: Mapping[str, OwnObjective] | None = None,
    overrides: dict[str, dict[str, Any]] | None = None,
    watch: Watcher = unwatched,
    **options: Any,
) -> "Run":
    """Trains a policy and leaves a run folder, as `embrl train` does.

    Arguments:
        environment: a name, one of ours or Gymnasium's id; or an object: a `gymnasium.Env`, which
            is copied and itself never stepped, or a function that makes one. To go on with an
            object's run, pass the object again.
        out: the run folder to write.
        method: a name in `embrl.embedding.methods.METHODS`: `jsae`, or `none` for the same
            algorithm on raw states and actions.
        seeds: independent trainings, side by side.
        samples: environment steps of each, pre-training included.
        resume: go on from the last checkpoint in `out`; to more `samples`, if you ask for more.
        objectives: weights by name, in place of the method's.
        own: objectives of your own, by the names that stand in `objectives`: functions of a
            model and transitions, or subclasses of `Objective`. To resume, pass them again.
        overrides: other settings by section and name, as on the command line:
            `{"model": {"m": 2}, "hyper": {"actor_lr": 1e-3}}`.
        watch: called with a `Progress` between chunks.
        options: the environment's, of one that has a name.

    Raises:
        EmbrlError: as `embrl train` would say it.
    """
    prepare_jax()
    name, env, found = _environment(environment, options)
    config = default_config(name, env, method, algorithm, settings, found)
    config = dataclasses.replace(config, seeds=seeds, samples=samples, seed=seed)
    config = overridden(config, overrides)
    if objectives is not None:
        config = dataclasses.replace(config, objectives=dict(objectives))
    run_training(config, out, resume=resume, watch=watch, own=own, env=found)
    return load(out)


def play(
    run: "str | Path | Run",
    *,
    seed: int = 0,
    episodes: int = 10,
    greedy: bool = False,
    steps: int | None = None,
    gif: str | Path | None = None,
    fps: float = 15.0,
    width: int = 240,
    environment: "AnObject | None" = None,
) -> list[Episode]:
    """Plays whole episodes with a trained policy, the same ones each time, as `embrl play` does.

    Arguments:
        run: the run, or its folder.
        seed: whose policy.
        greedy: the likeliest internal action instead of a draw.
        steps: where an episode is cut; None: it is played to its end.
        gif: a file to write pictures to.
        fps: of these: frames a second, at most.
        width: of these, in pixels, at most.
        environment: where the run's was an object, that one.

    Raises:
        EmbrlError: as `embrl play` would say it.
    """
    from embrl.experiments import playing  # with it come pictures
    from embrl.report.film import FilmConfig

    prepare_jax()
    film = None if gif is None else FilmConfig(Path(gif), fps, width)
    path = run.folder.path if isinstance(run, Run) else run
    env = None if environment is None else _host(environment)
    played = playing.play(
        path, seed=seed, episodes=episodes, greedy=greedy, steps=steps, film=film, env=env
    )
    return list(played)


def load(path: str | Path) -> "Run":
    """A run by its folder.

    Raises:
        EmbrlError: there is none, or its files are damaged.
    """
    folder = RunFolder.existing(path)
    return Run(folder, from_json(folder.config(), folder.path / "config.json"))


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder, opened."""

    folder: RunFolder
    config: RunConfig

    @property
    def summary(self) -> dict[str, Any]:
        """What came out, see docs/run-folder.md."""
        return self.folder.summary()

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """The columns of metrics.csv."""
        return self.folder.metrics()

    def embedding(self, seed: int = 0) -> JointEmbedding | None:
        """phi, g and T of one seed; None if the method has no embedding."""
        return restore(self.folder, self.config, seed)[0]

    def fitted(self, seed: int = 0) -> Embedding:
        """The same as an embedding that stands alone, to use from NumPy and to save.

        Raises:
            EmbrlError: there is no such seed or no policy yet, or the method has no embedding.
        """
        return embedding_of_run(self.folder.path, seed)

    def policy(self, seed: int = 0, environment: "AnObject | str | None" = None) -> "Policy":
        """The overall policy of one seed.

        Arguments:
            environment: one of Gymnasium's, whose own observations and actions, as `Dict` and
                `Tuple`, the policy is to take and give; an object or an id. None: those of embrl,
                a vector of numbers, or indices.

        Raises:
            EmbrlError: there is no such seed or no policy yet, or the environment is another one.
        """
        embedding, policy, space, actions = restore(self.folder, self.config, seed)
        g = None if embedding is None else embedding.g
        if environment is None:
            return Policy(policy, space, actions, g=g)
        if isinstance(environment, str):
            built = envs.configure(environment).build()
            if not envs.is_host(built):
                raise EmbrlError(f"{environment} has no other observations: leave it out")
            environment = cast("HostEnvironment", built)
        host = _host(environment)
        if (host.observation_space, host.action_space) != (space, actions):
            raise EmbrlError(
                f"{self.folder.path} is of {space} and {actions}, {host.name} of "
                f"{host.observation_space} and {host.action_space}: it is another one"
            )
        return Policy(policy, space, actions, host, g)


class Policy:
    """The overall policy pi_o = f . pi_i . phi: raw observations in, original actions out."""

    def __init__(
        self,
        policy: OverallPolicy,
        observation_space: Any,
        action_space: Any,
        host: "HostEnvironment | None" = None,
        g: ActionEncoder | FeatureActions | ContinuousActions | None = None,
    ) -> None:
        """
        Arguments:
            host: an environment in whose own observations and actions to speak.
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
        """Chooses an action for one observation, or an action each for a batch of them.

        Arguments:
            observation: as the observation space says, with any number of leading axes.
            mask: True where an action may be chosen, `[n]` or with the leading axes; of discrete
                actions only.
            deterministic: the likeliest internal action instead of a draw. (On the gridworld it
                can walk in a circle where the noise of a draw would lead out.)
            seed: of the draw; None draws anew each time.

        **Returns** an int for one observation, else int32 `[...]`; of actions that are numbers,
        float32 `[p]` or `[..., p]`, within their bounds.

        Raises:
            EmbrlError: an observation is not in the space, or a mask has another shape, allows
                nothing, or is given where actions are numbers.
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
        """A policy that can choose new actions, too: they are numbered from n on, lie where g puts
        what has such features, and may be chosen at once. Nothing is trained.

        Arguments:
            features: `[k, q]`, in the units of those that the embedding was trained with.

        Raises:
            EmbrlError: this policy's actions have no features, or these are other ones.
        """
        if not isinstance(self.g, FeatureActions):
            raise EmbrlError(
                "new actions are embedded by their features, and this policy's actions have none: "
                "train with --model.action-features"
            )
        if self.host is not None:
            raise EmbrlError(
                f"{self.host.name} has no more actions than it has: load the policy without "
                "environment"
            )
        new = checked_features(features, "new actions", rows=None, columns=self.g.columns)
        table: Any = self.overall.table
        overall = dataclasses.replace(
            self.overall,
            table=longer(table, self.g, jnp.asarray(new)),
            allowed=with_more(self.overall.allowed, len(new)),
        )
        actions = gymnasium.spaces.Discrete(action_count(self.action_space) + len(new))
        return Policy(overall, self.observation_space, actions, None, self.g)

    def without(self, actions: Any) -> "Policy":
        """A policy that never chooses these; the others keep their numbers. Nothing is trained.

        Arguments:
            actions: indices.

        Raises:
            EmbrlError: this policy's actions are not embedded, or numbers; an index is none of
                theirs; or no action would be left.
        """
        if self.g is None or is_continuous(self.action_space):
            raise EmbrlError(
                "removing actions needs an embedding of Discrete actions, and this policy has none"
                ": pass a mask to act instead"
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
    environment: "str | AnObject", options: dict[str, Any]
) -> "tuple[str, EnvConfig, AnyEnvironment | None]":
    """Its name, its settings, and itself where these do not say all."""
    if isinstance(environment, str):
        return environment, envs.configure(environment, **options), None
    from embrl.envs.host.objects import PREFIX, ObjectConfig

    host = _host(environment)
    if options:
        raise EmbrlError(
            f"{', '.join(options)}: {host.name} is an object, its options are set where it is made"
        )
    return PREFIX + host.name, ObjectConfig.of(host), host


def _host(environment: AnObject) -> "HostEnvironment":
    from embrl.envs.host import HostEnvironment

    if isinstance(environment, HostEnvironment):
        return environment
    return HostEnvironment.of(environment)


def _sample(policy: OverallPolicy, observation: Any, mask: Any, key: Any) -> Any:
    batch = policy.phi(observation).shape[:-1]
    return policy.act(observation, policy.noise(key, batch), mask)[0]
