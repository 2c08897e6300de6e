"""Trained runs and their policies, as Python has them."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from embrl import envs
from embrl.algorithms.policy import OverallPolicy
from embrl.config.run import RunConfig
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.spaces import (
    action_count,
    check_mask,
    check_observation,
    is_continuous,
    names_of,
)
from embrl.embedding.encoders import ActionEncoder, ContinuousActions
from embrl.embedding.feature_actions import (
    FeatureActions,
    append_rows,
    checked_features,
    extend_mask,
    without,
)
from embrl.envs import AnyEnvironment, Environment
from embrl.fitting.embedding import Embedding
from embrl.fitting.fit import embedding_of_run
from embrl.storage import files
from embrl.storage.run_folder import RunFolder
from embrl.training.environment_record import EnvironmentRecord, environment_of
from embrl.training.episodes import Evaluation, evaluate_policy
from embrl.training.restore import restore_policy
from embrl.training.rng_streams import RngStream, stream_key

if TYPE_CHECKING:
    from embrl.envs.gym import HostEnvironment

EnvironmentObject: TypeAlias = (
    "gymnasium.Env | Callable[..., gymnasium.Env] | HostEnvironment | Environment"
)
"""An environment as an object: one of Gymnasium's, a function that makes one, or the result of
`HostEnvironment.of`; or a JAX environment, embrl's or gymnax's."""


@dataclasses.dataclass(frozen=True, repr=False)
class Run:
    """A trained run."""

    folder: RunFolder
    config: RunConfig
    environment: "AnyEnvironment | None" = None
    """The environment, where the settings cannot build it."""
    _memory: Any = dataclasses.field(default=None, compare=False)
    """Owner of the temporary folder of a run that was not given one; it vanishes with the run."""

    def __repr__(self) -> str:
        """Return what was trained, and its final return."""
        config = self.config
        seeds = "1 seed" if config.seeds == 1 else f"{config.seeds} seeds"
        text = f"{config.method} with {config.algorithm} on {config.environment}, {seeds}"
        if self.folder.complete and "final_return_mean" in (summary := self.summary):
            text += f", return {summary['final_return_mean']:.3g} after {summary['timesteps']:,}"
            text += " timesteps"
        return f"Run({text})"

    def save(self, out: str | Path) -> "Run":
        """Write the run to a new folder, and return it from there.

        Raises:
            EmbrlError: the path exists and is not an empty folder.
        """
        files.copy_folder(self.folder.path, files.as_path(out))
        return dataclasses.replace(self, folder=RunFolder(out), _memory=None)

    def evaluate(
        self,
        episodes: int = 100,
        *,
        seed: int = 0,
        deterministic: bool = False,
        environment: "EnvironmentObject | None" = None,
    ) -> "Evaluation":
        """Play whole episodes with the policy of one seed, side by side, and return their returns.

        Args:
            episodes: number of episodes.
            seed: index of the seed whose policy plays.
            deterministic: whether to take the most likely internal action instead of drawing one.
            environment: the environment of a run that was trained on an object and then loaded.

        Raises:
            EmbrlError: there is no such seed or no policy yet, or the run's settings cannot build
                its environment.
        """
        restored = restore_policy(self.folder, self.config, seed)
        env = self._environment(environment)
        restored.check_spaces(env, self.folder.path)
        key = stream_key(
            jax.random.fold_in(jax.random.key(self.config.seed), seed), RngStream.SCORE
        )
        return evaluate_policy(env, restored.policy, key, episodes, deterministic)

    def _environment(self, given: "EnvironmentObject | None") -> AnyEnvironment:
        if given is not None:
            return built_environment(given)
        return self.environment or environment_of(self.folder, self.config)

    @property
    def summary(self) -> dict[str, Any]:
        """Results of the run, see docs/run-folder.md."""
        return self.folder.summary()

    @property
    def action_names(self) -> tuple[str, ...] | None:
        """Names of the actions, as the identifiers of a log's items; None where they have none."""
        return EnvironmentRecord.read(self.folder).action_names

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
            return Policy(restored.policy, space, actions, g=g, names=restored.action_names)
        if isinstance(environment, str):
            built = envs.configure(environment).build()
            if not envs.is_host(built):
                raise EmbrlError(f"{environment} has no other observations; leave it out")
            environment = cast("HostEnvironment", built)
        host: Any = built_environment(environment)
        for kind, has, needs in (
            ("observation", host.observation_space, space),
            ("action", host.action_space, actions),
        ):
            if has != needs:
                raise EmbrlError(
                    f"{host.name} has the {kind} space {has}, and {self.folder.path} was trained "
                    f"with {needs}"
                )
        return Policy(restored.policy, space, actions, host, g, restored.action_names)


