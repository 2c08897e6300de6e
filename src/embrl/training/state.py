"""State of the training of one seed."""

from typing import Any, NamedTuple, TypeAlias

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from embrl.algorithms.base import Learner
from embrl.core.errors import EmbrlError
from embrl.core.products import dtype_of, shape_of
from embrl.core.scaling import RunningStats
from embrl.core.types import Transition
from embrl.data.rollout import Masks, OpenEnvs
from embrl.decoding.tree import Tree
from embrl.embedding.encoders import Norm
from embrl.embedding.memory import Memory
from embrl.embedding.model import JointEmbedding
from embrl.embedding.monitor import Reference

PretrainingData: TypeAlias = Transition | Reference
"""Transitions of pre-training, `[T, B, ...]`; or, where the embedding was taken over from another
run, its reference there."""


class Agent(NamedTuple):
    """Everything that a seed learns."""

    embedding: JointEmbedding | None
    norm: Norm | None
    """Normalisation of X for the policy; None where states are not embedded."""
    learner: Learner
    memory: Memory | None = None
    """Remembered visits of states; None where nothing is remembered."""
    running_stats: RunningStats | None = None
    """Statistics of unbounded observations, as far as the policy sees them as they are."""
    nearby: Tree | Int[Array, " k"] | None = None
    """Index by which f finds the nearest of many actions (`embrl.decoding.indexed`); None where
    they are few, or f needs none."""
    tried: Bool[Array, " n"] | None = None
    """Actions that pre-training took, where there is an index and each action has a row of its own:
    the rows of others are noise. None: that does not matter."""

    @property
    def embedded(self) -> JointEmbedding:
        """The embedding of a method that has one.

        Raises:
            EmbrlError: the method has no embedding.
        """
        if self.embedding is None:
            raise EmbrlError("this method has no embedding; choose another method")
        return self.embedding


class TrainState(NamedTuple):
    """One seed in the middle of its training."""

    agent: Agent
    envs: OpenEnvs | None
    """Parallel environments; None where they are stepped on the host."""
    reference: Reference | None
    """The embedding before policy training, to monitor it; None without an embedding."""
    parts: dict[str, Any]
    """State of each optional part of training, by its name (`embrl.training.parts`)."""


class Rollout(NamedTuple):
    """Steps that the policy has taken between two updates."""

    transitions: Transition
    """`[T, B, ...]`."""
    u: Any
    """Internal actions behind them, `[T, B, ...]`."""
    masks: Masks | None = None
    """Actions that could be chosen, `[T, B, ...]`; None where the environment has no masks."""
    infeasible: Any = None
    """True where the action was infeasible, `[T, B]`; None where the environment couples no
    parts."""


def transitions_like(
    observation_space: gymnasium.Space, action_space: gymnasium.Space, batch: tuple[int, ...]
) -> Transition:
    """Return shapes and dtypes of transitions between these spaces.

    Args:
        observation_space: in embrl's form.
        action_space: in embrl's form.
        batch: leading axes.
    """
    observation = jax.ShapeDtypeStruct(
        (*batch, *shape_of(observation_space)), dtype_of(observation_space)
    )
    columns: dict[str, Any] = {
        "observation": observation,
        "action": jax.ShapeDtypeStruct((*batch, *shape_of(action_space)), dtype_of(action_space)),
        "reward": jax.ShapeDtypeStruct(batch, jnp.float32),
        "next_observation": observation,
        "terminated": jax.ShapeDtypeStruct(batch, jnp.bool_),
        "truncated": jax.ShapeDtypeStruct(batch, jnp.bool_),
    }
    return Transition(**columns)
