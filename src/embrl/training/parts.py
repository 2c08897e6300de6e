"""Optional parts of training, each with a state and hooks of its own.

`Trainer` calls the hooks of all its parts, in order:

    begin -> (collect -> reward -> [the policy learns] -> finish) for every update
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from embrl.algorithms.policy import OverallPolicy
from embrl.config.schedule import Schedule
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.masks import packed_length, unpack
from embrl.core.products import mask_length
from embrl.core.spaces import action_count
from embrl.core.types import Key, Transition
from embrl.data import replay as ring
from embrl.data.rollout import Masks
from embrl.decoding.continuous import Rescaled
from embrl.decoding.tree import Tree, listed, refitted
from embrl.embedding import pretraining
from embrl.embedding.chosen_rows import narrowed_state
from embrl.embedding.config import embedding_dims
from embrl.embedding.memory import Memory, remember
from embrl.embedding.model import JointEmbedding
from embrl.training import online_updates
from embrl.training.exploration import VisitCounter, Visits, rewards_are_sparse
from embrl.training.online_updates import OnlineState
from embrl.training.reward_scale import RewardSpread
from embrl.training.rng_streams import RngStream
from embrl.training.state import PretrainingData, TrainState, transitions_like

DEFAULT_GAMMA = 0.99
"""Discount factor that rewards are scaled with where a plugin's algorithm has none."""


class UpdateStep(NamedTuple):
    """An update in the making, as hooks see it."""

    transitions: Transition
    """The latest rollout, `[T, B, ...]`."""
    u: Array
    """Internal actions behind it, `[T, B, ...]`."""
    policy: OverallPolicy
    """The policy that took the steps."""
    key: Key
    number: Int[Array, ""]
    """Number of the update, from 0 on."""
    masks: Masks | None = None
    """Actions that could be chosen in the rollout."""


class Part:
    """Base class of optional parts; by default, hooks leave everything as it is."""

    name: ClassVar[str]

    def begin(self, state: TrainState, data: PretrainingData | None) -> TrainState:
        """Return the state before the first update.

        Args:
            state: with the states of the parts before this one.
            data: of pre-training, if there was any.
        """
        del data
        return state

    def collect(self, state: TrainState, step: UpdateStep) -> TrainState:
        """Take in a rollout, before the policy learns from it."""
        del step
        return state

    def reward(
        self, state: TrainState, transitions: Transition, index: Int[Array, ""]
    ) -> Transition:
        """Return transitions with the rewards that the policy is to learn from."""
        del state, index
        return transitions

    def metrics(self, state: TrainState, step: UpdateStep) -> dict[str, Array]:
        """Return metrics of a rollout.

        Args:
            state: before the policy learned from it.
            step: the update.
        """
        del state, step
        return {}

    def finish(self, state: TrainState, step: UpdateStep) -> TrainState:
        """Complete an update, after the policy has learned."""
        del step
        return state


