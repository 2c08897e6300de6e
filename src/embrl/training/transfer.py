"""An embedding, and perhaps a policy, from another run; or an embedding that stands alone."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from embrl.algorithms.actors import GaussianActor
from embrl.algorithms.base import Learner
from embrl.config.run import TransferConfig, from_json
from embrl.core import spaces
from embrl.core.errors import EmbrlError
from embrl.embedding import saved as fitted
from embrl.embedding.config import ModelConfig
from embrl.embedding.feature_actions import with_features, without_features
from embrl.embedding.model import JointEmbedding
from embrl.embedding.monitor import Reference
from embrl.embedding.objectives import OBJECTIVES, OwnObjective
from embrl.embedding.pretraining import FitState
from embrl.storage import checkpoint
from embrl.storage.run_folder import RunFolder
from embrl.training import action_inputs
from embrl.training.replicas import seed_keys
from embrl.training.state import Agent, SeedState
from embrl.training.trainer import Program


class Source(NamedTuple):
    """What another run left, with an axis of this run's seeds in front: if it had fewer, they are
    used again in turn.
    """

    agent: Agent
    reference: Reference


def source(program: Program) -> Source:
    """What `transfer.run` left, of the parts that are to be kept: a run, or an embedding alone.

    Raises:
        EmbrlError: there is neither, the run is not complete enough, or its spaces or networks do
            not fit; the message says which.
    """
    if fitted.is_fitted(program.config.transfer.run):
        return _embedding(program)
    config = program.config
    left = run_left(RunFolder.existing(config.transfer.run), program.own)
    path, theirs = left.folder.path, left.program.config
    _check(program, path, left.program, theirs.method, theirs.model)
    policy = config.transfer.policy
    if policy and (theirs.algorithm, theirs.policy) != (config.algorithm, config.policy):
        raise EmbrlError(
            f"transfer.policy: {path} has {theirs.algorithm} and {theirs.policy}: choose the same"
        )
    chosen = np.arange(config.rows) % config.seeds % theirs.rows
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[chosen]), left.state)


class RunLeft(NamedTuple):
    """What a finished run holds."""

    folder: RunFolder
    program: Program
    state: Source
    """With an axis of its own rows in front."""


def run_left(folder: RunFolder, own: Mapping[str, OwnObjective]) -> RunLeft:
    """
    Arguments:
        own: objectives of the user's own, as far as they are at hand: it does without others.

    Raises:
        EmbrlError: it has no policy yet, or a file is damaged.
    """
    config = from_json(folder.config(), folder.path / "config.json")
    weights = config.objectives.items()
    known = {name: weight for name, weight in weights if name in own or name in OBJECTIVES}
    config = dataclasses.replace(config, objectives=known)
    found = checkpoint.latest(folder.checkpoint)
    manifest = {} if found is None else checkpoint.read_manifest(found)
    if found is None or manifest.get("record", {}).get("stage") != "training":
        raise EmbrlError(f"{folder.path} has no policy yet: finish it first")
    where = found / checkpoint.MANIFEST
    actions = spaces.from_json(manifest.get("action_space", {}), where)
    inputs = action_inputs.of_run(config, actions, folder)
    program = Program(
        config,
        spaces.from_json(manifest.get("observation_space", {}), where),
        actions,
        own,
        inputs,
    )
    shapes = state_shapes(program, None)
    like = without_features(Source(shapes.agent, shapes.reference))  # type: ignore[arg-type]
    state = with_features(checkpoint.read(found, like), inputs.features)
    return RunLeft(folder, program, state)


def _embedding(program: Program) -> Source:
    """The same embedding for all rows, and no policy."""
    config = program.config
    path = Path(config.transfer.run)
    if config.transfer.policy:
        raise EmbrlError(f"transfer.policy: {path} holds an embedding and no policy: leave it out")
    theirs = fitted.read(path)
    _check(program, path, theirs, theirs.method, theirs.settings.model)
    if theirs.allowed is not None and not theirs.allowed.all():
        raise EmbrlError(
            f"transfer.run: {path} leaves out some actions, and a run trains with all of them: "
            "choose the embedding that it was made of"
        )
    objectives = theirs.settings.objectives
    if config.transfer.keep == "both" and objectives.keys() != config.objectives.keys():
        raise EmbrlError(
            f"transfer.run: {path} has objectives {', '.join(objectives) or 'none'}, this "
            f"run {', '.join(config.objectives) or 'none'}: choose the same"
        )
    agent = Agent(theirs.model, theirs.norm, cast(Learner, None))
    return jax.tree.map(
        lambda leaf: jnp.repeat(leaf[None], config.rows, axis=0),
        Source(agent, cast(Reference, theirs.reference)),
    )


class _Spaces(Protocol):
    @property
    def observation_space(self) -> gymnasium.Space: ...

    @property
    def action_space(self) -> gymnasium.Space: ...


def _check(program: Program, path: Path, of: _Spaces, method: str, model: ModelConfig) -> None:
    """Whether what is there fits this run."""
    config = program.config
    if method != config.method:
        raise EmbrlError(f"transfer.run: {path} has method {method}, this run {config.method}")
    keep = config.transfer.keep
    if keep in ("both", "states"):
        _same("state", path, of.observation_space, program.observation_space)
    if keep in ("both", "actions"):
        _same("action", path, of.action_space, program.action_space)
    mine, other = dataclasses.asdict(config.model), dataclasses.asdict(model)
    for name in mine:
        if mine[name] != other[name]:
            flag = name.replace("_", "-")
            raise EmbrlError(
                f"transfer.run: {path} has model.{flag} {other[name]}, this run {mine[name]}: "
                "choose the same"
            )


def renewed(transfer: TransferConfig, state: FitState, kept: JointEmbedding) -> FitState:
    """A new model with the kept part, and with the objectives' networks where they fit."""
    model = eqx.tree_at(lambda m: m.raw, state.model, kept.raw)
    if transfer.keep == "states":
        model = eqx.tree_at(lambda m: m.phi, model, kept.phi)
    else:
        model = eqx.tree_at(lambda m: (m.g, m.f), model, (kept.g, kept.f), is_leaf=_is_none)
    new, old = jax.tree.leaves(model.parts), jax.tree.leaves(kept.parts)
    fits = len(new) == len(old) and all(a.shape == b.shape for a, b in zip(new, old, strict=True))
    if fits:
        parts = jax.tree.unflatten(jax.tree.structure(model.parts), old)
        model = eqx.tree_at(lambda m: m.parts, model, parts)
    elif transfer.policy:
        raise EmbrlError(
            "transfer.policy: the embedding's other networks depend on what differs here, and a "
            "policy cannot be kept without them: leave it out, or use model.head metric"
        )
    return FitState(model, state.optimiser)


