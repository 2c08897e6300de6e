"""Fits one embedding: transitions in, an `Embedding` out. Reads and writes no files."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from embrl.embedding.encoders import ActionEncoder
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives import OwnObjective
from embrl.errors import EmbrlError
from embrl.fitting.embedding import Embedding
from embrl.fitting.origin import Origin
from embrl.training import action_inputs
from embrl.training.check import check_fit
from embrl.training.config import RunConfig
from embrl.training.embedding_rows import EmbeddingRows
from embrl.training.fitted import EmbeddingSettings
from embrl.training.program import Program
from embrl.training.rows import Rows
from embrl.training.runner import Progress, Watcher, unwatched
from embrl.types import Transition

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
