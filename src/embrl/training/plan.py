"""What a run comes to: how many samples, epochs and rows, and which parts it has."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Self

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array

from embrl.data import replay as replays
from embrl.embedding.methods import Method, method
from embrl.embedding.objectives import OBJECTIVES, OwnObjective
from embrl.spaces import is_continuous
from embrl.training.action_inputs import NONE, ActionInputs
from embrl.training.config import RunConfig
from embrl.training.named import replaced
from embrl.training.novelty import Novelty
from embrl.training.sight import Sight
from embrl.types import Transition


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """A configuration, the spaces it meets, and what follows from both."""

    config: RunConfig
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    own: Mapping[str, OwnObjective] = dataclasses.field(default_factory=dict)
    """A user's objectives, by name."""
    inputs: ActionInputs = NONE
    """What is told of discrete actions."""

    def at(self, point: Mapping[str, Array | float]) -> Self:
        """The same with other values of some settings, by dotted name; they may be traced."""
        if not point:
            return self
        config = dataclasses.replace(self.config, vary={})
        return dataclasses.replace(self, config=replaced(config, point))

    @property
    def method(self) -> Method:
        """What is embedded, and to what end."""
        return method(self.config.method)

    @property
    def pretrains(self) -> bool:
        """Whether there is a stage before the policy's training: not with an embedding that is
        taken over whole.
        """
        transfer = self.config.transfer
        return self.method.embeds and not (transfer.run and transfer.keep == "both")

    @property
    def moves(self) -> bool:
        """Whether the embedding goes on learning while the policy does."""
        return self.method.embeds and self.config.update.every > 0

    @property
    def sight(self) -> Sight:
        """What the policy sees of a state."""
        return Sight(self.config.policy, self.observation_space)

    @functools.cached_property
    def novelty(self) -> Novelty | None:
        """What is paid for reaching what was seldom reached."""
        config = self.config.explore
        return Novelty(self.observation_space, config) if config.bonus else None

    @property
    def remembers(self) -> int:
        """Visits of states that there is room to remember."""
        config = self.config
        if not (self.method.embeds and config.model.memory):
            return 0
        if not (config.hyper.off_policy or self.moves):
            return self.pretraining_samples
        rollout = config.rollout
        return replays.ring_rows(rollout.buffer, rollout.lanes, self.epoch_rows) * rollout.lanes

    @property
    def pretraining_samples(self) -> int:
        """Environment steps taken before the first epoch."""
        if not self.pretrains:
            return 0
        lanes = self.config.rollout.lanes
        return -(-self.config.fit.samples // lanes) * lanes

    @property
    def epochs(self) -> int:
        """Epochs that the budget of samples pays for after pre-training."""
        return (self.config.samples - self.pretraining_samples) // self.config.rollout.epoch

    @property
    def epoch_rows(self) -> int:
        """Steps of each lane in an epoch."""
        return self.config.rollout.epoch // self.config.rollout.lanes

    @property
    def pretraining_blocks(self) -> int:
        """Blocks of that many rows, of pre-training's transitions, that go into the buffer."""
        return self.pretraining_samples // self.config.rollout.lanes // self.epoch_rows

    @property
    def horizon(self) -> int:
        """Steps of the segments that objectives are trained on."""
        kinds = [self.own.get(name) or OBJECTIVES[name] for name in self.config.objectives]
        return self.config.model.horizon if any(map(_takes_segments, kinds)) else 1

    def transitions_like(self, batch: tuple[int, ...]) -> Transition:
        """The shapes of transitions here."""
        columns: dict[str, Any] = {
            "observation": _like(self.observation_space, batch),
            "action": _like(self.action_space, batch),
            "reward": jax.ShapeDtypeStruct(batch, jnp.float32),
            "next_observation": _like(self.observation_space, batch),
            "terminated": jax.ShapeDtypeStruct(batch, jnp.bool_),
            "truncated": jax.ShapeDtypeStruct(batch, jnp.bool_),
        }
        return Transition(**columns)


def _like(space: gymnasium.Space, batch: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    kind = jnp.float32 if is_continuous(space) else jnp.int32
    return jax.ShapeDtypeStruct((*batch, *(space.shape or ())), kind)


def _takes_segments(kind: OwnObjective) -> bool:
    return isinstance(kind, type) and kind.segments
