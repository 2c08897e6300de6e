"""The Python interface: what `import embrl` offers."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from embrl import envs
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives import OwnObjective
from embrl.envs import Environment
from embrl.errors import EmbrlError, UnknownNameError
from embrl.policy.overall import OverallPolicy
from embrl.spaces import action_count, check_observation
from embrl.training.config import RunConfig, from_json
from embrl.training.restore import restore
from embrl.training.run_folder import RunFolder
from embrl.training.runner import Watcher, unwatched
from embrl.training.runner import train as run_training
from embrl.training.seeds import prepare_jax
from embrl.training.settings import Settings, default_config

__all__ = ["Policy", "Run", "load", "make", "train"]


def make(environment: str, **options: Any) -> Environment:
    """An environment by name, with `options` in place of its defaults.

    Raises:
        EmbrlError: no such environment or option, or a value is out of range.
    """
    return envs.configure(environment, **options).build()


def train(
    environment: str,
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
        out: the run folder to write.
        method: a name in `embrl.embedding.methods.METHODS`: `jsae`, or `none` for the same
            algorithm on raw states and actions.
        seeds: independent trainings, side by side.
        samples: environment steps of each, pre-training included.
        resume: go on from the last checkpoint in `out`.
        objectives: weights by name, in place of the method's.
        own: objectives of your own, by the names that stand in `objectives`: functions of a
            model and transitions, or subclasses of `Objective`. To resume, pass them again.
        overrides: other settings by section and name, as on the command line:
            `{"model": {"m": 2}, "hyper": {"actor_lr": 1e-3}}`.
        watch: called with a `Progress` between chunks.
        options: the environment's.

    Raises:
        EmbrlError: as `embrl train` would say it.
    """
    prepare_jax()
    env = envs.configure(environment, **options)
    config = default_config(environment, env, method, algorithm, settings)
    config = dataclasses.replace(config, seeds=seeds, samples=samples, seed=seed)
    for section, changes in (overrides or {}).items():
        config = _override(config, section, changes)
    if objectives is not None:
        config = dataclasses.replace(config, objectives=dict(objectives))
    run_training(config, out, resume=resume, watch=watch, own=own)
    return load(out)


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
        return self._restored(seed)[0]

    def policy(self, seed: int = 0) -> "Policy":
        """The overall policy of one seed."""
        _, policy, space, actions = self._restored(seed)
        return Policy(policy, space, actions)

    def _restored(self, seed: int) -> Any:
        if not 0 <= seed < self.config.rows:
            raise EmbrlError(
                f"seed {seed}: {self.folder.path} has seeds 0 to {self.config.rows - 1}"
            )
        return restore(self.folder, self.config, seed)


class Policy:
    """The overall policy pi_o = f . pi_i . phi: raw observations in, original actions out."""

    def __init__(self, policy: OverallPolicy, observation_space: Any, action_space: Any) -> None:
        self.overall = policy
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
            mask: True where an action may be chosen, `[n]` or with the leading axes.
            deterministic: the likeliest internal action instead of a draw. (On the gridworld it
                can walk in a circle where the noise of a draw would lead out.)
            seed: of the draw; None draws anew each time.

        **Returns** an int for one observation, else int32 `[...]`.

        Raises:
            EmbrlError: an observation is not in the space, or a mask has another shape or allows
                nothing.
        """
        values = check_observation(self.observation_space, observation)
        mask = self._checked(mask)
        if deterministic:
            action = self._mode(self.overall, values, mask)
        else:
            number = np.random.SeedSequence().entropy if seed is None else seed
            key = jax.random.key(int(number) % 2**32)  # type: ignore[arg-type]
            action = self._sample(self.overall, values, mask, key)
        return int(action) if action.ndim == 0 else np.asarray(action)

    def _checked(self, mask: Any) -> np.ndarray | None:
        if mask is None:
            return None
        mask = np.asarray(mask)
        count = action_count(self.action_space)
        if mask.dtype != bool or mask.shape[-1:] != (count,):
            raise EmbrlError(
                f"the mask is {mask.dtype}{list(mask.shape)}: it must be bool[..., {count}]"
            )
        if not mask.any(-1).all():
            raise EmbrlError("the mask allows no action")
        return mask


def _sample(policy: OverallPolicy, observation: Any, mask: Any, key: Any) -> Any:
    batch = policy.phi(observation).shape[:-1]
    return policy.act(observation, policy.noise(key, batch), mask)[0]


def _override(config: RunConfig, section: str, changes: dict[str, Any]) -> RunConfig:
    sections = (
        "model",
        "fit",
        "update",
        "transfer",
        "policy",
        "f",
        "hyper",
        "rollout",
        "evaluation",
        "explore",
    )
    if section not in sections:
        raise UnknownNameError("section of settings", section, sections)
    part = getattr(config, section)
    known = [field.name for field in dataclasses.fields(part)]
    for name in changes:
        if name not in known:
            raise UnknownNameError(f"setting of {section}", name, known)
    return dataclasses.replace(config, **{section: dataclasses.replace(part, **changes)})
