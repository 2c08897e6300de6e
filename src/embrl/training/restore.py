"""Run folders opened again: to restore what training left there, or to continue training."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp

from embrl.algorithms.policy import OverallPolicy
from embrl.config.run import RunConfig, check_same, load_config
from embrl.core import spaces
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.runtime import check_not_forked
from embrl.embedding.feature_actions import with_features, without_features
from embrl.embedding.model import JointEmbedding
from embrl.embedding.monitor import Reference
from embrl.embedding.objectives import OBJECTIVES, OwnObjective
from embrl.envs import AnyEnvironment
from embrl.storage import checkpoint, files
from embrl.storage.run_folder import RunFolder
from embrl.training.action_inputs import ActionInputs
from embrl.training.environment_record import EnvironmentRecord, at_kept_paths
from embrl.training.replicas import seed_keys
from embrl.training.state import Agent, TrainState, transitions_like
from embrl.training.trainer import Trainer


class AgentOnly(NamedTuple):
    """The part of a `TrainState` that a policy needs."""

    agent: Agent


class AgentAndReference(NamedTuple):
    """The part of a `TrainState` that another run can start from.

    Arrays have a leading axis of replicas.
    """

    agent: Agent
    reference: Reference


class RestoredPolicy(NamedTuple):
    """The trained policy of one seed, with its embedding and spaces."""

    embedding: JointEmbedding | None
    policy: OverallPolicy
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    action_names: tuple[str, ...] | None = None
    """Names of the actions; None where they have none."""
    coupled: bool = False
    """True if the policy was trained to take feasible joint actions alone, for which it needs its
    environment (`OverallPolicy.in_environment`)."""

    def check_spaces(self, env: AnyEnvironment, path: Path) -> None:
        """Check that an environment has the spaces that the policy was trained with.

        Args:
            env: the environment.
            path: the run's folder, for the message.

        Raises:
            EmbrlError: it has others.
        """
        for kind in ("observation_space", "action_space"):
            if getattr(env, kind) != getattr(self, kind):
                raise EmbrlError(
                    f"environment must have the {kind.replace('_', ' ')} of {path}, "
                    f"{getattr(self, kind)}, got {getattr(env, kind)}"
                )


class RestoredRun(NamedTuple):
    """The trained agents of all replicas of a run."""

    folder: RunFolder
    trainer: Trainer
    state: AgentAndReference


def check_seed(folder: RunFolder, config: RunConfig, seed: int) -> None:
    """Check that a run has a seed with this index.

    Raises:
        EmbrlError: it has none.
    """
    if not 0 <= seed < config.replicas:
        raise SettingError(f"seed of {folder.path}", f"in 0 to {config.replicas - 1}", seed)


def restore_policy(folder: RunFolder, config: RunConfig, seed: int) -> RestoredPolicy:
    """Return the policy of one seed, from the newest checkpoint.

    Args:
        folder: of the run.
        config: of the run.
        seed: index of the seed.

    Raises:
        EmbrlError: there is no such seed, no checkpoint yet, none with a policy, or it is damaged.
    """
    check_not_forked("the policy of a run")
    check_seed(folder, config, seed)
    found, trainer = _newest(folder, config, {})
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), config.replicas))
    shapes = jax.eval_shape(jax.vmap(trainer.untrained), keys)
    # Named as in a TrainState; the shapes of its environments are not known here.
    agents = checkpoint.read(found, without_features(AgentOnly(shapes))).agent
    agent = jax.tree.map(lambda leaf: jnp.asarray(leaf[seed]), agents)
    agent = with_features(agent, trainer.action_inputs.features)
    record = EnvironmentRecord.read(folder)
    return RestoredPolicy(
        agent.embedding,
        trainer.policy(agent),
        trainer.observation_space,
        trainer.action_space,
        record.action_names,
        record.coupled and trainer.schedule.acts_in_embedding,
    )


def restore_run(folder: RunFolder, custom_objectives: Mapping[str, OwnObjective]) -> RestoredRun:
    """Return all replicas of a run, from the newest checkpoint.

    Args:
        folder: of the run.
        custom_objectives: a user's objectives by name; the run's others are left out.

    Raises:
        EmbrlError: it has no policy yet, or a file is damaged.
    """
    found, trainer = _newest(folder, load_config(folder), custom_objectives)
    shapes = state_shapes(trainer, None)
    like = without_features(AgentAndReference(shapes.agent, shapes.reference))  # type: ignore[arg-type]
    state = with_features(checkpoint.read(found, like), trainer.action_inputs.features)
    return RestoredRun(folder, trainer, state)


def state_shapes(
    trainer: Trainer,
    source: AgentAndReference | None,
    begin: Callable[[Any, Any], TrainState] | None = None,
) -> TrainState:
    """Return the shapes of a checkpoint of policy training.

    Args:
        trainer: of the run.
        source: of an embedding taken over, if there is one.
        begin: returns the shapes of the first state, from those of agents and of pre-training's
            data; None: without environments.
    """
    replicas = trainer.config.replicas
    keys = jax.eval_shape(lambda: seed_keys(0, replicas))
    agent = jax.eval_shape(jax.vmap(trainer.untrained), keys)
    data = None
    if trainer.schedule.pretrains:
        num_envs = trainer.config.rollout.num_envs
        steps = trainer.schedule.pretraining_timesteps // num_envs
        data = transitions_like(
            trainer.observation_space, trainer.action_space, (replicas, steps, num_envs)
        )
    elif source is not None:
        data = source.reference
    if begin is None:
        alone = jax.vmap(functools.partial(trainer.begin, envs=None))
        return jax.eval_shape(alone, agent, data)
    return begin(agent, data)


def _newest(
    folder: RunFolder, config: RunConfig, custom_objectives: Mapping[str, OwnObjective]
) -> tuple[Any, Trainer]:
    """Return the newest checkpoint of a run's policy training, and the trainer it is of."""
    found = checkpoint.latest(folder.checkpoint)
    if found is None:
        raise EmbrlError(f"{folder.path} has no checkpoint yet; train it with embrl train")
    manifest, where = checkpoint.read_manifest(found), found / checkpoint.MANIFEST
    record: Any = manifest.get("record", {})
    if record.get("stage") != "training":
        raise EmbrlError(f"{folder.path} has no policy yet; continue with embrl train --resume")
    # A policy needs no objectives, and a user's own may not be at hand.
    known = {
        name: weight
        for name, weight in config.objectives.items()
        if name in custom_objectives or name in OBJECTIVES
    }
    config = dataclasses.replace(config, objectives=known)
    actions = spaces.from_json(manifest.get("action_space", {}), where)
    trainer = Trainer(
        config,
        spaces.from_json(manifest.get("observation_space", {}), where),
        actions,
        custom_objectives,
        ActionInputs.of_run(config, actions, folder),
    )
    return found, trainer


