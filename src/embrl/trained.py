"""Trained runs and their policies, as Python has them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import gymnasium
import jax
import numpy as np

from embrl import envs
from embrl.config.run import RunConfig
from embrl.core.errors import EmbrlError
from embrl.envs import AnyEnvironment, Environment
from embrl.fitting.embedding import Embedding
from embrl.fitting.fit import embedding_of_run
from embrl.storage import files
from embrl.storage.run_folder import RunFolder
from embrl.training.environment_record import EnvironmentRecord, environment_of
from embrl.training.episodes import Evaluation, evaluate_policy
from embrl.training.restore import restore_policy
from embrl.training.rng_streams import RngStream, stream_key
from embrl.training.trained_policy import Policy

if TYPE_CHECKING:
    from embrl.envs.gym import HostEnvironment


class GymnaxEnvironment(Protocol):
    """An environment of gymnax, as far as it is recognised."""

    @property
    def default_params(self) -> Any: ...
    def reset_env(self, key: Any, params: Any) -> Any: ...


GymnaxObject: TypeAlias = GymnaxEnvironment | tuple[GymnaxEnvironment, Any]
"""An environment of gymnax, alone or with its parameters, as `gymnax.make` returns them."""

EnvironmentObject: TypeAlias = (
    "gymnasium.Env | Callable[..., gymnasium.Env] | HostEnvironment | Environment | GymnaxObject"
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
        longest = self.config.evaluation.max_episode_steps
        return evaluate_policy(env, restored.policy, key, episodes, deterministic, longest)

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
        if restored.coupled:
            compiled = environment if isinstance(environment, Environment) else None
            coupled = restored.policy.in_environment(self._environment(compiled))
            restored = restored._replace(policy=coupled)
        if environment is None:
            return Policy.of(restored)
        if isinstance(environment, str):
            built = envs.configure(environment).build()
            if not envs.is_host(built):
                raise EmbrlError(f"{environment} has no other observations; leave it out")
            environment = cast("HostEnvironment", built)
        host: Any = built_environment(environment)
        for kind, has, needs in (
            ("observation", host.observation_space, restored.observation_space),
            ("action", host.action_space, restored.action_space),
        ):
            if has != needs:
                raise EmbrlError(
                    f"{envs.environment_name(host)} has the {kind} space {has}, and "
                    f"{self.folder.path} was trained with {needs}"
                )
        if isinstance(host, Environment):  # whose own forms are embrl's
            return Policy.of(restored)
        return Policy.of(restored, host)


def built_environment(environment: EnvironmentObject) -> AnyEnvironment:
    """Return an environment object in one of embrl's two forms."""
    if isinstance(environment, Environment):
        return environment
    env, params = environment, None
    if isinstance(environment, tuple) and len(environment) == 2:
        env, params = environment
    if hasattr(env, "default_params"):  # gymnax's
        from embrl.interop.gymnax import FromGymnax

        return FromGymnax(env, params)
    return _hosted(environment)


def _hosted(environment: Any) -> "HostEnvironment":
    from embrl.envs.gym import HostEnvironment

    if isinstance(environment, HostEnvironment):
        return environment
    return HostEnvironment.of(environment)
