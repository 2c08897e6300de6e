"""Stages and sizes of a training, as its configuration determines them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import gymnasium
from jaxtyping import Array, Int

from embrl.config.run import RunConfig
from embrl.core.products import is_product
from embrl.core.spaces import action_count, is_continuous
from embrl.data.replay import ring_rows
from embrl.decoding.base import DECODERS, DEFAULTS
from embrl.decoding.indexed import pays
from embrl.embedding.methods import METHODS, Method
from embrl.embedding.objectives import OBJECTIVES, OwnObjective


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """Stages and sizes of a training; none of them may be traced."""

    config: RunConfig
    custom_objectives: Mapping[str, OwnObjective]
    """A user's objectives by name."""

    @property
    def method(self) -> Method:
        """The method: what is embedded, with which objectives."""
        return METHODS[self.config.method]

    @property
    def pretrains(self) -> bool:
        """True if the embedding is pre-trained, not taken over whole."""
        transfer = self.config.transfer
        return self.method.embeds and not (transfer.run and transfer.keep == "both")

    @property
    def updates_online(self) -> bool:
        """True if the embedding is updated during policy training."""
        return self.method.embeds and self.config.online.every > 0

    @property
    def uses_replay(self) -> bool:
        """True if anything learns from a replay buffer."""
        return self.config.hyperparameters.off_policy or self.updates_online

    @property
    def acts_in_embedding(self) -> bool:
        """True if the policy chooses points of E, and f maps them to actions."""
        policy, decoder = self.config.policy, self.config.decoder
        asked = policy.actions == "embedded" or policy.credit != "e"
        return self.method.actions and (asked or decoder.kind not in DEFAULTS)

    def indexed(self, action_space: gymnasium.Space) -> bool:
        """Return whether these actions are so many that f finds the nearest by an index."""
        if not self.acts_in_embedding or is_continuous(action_space) or is_product(action_space):
            return False
        kind: Any = DECODERS[self.config.decoder.kind]
        many = pays(action_count(action_space), self.config.embedding.action_dim)
        return many and (kind.by_index or kind.by_list)

    @property
    def by_tree(self) -> bool:
        """True if f can use a tree of actions, and not just a list of those that were tried."""
        kind: Any = DECODERS[self.config.decoder.kind]
        return kind.by_index

    def most_tried(self, action_space: gymnasium.Space) -> int | None:
        """Return how many actions pre-training can try at most, where all are far more.

        Returns:
            None where actions are few, or pre-training is so long that it may try most of them, or
            there is none.
        """
        most = self.pretraining_timesteps
        if not most or not self.indexed(action_space):
            return None
        return most if 2 * most < action_count(action_space) else None

    def most_trained(self, action_space: gymnasium.Space) -> int | None:
        """Return the number of rows of g that are trained; None: all of them."""
        parts: list[Any] = [
            self.custom_objectives.get(name) or OBJECTIVES[name] for name in self.config.objectives
        ]
        alone = all(isinstance(part, type) and part.batch_only for part in parts)
        return self.most_tried(action_space) if alone else None

    @property
    def pretraining_timesteps(self) -> int:
        """Environment steps before the first update, a multiple of the parallel environments."""
        if not self.pretrains:
            return 0
        num_envs = self.config.rollout.num_envs
        return -(-self.config.pretrain.timesteps // num_envs) * num_envs

    @property
    def num_updates(self) -> int:
        """Updates that the budget of timesteps allows after pre-training."""
        timesteps = self.config.total_timesteps - self.pretraining_timesteps
        return timesteps // self.config.rollout.steps_per_update

    def timesteps(self, updates: int | Int[Array, ""]) -> int | Int[Array, ""]:
        """Return the environment steps taken after this many updates, with pre-training's."""
        return self.pretraining_timesteps + updates * self.config.rollout.steps_per_update

    @property
    def evaluations(self) -> tuple[int, ...]:
        """Numbers of updates after which the policy is evaluated, from 0 to the last."""
        every = self.config.evaluation.every // self.config.rollout.steps_per_update
        return (*range(0, self.num_updates, every), self.num_updates)

    @property
    def final_rounds(self) -> int:
        """Rounds of `evaluation.episodes` episodes in the last evaluation."""
        return self.config.evaluation.final_episodes // self.config.evaluation.episodes

    @property
    def rollout_length(self) -> int:
        """Steps of each environment between two updates, T."""
        return self.config.rollout.steps_per_update // self.config.rollout.num_envs

    @property
    def pretraining_blocks(self) -> int:
        """Whole rollouts' worth of pre-training's transitions, which go into the replay buffer."""
        return self.pretraining_timesteps // self.config.rollout.num_envs // self.rollout_length

    @property
    def replay_rows(self) -> int:
        """Rows of the replay buffer, each with a step of every environment."""
        rollout = self.config.rollout
        return ring_rows(rollout.buffer_size, rollout.num_envs, self.rollout_length)

    @property
    def memory_size(self) -> int:
        """Number of visits that can be remembered. 0: none are."""
        if not (self.method.embeds and self.config.echo.memory):
            return 0
        if not self.uses_replay:
            return self.pretraining_timesteps
        return self.replay_rows * self.config.rollout.num_envs

    @property
    def horizon(self) -> int:
        """Steps of the segments that objectives are trained on."""
        names = self.config.objectives
        kinds = [self.custom_objectives.get(name) or OBJECTIVES[name] for name in names]
        return self.config.embedding.horizon if any(map(_takes_segments, kinds)) else 1


def _takes_segments(kind: OwnObjective) -> bool:
    return isinstance(kind, type) and kind.segments