@dataclasses.dataclass(frozen=True)
class ReplayBuffer(Part):
    """The latest transitions, for off-policy algorithms and online updates."""

    name: ClassVar[str] = "replay"

    schedule: Schedule
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    masked: bool = False
    """True if the environment has action masks."""

    @property
    def mask_bytes(self) -> tuple[int, int]:
        """Lengths of the packed masks that are kept, as `new_replay` takes them.

        The update of a point of E needs the mask to move it along with an embedding that is updated
        online; a distribution over original actions needs those of both states.
        """
        schedule = self.schedule
        if not (self.masked and schedule.config.hyperparameters.off_policy):
            return 0, 0
        length = packed_length(mask_length(self.action_space))
        if not schedule.acts_in_embedding:
            return length, length
        return (length if schedule.updates_online else 0), 0

    @property
    def blocks_before(self) -> int:
        """Blocks of pre-training's transitions that are kept.

        None where original actions are chosen among masks: nobody keeps those of pre-training.
        """
        return 0 if self.mask_bytes[1] else self.schedule.pretraining_blocks

    @property
    def offset_dim(self) -> int | None:
        """Dimensions of the internal actions that are replayed; None if they need not be known."""
        config = self.schedule.config
        replayed = self.schedule.acts_in_embedding and config.hyperparameters.off_policy
        return embedding_dims(config.embedding, self.action_space) if replayed else None

    def filled(self, replay: ring.Replay, index: Int[Array, ""] | int) -> Int[Array, ""]:
        """Return the number of rows that hold transitions after `index` updates."""
        return ring.filled(replay, self.schedule.rollout_length, self.blocks_before + index)

    def begin(self, state: TrainState, data: PretrainingData | None) -> TrainState:
        rows = self.schedule.replay_rows
        if not isinstance(data, Transition):
            batch = (1, self.schedule.config.rollout.num_envs)
            like = transitions_like(self.observation_space, self.action_space, batch)
            empty = ring.new_replay(like, rows, self.offset_dim, self.mask_bytes)
            return with_part(state, self.name, empty)
        transitions, length = data, self.schedule.rollout_length

        def put(number: Int[Array, ""], replay: ring.Replay) -> ring.Replay:
            block = jax.tree.map(
                lambda column: jax.lax.dynamic_slice_in_dim(column, number * length, length),
                transitions,
            )
            # The offset of a random action is 0: it was chosen as itself.
            return ring.write(replay, block, None, number)

        replay = ring.new_replay(transitions, rows, self.offset_dim, self.mask_bytes)
        replay = jax.lax.fori_loop(0, self.blocks_before, put, replay)
        return with_part(state, self.name, replay)

    def collect(self, state: TrainState, step: UpdateStep) -> TrainState:
        replay, embedding = state.parts[self.name], state.agent.embedding
        offset = None
        masks = None if step.masks is None else (step.masks.now, step.masks.following)
        off_policy = self.schedule.config.hyperparameters.off_policy
        if masks is not None and off_policy and not self.masked:
            raise SettingError(
                "masked",
                "True for an off-policy algorithm in an environment with action masks",
                False,
                "give the mask with the first reset, or choose an on-policy algorithm",
            )
        if embedding is not None and replay.offset is not None:
            offset = online_updates.offsets(
                embedding,
                step.policy.table,
                step.transitions.action,
                step.u,
                step.policy.allowed_by(self._unpacked(masks and masks[0])),
            )
        block = self.blocks_before + step.number
        replay = ring.write(replay, step.transitions, offset, block, masks)
        return with_part(state, self.name, replay)

    def draw(
        self, state: TrainState, step: UpdateStep, key: Key, count: int
    ) -> tuple[Transition, Array, tuple[Array | None, Array | None]]:
        """Return random transitions `[count, ...]`, the internal actions behind them, and masks.

        The masks are those of the actions now and next, packed, as far as they are kept.
        """
        replay, embedding = state.parts[self.name], state.agent.embedding
        rows = self.filled(replay, step.number + 1)
        drawn = ring.draw(replay, key, count, rows)
        transitions, u = drawn.steps, drawn.steps.action
        if embedding is not None and drawn.offset is not None:
            u = online_updates.re_embedded(
                embedding,
                step.policy.table,
                transitions.action,
                drawn.offset,
                step.policy.allowed_by(self._unpacked(drawn.mask)),
                updated=self.schedule.updates_online,
            )
        elif isinstance(step.policy.f, Rescaled):
            u = step.policy.f.raw(transitions.action)
        return transitions, u, (drawn.mask, drawn.next_mask)

    def _unpacked(self, bits: Array | None) -> Array | None:
        return None if bits is None else unpack(bits, mask_length(self.action_space))


@dataclasses.dataclass(frozen=True)
class EpisodicMemory(Part):
    """Remembered visits of states, which predictions of the echo head are mixed with.

    Its state is the agent's `memory`, as the policy needs it.
    """

    name: ClassVar[str] = "memory"

    replay: ReplayBuffer | None
    """Where transitions are kept; None: pre-training's are remembered, and no others."""

    def begin(self, state: TrainState, data: PretrainingData | None) -> TrainState:
        embedding = state.agent.embedded
        if self.replay is not None:
            replay = state.parts[self.replay.name]
            memory = self.remember(embedding, replay.steps, self.replay.filled(replay, 0))
        elif isinstance(data, Transition):
            memory = self.remember(embedding, data, jnp.int32(data.reward.shape[0]))
        else:
            return state
        return state._replace(agent=state.agent._replace(memory=memory))

    @staticmethod
    def remember(
        embedding: JointEmbedding, transitions: Transition, rows: Int[Array, ""]
    ) -> Memory:
        """Return the memory of the first `rows` rows of transitions `[T, B, ...]`."""
        T, outcome = embedding.echo, embedding.outcome
        known = jnp.arange(transitions.reward.shape[0], dtype=jnp.int32)[:, None] < rows
        known = jnp.broadcast_to(known, transitions.reward.shape)
        visits, chain = remember(embedding.raw, T.named, transitions, known, T.unaided_fraction)
        return Memory(visits, chain, T.future_values(chain, outcome))


