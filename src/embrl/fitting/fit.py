"""`embrl.fit`: an embedding of whatever there are transitions of."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from embrl.config.defaults import Settings, overridden
from embrl.config.run import RunConfig
from embrl.core.errors import EmbrlError
from embrl.core.runtime import prepare_jax
from embrl.core.types import Transition
from embrl.data.sources import Given
from embrl.data.sources.behaviour import Behaviour
from embrl.embedding.encoders import ActionEncoder
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives import OwnObjective
from embrl.embedding.saved import EmbeddingSettings
from embrl.envs.environment import named_factor
from embrl.fitting.embedding import Embedding
from embrl.fitting.sources import Origin, origin
from embrl.storage.run_folder import RunFolder
from embrl.training import action_inputs, transfer
from embrl.training.fit_embedding import EmbeddingRows
from embrl.training.loop import Progress, Watcher, unwatched
from embrl.training.replicas import Rows
from embrl.training.restore import check_seed
from embrl.training.trainer import Program
from embrl.training.validation import check_fit


def fit(
    source: Any,
    *,
    method: str = "jsae",
    settings: Settings = "tuned",
    samples: int | None = None,
    seed: int = 0,
    objectives: Mapping[str, float] | None = None,
    own: Mapping[str, OwnObjective] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    observation_space: gymnasium.Space | None = None,
    action_space: gymnasium.Space | None = None,
    policy: Behaviour | str | Path | None = None,
    tried_only: bool = False,
    watch: Watcher = unwatched,
    **options: Any,
) -> Embedding:
    """Learns an embedding of states and actions, as `embrl fit` does, and measures it.

    Arguments:
        source: where transitions come from. An environment: the name of one of ours or an id of
            Gymnasium's, a `gymnasium.Env`, a function that makes one, or an `Environment`. Or
            recorded ones: a `Transition` of arrays `[T, B, ...]` or `[N, ...]`, as a JAX rollout
            gives; the path of a `.npz` or `.parquet` file; a Minari data set's folder or
            `minari:ID`.
        method: a name in `embrl.embedding.methods.METHODS` that embeds something.
        samples: transitions to take, or to use of those that are recorded; None: as `settings`
            say, or all.
        seed: where all randomness comes from.
        objectives: weights by name, in place of the method's.
        own: objectives of your own, by the names that stand in `objectives`.
        overrides: other settings by section and name, as on the command line:
            `{"model": {"m": 2}, "fit": {"steps": 2000}}`.
        observation_space: what recorded observations are of, in Gymnasium's own form; None: as
            they tell themselves.
        action_space: likewise.
        policy: who acts in the environment: a function of one observation, which gives an action,
            both as Gymnasium's environment has them; or a run's folder. None: chance.
        tried_only: whether f is never to choose a discrete action of which no transition tells
            (`Embedding.allowed`), as where the actions are too many to try them all: g has learned
            no place for it.
        watch: called with a `Progress` between chunks.
        options: the environment's, of one that has a name.

    Raises:
        EmbrlError: as `embrl fit` would say it.
    """
    prepare_jax()
    where = origin(source, Given(observation_space, action_space), policy, options)
    config = where.config(method, settings)
    if samples is not None:
        config = overridden(config, {"fit": {"samples": samples}})
    config = dataclasses.replace(overridden(config, overrides), seed=seed)
    if objectives is not None:
        config = dataclasses.replace(config, objectives=dict(objectives))
    return learn(config, where, own=own, tried_only=tried_only, watch=watch)


# DOC Fits one embedding: transitions in, an `Embedding` out. Reads and writes no files.


LEAST = 2
"""Rows of transitions: one to train on, one to measure on."""


def learn(
    config: RunConfig,
    origin: Origin,
    *,
    own: Mapping[str, OwnObjective] | None = None,
    tried_only: bool = False,
    watch: Watcher = unwatched,
) -> Embedding:
    """Trains an embedding on what `origin` has, with the settings in `config` (of which those of
    policies say nothing here), and measures it.

    From an environment and without a policy, it is what `embrl train` with these settings begins
    with in its first seed.

    Arguments:
        own: objectives of the caller's, by the names that `config.objectives` has for them.
        tried_only: whether f is to leave alone what no transition tells of.
        watch: called between chunks of gradient steps.

    Raises:
        EmbrlError: a setting is wrong, there are too few transitions, or the loss stopped being
            finite.
    """
    config = dataclasses.replace(config, seeds=1, vary={})
    inputs = action_inputs.gathered(config, origin)
    program = Program(config, origin.observation_space, origin.action_space, own or {}, inputs)
    check_fit(program)
    rows = Rows(program)
    source = origin.open(rows)
    try:
        transitions = source.collect()
        embedding = _learned(rows, transitions, origin, source.truth, watch)
        if not tried_only:
            return embedding
        train, _ = EmbeddingRows(rows).split(transitions)
        return dataclasses.replace(embedding, allowed=_tried(embedding.model, train))
    finally:
        source.close()


def _learned(
    rows: Rows, transitions: Any, origin: Origin, truth: Callable[..., Any], watch: Watcher
) -> Embedding:
    program, config = rows.program, rows.program.config
    if transitions.reward.shape[1] < LEAST:
        raise EmbrlError(
            f"{origin.name} has {transitions.reward[0].size} transitions, in "
            f"{transitions.reward.shape[1]} steps of time: a fit needs {LEAST} steps or more"
        )
    embeddings = EmbeddingRows(rows)
    train, held_out = embeddings.split(transitions)
    state = embeddings.new_model(rows.keys, train)
    model, value = state.model, None
    for now, losses, steps in embeddings.fit(state, train):
        model, value = now.model, float(np.asarray(losses)[0])
        if not np.isfinite(value):
            raise EmbrlError(
                f"the loss is no longer finite after {min(steps, embeddings.steps)} steps: try a "
                f"smaller --fit.learning-rate than {config.fit.learning_rate}"
            )
        watch(Progress("fitting", min(steps, embeddings.steps), embeddings.steps, value))
    model = embeddings.finished(model, train)
    (quality,) = embeddings.qualities(model, train, held_out, truth)
    reference, norm = rows.over(Program.met, once=True)(model, transitions)
    model, reference, norm = jax.tree.map(lambda leaf: leaf[0], (model, reference, norm))
    return Embedding(
        model=model,
        method=config.method,
        settings=EmbeddingSettings(config.model, dict(config.objectives), config.fit, config.f),
        observation_space=program.observation_space,
        action_space=program.action_space,
        norm=norm,
        reference=reference,
        allowed=program.inputs.allowed,
        named=origin.named,
        quality=_said(dataclasses.asdict(quality)),
        source={
            "name": origin.name,
            "samples": int(transitions.reward[0].size),
            "seed": config.seed,
            "loss": value,
            **origin.about,
        },
    )


def _tried(model: JointEmbedding, train: Transition) -> np.ndarray | None:
    """Which actions were tried, bool `[n]`: rows of others lie where they began. None where there
    are no rows, or all of them were learned.
    """
    if not isinstance(model.g, ActionEncoder):
        return None
    counts = np.bincount(np.asarray(train.action).ravel(), minlength=len(model.g.rows))
    return None if counts.all() else counts > 0


def _said(measures: dict[str, Any]) -> dict[str, Any]:
    """Without numbers that are not finite, which JSON has no word for: nothing was measured."""
    return {
        name: _said(value)
        if isinstance(value, dict)
        else None
        if isinstance(value, float) and not np.isfinite(value)
        else value
        for name, value in measures.items()
    }


# DOC A run's embedding, as one that stands alone.


def embedding_of_run(path: str | Path, seed: int = 0) -> Embedding:
    """The embedding of one seed of a run, as it stands in the newest checkpoint: moved on by the
    policy's training, if it was. Its measures of quality are those after pre-training.

    Raises:
        EmbrlError: there is no such run or seed, no policy in it yet, or its method embeds nothing.
    """
    prepare_jax()
    folder = RunFolder.existing(path)
    left = transfer.run_left(folder, {})
    config = left.program.config
    check_seed(folder, config, seed)
    agent, reference = jax.tree.map(lambda leaf: jnp.asarray(leaf[seed]), left.state)
    if agent.embedding is None:
        raise EmbrlError(f"{path}: method {config.method} embeds nothing")
    has_quality = (folder.path / "quality.json").exists()
    reports = folder.quality() if has_quality else []
    quality: dict[str, Any] = next((r for r in reports if r.get("seed") == seed), {})
    return Embedding(
        model=agent.embedding,
        method=config.method,
        settings=EmbeddingSettings(config.model, config.objectives, config.fit, config.f),
        observation_space=left.program.observation_space,
        action_space=left.program.action_space,
        norm=agent.norm,
        reference=reference,
        allowed=left.program.inputs.allowed,
        named=named_factor(config.env),
        quality={name: value for name, value in quality.items() if name != "seed"},
        source={
            "name": folder.path.name,
            "kind": "run",
            "environment": config.environment,
            "run_seed": seed,
            "samples": config.samples,
            "seed": config.seed,
        },
    )
