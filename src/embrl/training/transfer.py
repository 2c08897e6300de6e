"""An embedding, and perhaps a policy, from another run."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from embrl import spaces
from embrl.embedding.feature_actions import with_features, without_features
from embrl.embedding.fit import FitState
from embrl.embedding.model import JointEmbedding
from embrl.embedding.monitor import Reference
from embrl.errors import EmbrlError
from embrl.policy.actors import GaussianActor
from embrl.policy.algorithm import Learner
from embrl.training import action_inputs, checkpoint
from embrl.training.config import TransferConfig, from_json
from embrl.training.program import Program
from embrl.training.run_folder import RunFolder
from embrl.training.seeds import seed_keys
from embrl.training.state import Agent, SeedState


class Source(NamedTuple):
    """What another run left, with an axis of this run's seeds in front: if it had fewer, they are
    used again in turn.
    """

    agent: Agent
    reference: Reference


def source(program: Program) -> Source:
    """What `transfer.run` left, of the parts that are to be kept.

    Raises:
        EmbrlError: there is no such run, it is not complete enough, or its spaces or networks do
            not fit; the message says which.
    """
    config = program.config
    folder = RunFolder.existing(config.transfer.run)
    theirs = from_json(folder.config(), folder.path / "config.json")
    found = checkpoint.latest(folder.checkpoint)
    manifest = {} if found is None else checkpoint.read_manifest(found)
    if found is None or manifest.get("record", {}).get("stage") != "training":
        raise EmbrlError(f"transfer.run: {folder.path} has no policy yet: finish it first")
    if theirs.method != config.method:
        raise EmbrlError(
            f"transfer.run: {folder.path} has method {theirs.method}, this run {config.method}"
        )
    where = found / checkpoint.MANIFEST
    observations = spaces.from_json(manifest.get("observation_space", {}), where)
    actions = spaces.from_json(manifest.get("action_space", {}), where)
    keep = config.transfer.keep
    if keep in ("both", "states"):
        _same("state", folder, observations, program.observation_space)
    if keep in ("both", "actions"):
        _same("action", folder, actions, program.action_space)
    if theirs.model != config.model:
        raise EmbrlError(f"transfer.run: {folder.path} has model {theirs.model}: choose the same")
    policy = config.transfer.policy
    if policy and (theirs.algorithm, theirs.policy) != (config.algorithm, config.policy):
        raise EmbrlError(
            f"transfer.policy: {folder.path} has {theirs.algorithm} and {theirs.policy}: "
            "choose the same"
        )
    inputs = action_inputs.of_run(theirs, actions, folder)
    shapes = state_shapes(Program(theirs, observations, actions, program.own, inputs), None)
    like = without_features(Source(shapes.agent, shapes.reference))  # type: ignore[arg-type]
    state = with_features(checkpoint.read(found, like), inputs.features)
    chosen = np.arange(config.rows) % config.seeds % theirs.rows
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[chosen]), state)


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


def _same(kind: str, folder: RunFolder, theirs: gymnasium.Space, ours: gymnasium.Space) -> None:
    if theirs != ours:
        raise EmbrlError(
            f"transfer.run: {folder.path} has the {kind} space {theirs}, this environment {ours}: "
            f"choose --transfer.keep {'actions' if kind == 'state' else 'states'}, or another run"
        )