@dataclasses.dataclass(frozen=True)
class RewardScale(Part):
    """Rewards scaled down to the spread of returns (`embrl.training.reward_scale`)."""

    name: ClassVar[str] = "reward_scale"

    gamma: Any
    num_envs: int

    def begin(self, state: TrainState, data: PretrainingData | None) -> TrainState:
        spread = empty = RewardSpread.empty(self.num_envs)
        if isinstance(data, Transition):
            # Of other environments, whose episodes do not go on.
            spread = spread.update(data, self.gamma)._replace(sums=empty.sums)
        return with_part(state, self.name, spread)

    def collect(self, state: TrainState, step: UpdateStep) -> TrainState:
        spread = state.parts[self.name].update(step.transitions, self.gamma)
        return with_part(state, self.name, spread)

    def reward(
        self, state: TrainState, transitions: Transition, index: Int[Array, ""]
    ) -> Transition:
        del index
        return state.parts[self.name].scaled(transitions)


class Explored(NamedTuple):
    """Counters of visited states, and whether rewards are sparse."""

    visits: Visits
    sparse: Bool[Array, ""] | None
    """Whether rewards are sparse; None: it does not matter."""


@dataclasses.dataclass(frozen=True)
class ExplorationBonus(Part):
    """Bonus for reaching states that were seldom reached."""

    name: ClassVar[str] = "exploration"

    counter: VisitCounter
    num_updates: int

    def begin(self, state: TrainState, data: PretrainingData | None) -> TrainState:
        visits, sparse = self.counter.zeros(), jnp.array(False)
        if isinstance(data, Transition):
            visits, sparse = self.counter.count(visits, data), rewards_are_sparse(data)
        adapts = self.counter.config.more_if_sparse
        return with_part(state, self.name, Explored(visits, sparse if adapts else None))

    def collect(self, state: TrainState, step: UpdateStep) -> TrainState:
        explored: Explored = state.parts[self.name]
        visits = self.counter.count(explored.visits, step.transitions)
        return with_part(state, self.name, explored._replace(visits=visits))

    def reward(
        self, state: TrainState, transitions: Transition, index: Int[Array, ""]
    ) -> Transition:
        explored, progress = state.parts[self.name], index / self.num_updates
        bonus = self.counter.bonus(
            explored.visits, transitions.next_observation, progress, explored.sparse
        )
        return transitions._replace(reward=transitions.reward + bonus)

    def metrics(self, state: TrainState, step: UpdateStep) -> dict[str, Array]:
        rewarded = self.reward(state, step.transitions, step.number)
        found = {"bonus": jnp.abs(rewarded.reward - step.transitions.reward).mean()}
        explored: Explored = state.parts[self.name]
        if explored.sparse is not None:
            found["sparse_rewards"] = explored.sparse.astype(jnp.float32)
        return found


@dataclasses.dataclass(frozen=True)
class ObservationStatistics(Part):
    """Running statistics of unbounded observations; the agent holds them."""

    name: ClassVar[str] = "statistics"

    def finish(self, state: TrainState, step: UpdateStep) -> TrainState:
        stats = state.agent.running_stats
        if stats is None:
            return state
        numbers = stats.centre.shape[-1]  # behind the factors, if there are any
        stats = stats.update(step.transitions.observation[..., -numbers:])
        return state._replace(agent=state.agent._replace(running_stats=stats))