class Policy:
    """Overall policy pi_o = f . pi_i . phi: raw observations in, original actions out."""

    def __init__(
        self,
        policy: OverallPolicy,
        observation_space: Any,
        action_space: Any,
        host: "HostEnvironment | None" = None,
        g: ActionEncoder | FeatureActions | ContinuousActions | None = None,
        names: tuple[str, ...] | None = None,
    ) -> None:
        """Wrap a JAX policy.

        Args:
            policy: the policy.
            observation_space: its observations, in embrl's form.
            action_space: its actions, in embrl's form.
            host: an environment whose own observations and actions it takes and returns.
            g: the embedding of actions; None where there is none.
            names: names of the actions; None where they have none.
        """
        self.overall = policy
        self.host = host
        self.g = g
        self.action_names = names
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

    def action_name(self, action: Any) -> Any:
        """Return what an action is called, as the identifier of a log's item.

        Args:
            action: an action that `act` returned, or an array of them.

        Returns:
            A name, or an array of names.

        Raises:
            EmbrlError: the actions have no names, or there is no such action.
        """
        first = 0 if self.host is None else getattr(self.host.actions.original, "start", 0)
        return names_of(self.action_names, np.asarray(action) - first)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[Any, Any]:
        """Choose actions as Stable-Baselines3's models do, for code that expects one of them.

        Args:
            observation: in the observation space, with any leading axes.
            state: returned as it is; this policy has no memory.
            episode_start: not used, for the same reason.
            deterministic: take the most likely internal action instead of drawing one.
            action_masks: True where an action may be chosen, as `mask` of `act`.

        Returns:
            The action, an array where `act` returns an int, and `state`.

        Raises:
            EmbrlError: as `act` raises it.
        """
        del episode_start
        action = self.act(observation, mask=action_masks, deterministic=deterministic)
        return (np.asarray(action) if isinstance(action, int) else action), state

    def with_actions(self, features: Any, names: Sequence[str] = ()) -> "Policy":
        """Return a policy that can choose new actions, too, without training.

        They are numbered from n on, and lie where g puts actions with such features.

        Args:
            features: `[k, q]`, in the units of those that the embedding was trained with.
            names: what they are called, where actions have names.

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
        if names and (self.action_names is None or len(names) != len(new)):
            known = 0 if self.action_names is None else len(new)
            raise SettingError("names", f"{known} names, as for the new actions", len(names))
        table: Any = self.overall.table
        overall = dataclasses.replace(
            self.overall,
            table=append_rows(table, self.g, jnp.asarray(new)),
            allowed=extend_mask(self.overall.allowed, len(new)),
        )
        before = action_count(self.action_space)
        actions = gymnasium.spaces.Discrete(before + len(new))
        called = self.action_names
        if called is not None:
            called += tuple(names or (f"new {at}" for at in range(before, before + len(new))))
        return Policy(overall, self.observation_space, actions, None, self.g, called)

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
        return Policy(
            overall,
            self.observation_space,
            self.action_space,
            self.host,
            self.g,
            self.action_names,
        )

    def _checked(self, mask: Any) -> np.ndarray | None:
        if mask is None:
            return None
        return check_mask(self.action_space, mask, self.overall.allowed)


def built_environment(environment: EnvironmentObject) -> AnyEnvironment:
    """Return an environment object in one of embrl's two forms."""
    if isinstance(environment, Environment):
        return environment
    if hasattr(environment, "default_params"):  # gymnax's
        from embrl.interop.gymnax import FromGymnax

        return FromGymnax(environment)
    return _hosted(environment)


def _hosted(environment: Any) -> "HostEnvironment":
    from embrl.envs.gym import HostEnvironment

    if isinstance(environment, HostEnvironment):
        return environment
    return HostEnvironment.of(environment)


def _sample(policy: OverallPolicy, observation: Any, mask: Any, key: Any) -> Any:
    batch = policy.phi(observation).shape[:-1]
    return policy.act(observation, policy.noise(key, batch), mask)[0]
