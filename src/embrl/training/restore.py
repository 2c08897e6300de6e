"""A trained policy from a run folder, without its environment."""

import dataclasses
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp

from embrl.algorithms.policy import OverallPolicy
from embrl.config.run import RunConfig
from embrl.core import spaces
from embrl.core.errors import EmbrlError
from embrl.embedding.feature_actions import with_features, without_features
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives import OBJECTIVES
from embrl.storage import checkpoint
from embrl.storage.run_folder import RunFolder
from embrl.training import action_inputs
from embrl.training.state import Agent
from embrl.training.trainer import Program


class AgentOnly(NamedTuple):
    """The part of a `SeedState` that a policy needs."""

    agent: Agent


class Restored(NamedTuple):
    """What training left of one seed."""

    embedding: JointEmbedding | None
    policy: OverallPolicy
    observation_space: gymnasium.Space
    action_space: gymnasium.Space


def check_seed(folder: RunFolder, config: RunConfig, seed: int) -> None:
    """
    Raises:
        EmbrlError: the run has no seed with this index.
    """
    if not 0 <= seed < config.rows:
        raise EmbrlError(f"seed {seed}: {folder.path} has seeds 0 to {config.rows - 1}")


def restore(folder: RunFolder, config: RunConfig, seed: int) -> Restored:
    """The policy of the seed with the given index, as the newest checkpoint has it.

    Raises:
        EmbrlError: there is no such seed, no checkpoint yet, none with a policy, or it is damaged.
    """
    check_seed(folder, config, seed)
    found = checkpoint.latest(folder.checkpoint)
    if found is None:
        raise EmbrlError(f"{folder.path} has no checkpoint yet: train it with embrl train")
    manifest, where = checkpoint.read_manifest(found), found / checkpoint.MANIFEST
    record: Any = manifest.get("record", {})
    if record.get("stage") != "training":
        raise EmbrlError(f"{folder.path} has no policy yet: go on with embrl train --resume")
    # A policy needs no objectives; those of the user's own may not be at hand.
    known = {name: config.objectives[name] for name in config.objectives if name in OBJECTIVES}
    action_space = spaces.from_json(manifest.get("action_space", {}), where)
    program = Program(
        dataclasses.replace(config, objectives=known),
        spaces.from_json(manifest.get("observation_space", {}), where),
        action_space,
        inputs=action_inputs.of_run(config, action_space, folder),
    )
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), config.rows))
    shapes = jax.eval_shape(jax.vmap(program.untrained), keys)
    # Named as in a SeedState, whose lanes only the environment could tell the shape of.
    agents = checkpoint.read(found, without_features(AgentOnly(shapes))).agent
    agent = jax.tree.map(lambda leaf: jnp.asarray(leaf[seed]), agents)
    agent = with_features(agent, program.inputs.features)
    return Restored(
        agent.embedding,
        program.policy(agent),
        program.observation_space,
        program.action_space,
    )