def open_folder(config: RunConfig, path: Path, resume: bool) -> RunFolder:
    """Return the folder of a run that is to start or to resume there.

    Args:
        config: of the run.
        path: the folder; it need not exist.
        resume: whether a run in it may continue.

    Raises:
        EmbrlError: it holds something else, another run, or a run that is not to be resumed.
    """
    folder = RunFolder(path)
    if not folder.holds_run:
        if not files.is_free(path):
            raise EmbrlError(
                f"{path} exists and is not a run folder; choose an empty or new folder"
            )
        return folder
    if not resume:
        if checkpoint.latest(folder.checkpoint) is None:  # it ended before anything was saved
            return folder
        raise EmbrlError(f"{path} already holds a run; choose another --out, or add --resume")
    found = load_config(folder)
    _check_resumable(at_kept_paths(config, found, folder), found, path)
    return folder


def _check_resumable(wanted: RunConfig, found: RunConfig, path: Path) -> None:
    """Check that a run can continue, perhaps to another number of timesteps.

    Raises:
        EmbrlError: they differ in more than the number of timesteps, or what the run did so far
            depended on that number.
    """
    same = wanted
    if not wanted.vary:  # the points of a sweep are compared at its one budget
        same = dataclasses.replace(wanted, total_timesteps=found.total_timesteps)
    check_same(same, found, f"{path} holds another run")
    schedule = _schedule_to_the_end(wanted)
    if wanted.total_timesteps != found.total_timesteps and schedule:
        raise EmbrlError(
            f"{path} cannot continue to {wanted.total_timesteps:,} timesteps: {schedule} was set "
            f"for a run of {found.total_timesteps:,}; start again in another --out"
        )


def _schedule_to_the_end(config: RunConfig) -> str:
    """Return the setting that follows a schedule over the whole run, if there is one."""
    online, exploration = config.online, config.exploration
    if online.every and online.schedule == "linear":
        return "online.schedule linear"
    if online.every and online.until < 1.0:
        return f"online.until {online.until:g}"
    if exploration.bonus:
        return f"exploration.bonus {exploration.bonus:g}, which decays to 0,"
    return ""