def unsettled(learner: Learner, std: float) -> Learner:
    """A policy taken over, no surer of itself than `std` on each axis of E. Policies whose std
    depends on the state stay as they are.
    """
    if not isinstance(learner.actor, GaussianActor):
        return learner
    return eqx.tree_at(
        lambda learner: learner.actor.log_std,
        learner,
        replace_fn=lambda log: jnp.maximum(log, jnp.log(std)),
    )


def state_shapes(
    program: Program, source: Source | None, begin: Callable[[Any, Any], SeedState] | None = None
) -> SeedState:
    """What a checkpoint of the program's training looks like.

    Arguments:
        begin: the shapes of what training begins with, for those of agents and of what
            pre-training found; left out: without lanes.
    """
    rows = program.config.rows
    keys = jax.eval_shape(lambda: seed_keys(0, rows))
    agent = jax.eval_shape(jax.vmap(program.untrained), keys)
    found = None
    if program.pretrains:
        lanes = program.config.rollout.lanes
        found = program.transitions_like((rows, program.pretraining_samples // lanes, lanes))
    elif source is not None:
        found = source.reference
    if begin is None:
        alone = jax.vmap(functools.partial(program.begin, lanes=None))
        return jax.eval_shape(alone, agent, found)
    return begin(agent, found)


def _is_none(node: object) -> bool:
    return node is None


def _same(kind: str, path: Path, theirs: gymnasium.Space, ours: gymnasium.Space) -> None:
    if differs := spaces.difference(theirs, ours):
        raise EmbrlError(
            f"transfer.run: the {kind} space of {path} is another one than this environment's: "
            f"{differs}: choose --transfer.keep {'actions' if kind == 'state' else 'states'}, or "
            "another one"
        )