@dataclasses.dataclass(frozen=True)
class OnlineUpdates(Part):
    """Updates of the embedding during policy training (`embrl.training.online_updates`)."""

    name: ClassVar[str] = "online"

    replay: ReplayBuffer
    schedule: Schedule
    remember: Callable[[JointEmbedding, Transition, Int[Array, ""]], Memory | None]

    def begin(self, state: TrainState, data: PretrainingData | None) -> TrainState:
        del data
        embedding = state.agent.embedded
        start, chosen, tried = pretraining.start(embedding), None, state.agent.tried
        most = self.schedule.most_trained(self.replay.action_space)
        if most is not None and tried is not None:
            chosen = listed(tried, most)
            start = narrowed_state(start, chosen)
        optimisers = start.optimiser, pretraining.start_decoder(embedding)
        return with_part(state, self.name, (*optimisers, chosen))

    def finish(self, state: TrainState, step: UpdateStep) -> TrainState:
        agent, replay = state.agent, state.parts[self.replay.name]
        config, num_updates = self.schedule.config, self.schedule.num_updates
        optimiser, f_optimiser, chosen = state.parts[self.name]
        before = OnlineState(agent.embedded, agent.norm, optimiser, f_optimiser, agent.memory)
        index = agent.nearby
        key = jax.random.fold_in(step.key, RngStream.PRETRAIN)

        def update(state: tuple[OnlineState, Any]) -> tuple[OnlineState, Any]:
            before, index = state
            after = online_updates.update(
                before,
                step.transitions,
                replay,
                key,
                online_updates.learning_rate(config.online, step.number, num_updates),
                config=config.online,
                weights=config.objectives,
                horizon=self.schedule.horizon,
                random_shift=config.embedding.random_shift,
                rows=self.replay.filled(replay, step.number + 1),
                remember=self.remember,
                chosen=chosen,
            )
            if isinstance(index, Tree):
                actions = action_count(self.replay.action_space)
                index = refitted(after.embedding.g, actions, index.actions)
            return after, index

        # The index is the same for all seeds: under a vmap this stays a branch.
        due = online_updates.is_due(config.online, step.number, num_updates)
        after, index = jax.lax.cond(due, update, lambda state: state, (before, index))
        agent = agent._replace(
            embedding=after.embedding, norm=after.norm, memory=after.memory, nearby=index
        )
        state = with_part(state, self.name, (after.optimiser, after.f_optimiser, chosen))
        return state._replace(agent=agent)


def make_parts(
    schedule: Schedule,
    observation_space: gymnasium.Space,
    action_space: gymnasium.Space,
    masked: bool = False,
) -> tuple[Part, ...]:
    """Return the optional parts of a training, in the order of their hooks."""
    config, parts, remember = schedule.config, [], _remember_nothing
    replay = ReplayBuffer(schedule, observation_space, action_space, masked)
    if schedule.uses_replay:
        parts.append(replay)
    if schedule.memory_size:
        memory = EpisodicMemory(replay if schedule.uses_replay else None)
        parts.append(memory)
        remember = memory.remember
    if config.policy.scale_rewards:
        # Before the bonus, which is in the unit of scaled rewards.
        gamma = getattr(config.hyperparameters, "gamma", DEFAULT_GAMMA)
        parts.append(RewardScale(gamma, config.rollout.num_envs))
    if config.exploration.bonus:
        counter = VisitCounter(observation_space, config.exploration)
        parts.append(ExplorationBonus(counter, schedule.num_updates))
    parts.append(ObservationStatistics())
    if schedule.updates_online:
        parts.append(OnlineUpdates(replay, schedule, remember))
    return tuple(parts)


def replay_of(parts: tuple[Part, ...]) -> ReplayBuffer:
    """Return the replay buffer among the parts of a training.

    Raises:
        EmbrlError: there is none.
    """
    for part in parts:
        if isinstance(part, ReplayBuffer):
            return part
    raise EmbrlError("this training has no replay buffer; set off_policy = True in the algorithm")


def _remember_nothing(
    embedding: JointEmbedding, transitions: Transition, rows: Int[Array, ""]
) -> None:
    """Return None: the memory of runs without one."""
    del embedding, transitions, rows


def with_part(state: TrainState, name: str, value: Any) -> TrainState:
    """Return the state with another value for one part."""
    return state._replace(parts={**state.parts, name: value})
