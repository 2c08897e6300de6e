"""Transfer: an embedding, and perhaps a policy, from another run or from a saved embedding."""

import dataclasses
from pathlib import Path
from typing import Protocol, cast

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from embrl.algorithms.actors import GaussianActor
from embrl.algorithms.base import Learner
from embrl.config.run import TransferConfig
from embrl.core import spaces
from embrl.core.convolutions import weights_of_colours
from embrl.core.errors import EmbrlError
from embrl.embedding import saved
from embrl.embedding.config import EchoConfig, EmbeddingConfig
from embrl.embedding.model import JointEmbedding
from embrl.embedding.monitor import Reference
from embrl.embedding.pretraining import FitState
from embrl.storage.run_folder import RunFolder
from embrl.training.restore import AgentAndReference, restore_run
from embrl.training.state import Agent
from embrl.training.trainer import Trainer


def transfer_source(trainer: Trainer) -> AgentAndReference:
    """Return what `transfer.run` names, a run or a saved embedding, for each replica.

    If the other run had fewer seeds, they are used again in turn.

    Raises:
        EmbrlError: there is neither, the run has no policy yet, or its spaces or networks do not
            fit; the message says which.
    """
    if saved.is_embedding(trainer.config.transfer.run):
        return _saved_embedding(trainer)
    config = trainer.config
    source = restore_run(RunFolder.existing(config.transfer.run), trainer.custom_objectives)
    path, theirs = source.folder.path, source.trainer.config
    _check_fits(trainer, path, source.trainer, theirs.method, theirs)
    policy = config.transfer.policy
    if policy and (theirs.algorithm, theirs.policy) != (config.algorithm, config.policy):
        raise EmbrlError(
            f"transfer.policy needs {theirs.algorithm} with {theirs.policy}, as {path} has"
        )
    chosen = np.arange(config.replicas) % config.seeds % theirs.replicas
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[chosen]), source.state)


def _saved_embedding(trainer: Trainer) -> AgentAndReference:
    """Return a saved embedding, the same for all replicas, without a policy."""
    config = trainer.config
    path = Path(config.transfer.run)
    if config.transfer.policy:
        raise EmbrlError(f"transfer.policy needs a run, and {path} is an embedding; leave it out")
    theirs = saved.read(path)
    _check_fits(trainer, path, theirs, theirs.method, theirs.settings)
    if theirs.allowed is not None and not theirs.allowed.all():
        raise EmbrlError(
            f"transfer.run: {path} excludes some actions, and a run trains with all of them; "
            "choose the embedding that it was made from"
        )
    objectives = theirs.settings.objectives
    if config.transfer.keep == "both" and objectives.keys() != config.objectives.keys():
        raise EmbrlError(
            f"transfer.run: {path} has objectives {', '.join(objectives) or 'none'}, this "
            f"run {', '.join(config.objectives) or 'none'}; choose the same"
        )
    agent = Agent(theirs.model, theirs.norm, cast(Learner, None))
    return jax.tree.map(
        lambda leaf: jnp.repeat(leaf[None], config.replicas, axis=0),
        AgentAndReference(agent, cast(Reference, theirs.reference)),
    )


class _HasSpaces(Protocol):
    @property
    def observation_space(self) -> gymnasium.Space: ...

    @property
    def action_space(self) -> gymnasium.Space: ...


class _HasEmbedding(Protocol):
    @property
    def embedding(self) -> EmbeddingConfig: ...

    @property
    def echo(self) -> EchoConfig: ...


def _check_fits(
    trainer: Trainer, path: Path, theirs: _HasSpaces, method: str, settings: _HasEmbedding
) -> None:
    """Check that what is taken over fits this run."""
    config = trainer.config
    if method != config.method:
        raise EmbrlError(f"transfer.run: {path} has method {method}, this run {config.method}")
    keep = config.transfer.keep
    if keep in ("both", "states"):
        _check_same("observation", path, theirs.observation_space, trainer.observation_space)
    if keep in ("both", "actions"):
        _check_same("action", path, theirs.action_space, trainer.action_space)
    for section in ("embedding", "echo"):
        other = dataclasses.asdict(getattr(settings, section))
        for name, mine in dataclasses.asdict(getattr(config, section)).items():
            if name == "grey_scale" and keep == "states" and other[name]:
                continue  # `_in_colour`
            if mine != other[name]:
                raise EmbrlError(
                    f"transfer.run: {section}.{name} must be {other[name]}, as in {path}, "
                    f"got {mine}"
                )


def _check_same(kind: str, path: Path, theirs: gymnasium.Space, ours: gymnasium.Space) -> None:
    if differs := spaces.difference(theirs, ours):
        other = "actions" if kind == "observation" else "states"
        raise EmbrlError(
            f"transfer.run: the {kind} space of {path} differs from this environment's: "
            f"{differs}; choose --transfer.keep {other}, or another run"
        )


def with_kept_parts(transfer: TransferConfig, state: FitState, kept: JointEmbedding) -> FitState:
    """Return a new model with the parts taken over.

    The objectives' networks are taken over, too, where their shapes fit.

    Raises:
        EmbrlError: they do not fit, and a policy is taken over that depends on them.
    """
    model = state.model
    if transfer.keep == "states":
        if kept.raw.image != model.raw.image:
            kept = _in_colour(kept, model)
        model = eqx.tree_at(lambda m: (m.raw, m.phi), model, (kept.raw, kept.phi))
    else:
        model = eqx.tree_at(
            lambda m: (m.g, m.f), model, (kept.g, kept.f), is_leaf=lambda node: node is None
        )
    new, old = jax.tree.leaves(model.parts), jax.tree.leaves(kept.parts)
    fits = len(new) == len(old) and all(a.shape == b.shape for a, b in zip(new, old, strict=True))
    if fits:
        parts = jax.tree.unflatten(jax.tree.structure(model.parts), old)
        model = eqx.tree_at(lambda m: m.parts, model, parts)
    elif transfer.policy:
        raise EmbrlError(
            "transfer.policy: the embedding's other networks depend on what differs here, and a "
            "policy cannot be kept without them; leave it out, or use embedding.head metric"
        )
    return FitState(model, state.optimiser)


def _in_colour(kept: JointEmbedding, model: JointEmbedding) -> JointEmbedding:
    """Return an embedding of grey images as one of colours, which it answers as their luminance.

    Args:
        kept: embedding of grey images.
        model: embedding of the same images in colour.
    """
    places, structure = jax.tree.flatten(model.phi)
    weights = [
        weight if weight.shape == place.shape else weights_of_colours(weight)
        for weight, place in zip(jax.tree.leaves(kept.phi), places, strict=True)
    ]
    phi = jax.tree.unflatten(structure, weights)
    return eqx.tree_at(lambda m: (m.raw, m.phi), kept, (model.raw, phi))


def with_min_std(learner: Learner, min_std: float) -> Learner:
    """Return a learner whose policy has at least this standard deviation on each axis of E.

    Policies whose standard deviation depends on the state stay as they are.
    """
    if not isinstance(learner.actor, GaussianActor):
        return learner
    return eqx.tree_at(
        lambda learner: learner.actor.log_std,
        learner,
        replace_fn=lambda log: jnp.maximum(log, jnp.log(min_std)),
    )
