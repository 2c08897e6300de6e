"""Training of an embedding without a policy, from any source of transitions."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from embrl.config.defaults import METHOD, SETTINGS, Settings, with_sections
from embrl.config.method_settings import MethodSettings, chosen
from embrl.config.run import RolloutConfig, RunConfig
from embrl.config.validation import MIN_STEPS
from embrl.core.errors import EmbrlError, SettingError, UnknownNameError
from embrl.core.runtime import prepare_jax
from embrl.core.types import Transition
from embrl.data.sources import Given
from embrl.data.sources.behaviour import Behaviour
from embrl.decoding.base import DecoderConfig
from embrl.embedding.config import EchoConfig, EmbeddingConfig, PretrainConfig
from embrl.embedding.encoders import ActionEncoder
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives import OwnObjective
from embrl.embedding.saved import EmbeddingSettings
from embrl.envs.environment import named_factor
from embrl.fitting.embedding import Embedding
from embrl.fitting.sources import DataSource, open_source
from embrl.storage.run_folder import RunFolder
from embrl.tasks.config import TasksConfig
from embrl.tasks.of_embedding import check_states, task_model
from embrl.training.action_inputs import ActionInputs
from embrl.training.fit_embedding import EmbeddingReplicas
from embrl.training.loop import Progress, ProgressCallback, ignore_progress
from embrl.training.replicas import Replicas
from embrl.training.restore import check_seed, restore_run
from embrl.training.trainer import Trainer


def fit(
    source: Any,
    *,
    method: "str | MethodSettings" = METHOD,
    settings: Settings = SETTINGS,
    timesteps: int | None = None,
    seed: int = 0,
    objectives: Mapping[str, float] | None = None,
    custom_objectives: Mapping[str, OwnObjective] | None = None,
    embedding: EmbeddingConfig | Mapping[str, Any] | None = None,
    pretrain: PretrainConfig | Mapping[str, Any] | None = None,
    decoder: DecoderConfig | Mapping[str, Any] | None = None,
    echo: EchoConfig | Mapping[str, Any] | None = None,
    rollout: RolloutConfig | Mapping[str, Any] | None = None,
    observation_space: gymnasium.Space | None = None,
    action_space: gymnasium.Space | None = None,
    policy: Behaviour | str | Path | None = None,
    tried_only: bool = False,
    strict: bool = False,
    tasks: bool | TasksConfig | Mapping[str, Any] = False,
    on_progress: ProgressCallback = ignore_progress,
    **options: Any,
) -> Embedding:
    """Learn an embedding of states and actions, and measure its quality.

    Args:
        source: where transitions come from. An environment: a name, a Gymnasium id, a
            `gymnasium.Env`, a function that makes one, or an `Environment`. Or recorded data: a
            `Transition` of arrays `[T, B, ...]` or `[N, ...]`; the path of a `.npz` or `.parquet`
            file; the folder of a Minari data set or `minari:ID`.
        method: an object as `embrl.JSAE(state_dim=16)`, or the name of a method that has an
            embedding.
        settings: source of the defaults: `best`, `tuned` or `paper`.
        timesteps: transitions to collect, or to use of recorded ones. None: as `settings` say, or
            all.
        seed: random seed.
        objectives: weights by name, instead of the method's.
        custom_objectives: your own objectives, by their names in `objectives`.
        embedding: settings of the networks; those that are not given keep the method's defaults,
            here as in the sections that follow. A mapping by name will do.
        pretrain: settings of pre-training, as `embrl.PretrainConfig(gradient_steps=2000)`.
        decoder: settings of f.
        echo: settings of the head `echo`.
        rollout: settings of collection.
        observation_space: of recorded observations, in Gymnasium's form. None: inferred.
        action_space: likewise of actions.
        policy: the policy that collects: a function from one observation to an action, both in the
            environment's own form, or a run's folder. None: random actions.
        tried_only: whether f never chooses a discrete action that no transition contains
            (`Embedding.allowed`), as where there are too many actions to try them all: g has
            learned no place for it.
        strict: whether numbers outside the bounds of their space are refused; else observations
            are taken as they are and recorded actions clipped, with one warning.
        tasks: whether tasks are learned on the same transitions (`Embedding.policy`), or settings
            with which they are.
        on_progress: called between chunks of gradient steps.
        **options: settings of an environment given by name.

    Returns:
        The embedding.

    Raises:
        EmbrlError: the source or a setting is wrong, or the loss is not finite.
    """
    prepare_jax()
    data = open_source(source, Given(observation_space, action_space, strict), policy, options)
    name, sections = chosen(
        method,
        embedding=embedding,
        pretrain=pretrain,
        decoder=decoder,
        echo=echo,
        rollout=rollout,
    )
    config = data.config(name, settings)
    if timesteps is not None:
        config = with_sections(config, {"pretrain": {"timesteps": timesteps}})
    config = dataclasses.replace(with_sections(config, sections), seed=seed)
    if objectives is not None:
        config = dataclasses.replace(config, objectives=dict(objectives))
    return learn(
        config,
        data,
        custom_objectives=custom_objectives,
        tried_only=tried_only,
        tasks=_tasks_config(tasks),
        on_progress=on_progress,
    )


def learn(
    config: RunConfig,
    source: DataSource,
    *,
    custom_objectives: Mapping[str, OwnObjective] | None = None,
    tried_only: bool = False,
    tasks: TasksConfig | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> Embedding:
    """Train an embedding on a source's transitions, and measure its quality; uses no files.

    From an environment and with random actions, the result is what `embrl train` with the same
    settings starts from in its first seed.

    Args:
        config: settings; those of policies are not used.
        source: where the transitions come from.
        custom_objectives: a user's objectives, by their names in `config.objectives`.
        tried_only: whether f never chooses actions that no transition contains.
        tasks: settings of tasks; None: none are learned.
        on_progress: called between chunks of gradient steps.

    Raises:
        EmbrlError: a setting is wrong, there are too few transitions, or the loss is not finite.
    """
    config = dataclasses.replace(config, seeds=1, vary={})
    trainer = Trainer(
        config,
        source.observation_space,
        source.action_space,
        custom_objectives or {},
        ActionInputs.gather(config, source),
    )
    if not trainer.schedule.method.embeds:
        raise EmbrlError(f"method {config.method} has no embedding to fit; choose another method")
    config.validate_numbers()
    config.rollout.validate_collection()
    trainer.validate_embedding()
    if tasks is not None:
        tasks.validate()
        check_states(trainer.schedule.method.states, source.observation_space, config.method)
    replicas = Replicas(trainer)
    opened = source.open(replicas)
    try:
        transitions = opened.collect()
        embedding = _learned(replicas, transitions, source, opened.ground_truth, on_progress)
        if tasks is not None:
            found = task_model(
                embedding.plain,
                transitions,
                tasks,
                config.seed,
                lambda *progress: on_progress(Progress("tasks", *progress)),
            )
            embedding = dataclasses.replace(embedding, task_model=found)
        if not tried_only:
            return embedding
        train, _ = EmbeddingReplicas(replicas).split(transitions)
        return dataclasses.replace(embedding, allowed=_tried(embedding.model, train))
    finally:
        opened.close()


def _tasks_config(tasks: bool | TasksConfig | Mapping[str, Any]) -> TasksConfig | None:
    if isinstance(tasks, bool):
        return TasksConfig() if tasks else None
    if isinstance(tasks, TasksConfig):
        return tasks
    if not isinstance(tasks, Mapping):
        raise SettingError("tasks", "True, False, or settings by name", repr(tasks))
    known = [field.name for field in dataclasses.fields(TasksConfig)]
    for name in tasks:
        if name not in known:
            raise UnknownNameError("setting of tasks", name, known)
    return TasksConfig(**tasks)


def embedding_of_run(path: str | Path, seed: int = 0) -> Embedding:
    """Return the embedding of one seed of a run, from its newest checkpoint.

    It includes online updates, if there were any; its quality was measured after pre-training.

    Raises:
        EmbrlError: there is no such run or seed, no policy in it yet, or its method has no
            embedding.
    """
    prepare_jax()
    folder = RunFolder.existing(path)
    run = restore_run(folder, {})
    config = run.trainer.config
    check_seed(folder, config, seed)
    agent, reference = jax.tree.map(lambda leaf: jnp.asarray(leaf[seed]), run.state)
    if agent.embedding is None:
        raise EmbrlError(f"{path}: method {config.method} has no embedding")
    has_quality = (folder.path / "quality.json").exists()
    reports = folder.quality() if has_quality else []
    quality: dict[str, Any] = next((r for r in reports if r.get("seed") == seed), {})
    return Embedding(
        model=agent.embedding,
        method=config.method,
        settings=EmbeddingSettings.of(config),
        observation_space=run.trainer.observation_space,
        action_space=run.trainer.action_space,
        norm=agent.norm,
        reference=reference,
        allowed=run.trainer.action_inputs.allowed,
        named=named_factor(config.env),
        quality={name: value for name, value in quality.items() if name != "seed"},
        source={
            "name": folder.path.name,
            "kind": "run",
            "environment": config.environment,
            "run_seed": seed,
            "timesteps": config.total_timesteps,
            "seed": config.seed,
        },
    )


def _learned(
    replicas: Replicas,
    transitions: Transition,
    source: DataSource,
    ground_truth: Callable[..., Any],
    on_progress: ProgressCallback,
) -> Embedding:
    trainer, config = replicas.trainer, replicas.trainer.config
    if (steps := transitions.reward.shape[1]) < MIN_STEPS:
        raise SettingError(
            f"the data of {source.name}",
            f"at least {MIN_STEPS} steps in time",
            f"{steps} with {transitions.reward[0].size} transitions",
        )
    embeddings = EmbeddingReplicas(replicas)
    train, held_out = embeddings.split(transitions)
    state = embeddings.new_model(replicas.keys, train)
    model, value = state.model, None
    for now, losses, steps in embeddings.fit(state, train):
        model, value = now.model, float(np.asarray(losses)[0])
        done = min(steps, embeddings.steps)
        if not np.isfinite(value):
            raise EmbrlError(
                f"the loss is not finite after {done} gradient steps; try a smaller "
                f"pretrain.learning_rate than {config.pretrain.learning_rate}"
            )
        on_progress(Progress("fitting", done, embeddings.steps, value))
    model = embeddings.finished(model, train)
    (quality,) = embeddings.qualities(model, train, held_out, ground_truth)
    reference, norm = replicas.over(Trainer.reference, once=True)(model, transitions)
    model, reference, norm = jax.tree.map(lambda leaf: leaf[0], (model, reference, norm))
    return Embedding(
        model=model,
        method=config.method,
        settings=EmbeddingSettings.of(config),
        observation_space=trainer.observation_space,
        action_space=trainer.action_space,
        norm=norm,
        reference=reference,
        allowed=trainer.action_inputs.allowed,
        named=source.named,
        quality=_finite_or_none(dataclasses.asdict(quality)),
        source={
            "name": source.name,
            "timesteps": int(transitions.reward[0].size),
            "seed": config.seed,
            "loss": value,
            **source.about,
        },
    )


def _tried(model: JointEmbedding, train: Transition) -> np.ndarray | None:
    """Return which actions were tried, bool `[n]`: rows of others are untrained.

    Returns:
        None where there are no rows, or all of them were trained.
    """
    if not isinstance(model.g, ActionEncoder):
        return None
    counts = np.bincount(np.asarray(train.action).ravel(), minlength=len(model.g.rows))
    return None if counts.all() else counts > 0


def _finite_or_none(metrics: dict[str, Any]) -> dict[str, Any]:
    """Replace numbers that are not finite, which JSON does not have, by None."""
    return {
        name: _finite_or_none(value)
        if isinstance(value, dict)
        else None
        if isinstance(value, float) and not np.isfinite(value)
        else value
        for name, value in metrics.items()
    }
