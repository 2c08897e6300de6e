r"""The pure functions that a policy is trained by, each for one seed.

    pretraining -> new_agent -> start -> improve ... improve
                                               \-> evaluate

On the host `begin` stands in for `start`, and `learn` for `improve` (`hosted`).
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from embrl.algorithms.base import Experience, Indices, Internal, Learner, Points, Steps
from embrl.algorithms.critics import ModelJudge
from embrl.algorithms.policy import Critic, OverallPolicy, Sight
from embrl.config.run import RunConfig, TransferConfig
from embrl.config.settings_by_name import replaced
from embrl.core.scaling import RawBox
from embrl.core.spaces import action_count, is_continuous, state_count
from embrl.core.types import Key, Observation, Transition
from embrl.data import replay as replays
from embrl.data.replay import Replay
from embrl.data.rollout import Lanes, hold, open_lanes, random_actions, random_transitions, rollout
from embrl.data.segments import draw_segments
from embrl.decoding.config import build as new_decoder
from embrl.decoding.decoder import Decoder
from embrl.decoding.identity import Identity
from embrl.decoding.rescaled import Rescaled
from embrl.embedding import monitor
from embrl.embedding import pretraining as fitting
from embrl.embedding.encoders import ContinuousActions, Norm, StateEncoder
from embrl.embedding.memory import Memory, Recall, remember
from embrl.embedding.methods import Method, method
from embrl.embedding.model import JointEmbedding
from embrl.embedding.monitor import Reference
from embrl.embedding.objectives import OBJECTIVES, OwnObjective
from embrl.embedding.objectives.rewards import Outcome
from embrl.embedding.pretraining import FitState
from embrl.embedding.transition import EchoTransition
from embrl.envs import Environment
from embrl.envs.environment import named_factor
from embrl.training import online_updates as moving
from embrl.training.action_inputs import NONE, ActionInputs
from embrl.training.evaluation import play
from embrl.training.exploration import Novelty, Visits
from embrl.training.online_updates import Moving
from embrl.training.rng_streams import Purpose, purpose
from embrl.training.state import Agent, Found, SeedState

SOME = 2**16
"""Observations that X is centred and scaled by."""
MANY = 2**12
"""Random actions that show how wide they lie in E."""


class Program(Pretraining):
    """The environment is an argument, not a part: its arrays may be large, and as constants they
    would be compiled into the program.
    """

    def start(self, env: Environment, key: Key, agent: Agent, found: Found | None) -> SeedState:
        """An agent with open lanes, at the beginning of its first epoch (see `begin`)."""
        lanes = open_lanes(env, purpose(key, Purpose.LANES), self.config.rollout.lanes)
        return self.begin(agent, found, lanes)

    def begin(self, agent: Agent, found: Found | None, lanes: Lanes | None) -> SeedState:
        """An agent at the beginning of its first epoch.

        Arguments:
            found: of pre-training, if there was any: its transitions; else what the embedding was
                like where it comes from.
            lanes: where it acts; None if that is on the host.
        """
        config = self.config
        replay = reference = None
        if isinstance(found, Transition):
            assert agent.embedding is not None
            reference, norm = self.met(agent.embedding, found)
            agent = agent if norm is None else agent._replace(norm=norm)
        else:
            reference = found
        if config.hyper.off_policy or self.moves:
            replay = self._new_replay(found if isinstance(found, Transition) else None)
        if self.remembers:
            agent = agent._replace(memory=self._memory(agent, replay, found))
        optimiser, f_optimiser = None, ()
        if self.moves and agent.embedding is not None:
            optimiser = fitting.start(agent.embedding).optimiser
            f_optimiser = fitting.start_decoder(agent.embedding)
        visits = None
        if self.novelty is not None:
            visits = self.novelty.new()
            if isinstance(found, Transition):
                visits = self.novelty.seen(visits, found)
        return SeedState(agent, lanes, replay, optimiser, f_optimiser, reference, visits)

    def new_agent(self, key: Key, embedding: JointEmbedding | None) -> Agent:
        """A new policy and critic on top of an embedding."""
        states = embedding is not None and isinstance(embedding.phi, StateEncoder)
        norm = Norm.none(self.config.model.m) if states else None
        learner = self._new_learner(purpose(key, Purpose.LEARNER), embedding)
        memory = None
        if self.remembers:
            memory = Memory.nothing(self.remembers, action_count(self.action_space))
        return Agent(embedding, norm, learner, memory, self.sight.nothing_yet(embedding))

    def untrained(self, key: Key) -> Agent:
        """An agent that has learned nothing: it shows how a trained one looks in a checkpoint."""
        return self.new_agent(key, self.new_embedding(key) if self.method.embeds else None)

    def policy(self, agent: Agent) -> OverallPolicy:
        """pi_o = f . pi_i . phi as it stands."""
        embedding, norm, learner, _, seen = agent
        return OverallPolicy(
            self.sight.phi(embedding, norm, seen),
            learner.actor,
            learner.f,
            None if embedding is None else embedding.f or embedding.g.table,
            self._critic(agent) if learner.f.needs_judge else None,
            None if self.inputs.allowed is None else jnp.asarray(self.inputs.allowed),
        )

    def _critic(self, agent: Agent) -> Critic:
        """Who judges candidates for f."""
        embedding, norm, learner, memory, _ = agent
        if self.config.f.judge == "critic" or embedding is None or norm is None:
            return learner
        outcome = embedding.parts["outcome"]
        assert isinstance(outcome, Outcome)
        recall = None
        if memory is not None:
            assert isinstance(embedding.T, EchoTransition)
            recall = Recall(memory, embedding.raw, embedding.T.named, self.config.model.memory)
        return ModelJudge(embedding.T, outcome, embedding.phi.points, norm, recall)

    def improve(
        self,
        env: Environment,
        state: SeedState,
        key: Key,
        first: Int[Array, ""],
        count: Int[Array, ""],
    ) -> tuple[SeedState, dict[str, Float[Array, ""]]]:
        """`count` epochs from number `first` on; also the mean of each measure of theirs, and how
        well the embedding fits the last one.
        """

        class Carry(NamedTuple):
            state: SeedState
            sums: dict[str, Array]
            fresh: Transition

        def body(index: Int[Array, ""], carry: Carry) -> Carry:
            state, measures, fresh = self._epoch(env, carry.state, key, index)
            return Carry(state, jax.tree.map(jnp.add, carry.sums, measures), fresh)

        shapes = jax.eval_shape(lambda: self._epoch(env, state, key, first)[1:])
        sums, fresh = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        state, sums, fresh = jax.lax.fori_loop(
            first, first + count, body, Carry(state, sums, fresh)
        )
        measures = jax.tree.map(lambda total: total / count, sums)
        return state, measures | self.fit_of(state, fresh)

    def fit_of(self, state: SeedState, fresh: Transition) -> dict[str, Float[Array, ""]]:
        """How well the embedding, if there is one, fits the latest transitions."""
        if state.agent.embedding is None or state.reference is None:
            return {}
        return monitor.measure(
            state.agent.embedding, self.config.objectives, state.reference, fresh
        )

    def evaluate(
        self, env: Environment, state: SeedState, key: Key, index: Array, rounds: Array
    ) -> dict[str, Float[Array, ""]]:
        """Means over `rounds` times `evaluation.episodes` episodes: of the policy as it acts, and
        of its likeliest action. A round has a fixed size so that more need no new compilation.
        """
        policy, episodes = self.policy(state.agent), self.config.evaluation.episodes

        def act(key: Key, observation: Observation) -> Array:
            return policy.act(observation, policy.noise(key, (episodes,)))[0]

        def greedy(key: Key, observation: Observation) -> Array:
            del key
            return policy.mode(observation)

        def one(number: Array, sums: dict[str, Array]) -> dict[str, Array]:
            key_act, key_greedy = jax.random.split(jax.random.fold_in(base, number))
            sampled = play(env, act, key_act, episodes)
            likeliest = play(env, greedy, key_greedy, episodes)
            return {
                "return_mean": sums["return_mean"] + sampled.returns.mean(),
                "square": sums["square"] + (sampled.returns**2).mean(),
                "greedy_return_mean": sums["greedy_return_mean"] + likeliest.returns.mean(),
                "length_mean": sums["length_mean"] + sampled.lengths.mean(),
            }

        base = purpose(key, Purpose.EVALUATE, index)
        names = ("return_mean", "square", "greedy_return_mean", "length_mean")
        sums = jax.lax.fori_loop(0, rounds, one, dict.fromkeys(names, jnp.float32(0.0)))
        means = {name: total / rounds for name, total in sums.items()}
        variance = means.pop("square") - means["return_mean"] ** 2
        return {**means, "return_std": jnp.sqrt(jnp.maximum(variance, 0.0))}

    def _new_learner(self, key: Key, embedding: JointEmbedding | None) -> Learner:
        config, features = self.config, self.sight.features(embedding)
        if embedding is None:
            internal, f = self._raw_actions()
        else:
            unit = self._unit(embedding, jax.random.fold_in(key, 1))
            internal, f = Points(config.model.d, unit), new_decoder(config.f)
        return config.hyper.start(features, internal, f, config.policy, key=key)

    def _unit(self, embedding: JointEmbedding, key: Key) -> float | Float[Array, " d"]:
        """What policy.std is measured in, on each axis of E."""
        if self.config.policy.std_unit == "embedding":
            return 1.0
        assert isinstance(embedding.g, ContinuousActions)  # `check`
        return embedding.g.shrinkage(random_actions(self.action_space, key, (MANY,)))

    def _raw_actions(self) -> tuple[Internal, Decoder]:
        """What a policy without an embedding chooses, and how that becomes an action."""
        if not is_continuous(self.action_space):
            return Indices(action_count(self.action_space)), Identity()
        raw = RawBox(self.action_space, scaled=True)
        return Points(raw.features), Rescaled(raw)

    def _epoch(
        self, env: Environment, state: SeedState, key: Key, index: Int[Array, ""]
    ) -> tuple[SeedState, dict[str, Array], Transition]:
        """Collects an epoch and learns from it."""
        assert state.lanes is not None
        policy, noise = self.policy(state.agent), self.epoch_noise(state.agent, key, index)
        _, key_steps = jax.random.split(purpose(key, Purpose.IMPROVE, index))
        after, transitions, u = rollout(env, policy.act, state.lanes, key_steps, noise)
        state, measures = self.learn(state._replace(lanes=after), transitions, u, key, index)
        return state, measures, transitions

    def epoch_noise(self, agent: Agent, key: Key, index: Int[Array, ""]) -> Any:
        """The policy's noise in epoch `index`, `[T, B, ...]`."""
        key_noise, _ = jax.random.split(purpose(key, Purpose.IMPROVE, index))
        return self.policy(agent).noise(key_noise, (self.epoch_rows, self.config.rollout.lanes))

    def evaluation_key(self, key: Key, index: Int[Array, ""]) -> Key:
        """For evaluating after epoch `index`."""
        return purpose(key, Purpose.EVALUATE, index)

    def learn(
        self,
        state: SeedState,
        transitions: Transition,
        u: Array,
        key: Key,
        index: Int[Array, ""],
    ) -> tuple[SeedState, dict[str, Array]]:
        """Improves the policy on an epoch, and then, if it is time, the embedding.

        Arguments:
            transitions: `[T, B, ...]`, taken by the policy as it stands.
            u: the internal actions behind them, `[T, B, ...]`.
            index: the epoch's number.
        """
        key = purpose(key, Purpose.IMPROVE, index)
        policy, embedding = self.policy(state.agent), state.agent.embedding
        table, replay = policy.table, state.replay
        blocks = self.pretraining_blocks + index
        rows = replays.filled(replay, self.epoch_rows, blocks + 1) if replay else jnp.int32(0)
        if replay is not None:
            offset = None
            if embedding is not None and replay.offset is not None:
                offset = moving.offsets(embedding, transitions.action, u, policy.allowed)
            replay = replays.write(replay, transitions, offset, blocks)
            state = state._replace(replay=replay)

        if self.novelty is not None and state.visits is not None:
            state = state._replace(visits=self.novelty.seen(state.visits, transitions))

        def draw(key: Key, count: int) -> Steps:
            assert replay is not None
            steps, offset = replays.draw(replay, key, count, rows)
            steps = self._with_bonus(state.visits, steps, index)
            u = steps.action
            if embedding is not None and offset is not None:
                u = moving.re_embedded(
                    embedding, steps.action, offset, policy.allowed, moves=self.moves
                )
            elif isinstance(policy.f, Rescaled):
                u = policy.f.raw(steps.action)
            return _as_steps(policy, steps, u)

        lesson = self._with_bonus(state.visits, transitions, index)
        credited = u
        if embedding is not None and self.config.policy.credit == "g(a)":
            credited = embedding.g(transitions.action)
        experience = Experience(_as_steps(policy, lesson, credited), draw, table, policy.allowed)
        key_update = jax.random.fold_in(key, Purpose.UPDATE)
        learner, measures = self.config.hyper.update(state.agent.learner, experience, key_update)
        state = state._replace(agent=state.agent._replace(learner=learner))
        if state.agent.seen is not None:
            seen = state.agent.seen.and_then(transitions.observation)
            state = state._replace(agent=state.agent._replace(seen=seen))
        if self.novelty is not None:
            measures["bonus"] = (lesson.reward - transitions.reward).mean()
        if self.moves and replay is not None:
            key_move = jax.random.fold_in(key, Purpose.FIT)
            state = self._moved(state, transitions, key_move, index, rows)
        return state, measures

    def _with_bonus(
        self, visits: Visits | None, steps: Transition, index: Int[Array, ""]
    ) -> Transition:
        """The steps as the policy is to see them in epoch `index`."""
        if self.novelty is None or visits is None:
            return steps
        bonus = self.novelty.bonus(visits, steps.next_observation, index / self.epochs)
        return steps._replace(reward=steps.reward + bonus)

    def _moved(
        self, state: SeedState, fresh: Transition, key: Key, index: Array, rows: Array
    ) -> SeedState:
        config, replay = self.config.update, state.replay
        embedding, norm, _, memory, _ = state.agent
        assert embedding is not None
        assert replay is not None
        assert state.optimiser is not None
        update = functools.partial(
            moving.move,
            config=config,
            weights=self.config.objectives,
            horizon=self.horizon,
            rows=rows,
            remember=self._remembered if self.remembers else None,
        )
        now = Moving(embedding, norm, state.optimiser, state.f_optimiser, memory)
        # The index is the same for all seeds: under a vmap this stays a branch.
        now = jax.lax.cond(
            moving.due(config, index, self.epochs),
            lambda now: update(now, fresh, replay, key, moving.rate(config, index, self.epochs)),
            lambda now: now,
            now,
        )
        agent = state.agent._replace(embedding=now.embedding, norm=now.norm, memory=now.memory)
        return state._replace(agent=agent, optimiser=now.optimiser, f_optimiser=now.f_optimiser)

    def met(self, embedding: JointEmbedding, found: Transition) -> tuple[Reference, Norm | None]:
        """What the embedding is like once it is trained on these transitions, `[T, B, ...]`; and
        where they lie in X, if states are embedded.
        """
        train, held_out = self.split(found)
        reference = monitor.reference(
            embedding,
            self.config.objectives,
            train,
            held_out,
            states=state_count(self.observation_space),
        )
        if not isinstance(embedding.phi, StateEncoder):
            return reference, None
        return reference, Norm.of(embedding.phi(_some(train.observation)))

    def _memory(self, agent: Agent, replay: Replay | None, found: Found | None) -> Memory:
        """Of pre-training's transitions, as far as they are kept."""
        assert agent.embedding is not None
        if replay is not None:
            filled = replays.filled(replay, self.epoch_rows, self.pretraining_blocks)
            return self._remembered(agent.embedding, replay.steps, filled)
        assert isinstance(found, Transition)
        return self._remembered(agent.embedding, found, jnp.int32(found.reward.shape[0]))

    def _remembered(
        self, embedding: JointEmbedding, steps: Transition, rows: Int[Array, ""]
    ) -> Memory:
        """Of the first rows."""
        T, outcome = embedding.T, embedding.parts["outcome"]
        assert isinstance(T, EchoTransition)
        assert isinstance(outcome, Outcome)
        known = jnp.arange(steps.reward.shape[0], dtype=jnp.int32)[:, None] < rows
        known = jnp.broadcast_to(known, steps.reward.shape)
        visits, chain = remember(embedding.raw, T.named, steps, known, T.own_share)
        return Memory(visits, chain, T.promises(chain, outcome))

    def _new_replay(self, transitions: Transition | None) -> Replay:
        """A buffer with pre-training's transitions in it."""
        config = self.config.rollout
        rows = replays.ring_rows(config.buffer, config.lanes, self.epoch_rows)
        like = self.transitions_like((1, config.lanes)) if transitions is None else transitions
        # Only who learns from replayed internal actions needs to know them.
        keeps_e = self.method.actions and self.config.hyper.off_policy
        replay = replays.new_replay(like, rows, self.config.model.d if keeps_e else None)
        if transitions is None:
            return replay

        def put(number: Int[Array, ""], replay: Replay) -> Replay:
            block = jax.tree.map(
                lambda column: jax.lax.dynamic_slice_in_dim(
                    column, number * self.epoch_rows, self.epoch_rows
                ),
                transitions,
            )
            # The offset of a random action is 0: it was chosen as itself.
            return replays.write(replay, block, None, number)

        return jax.lax.fori_loop(0, self.pretraining_blocks, put, replay)


def _as_steps(policy: OverallPolicy, transitions: Transition, u: Array) -> Steps:
    return Steps(
        x=policy.phi(transitions.observation),
        u=u,
        action=transitions.action,
        reward=transitions.reward,
        next_x=policy.phi(transitions.next_observation),
        terminated=transitions.terminated,
        truncated=transitions.truncated,
    )


def _some(column: Array) -> Array:
    """Of `[T, B, ...]` all, or evenly spread ones: embedded, a million take a gigabyte."""
    column = column.reshape(-1, *column.shape[2:])
    return column[:: -(-column.shape[0] // SOME)]


# DOC Before there is a policy: random transitions, and an embedding of them (collect, new_model, | fit as often as the host wants to look, fit_decoder). |


class Pretraining(Plan):
    """Pure functions of one seed."""

    def random_actions(self, key: Key) -> Array:
        """The actions of pre-training, `[T, B, ...]`, for an environment on the host."""
        rollout = self.config.rollout
        shape = (self.pretraining_samples // rollout.lanes, rollout.lanes)
        key_act, key_keep = jax.random.split(purpose(key, Purpose.COLLECT))
        actions = random_actions(self.action_space, key_act, shape, self.inputs.allowed)
        return hold(actions, jax.random.uniform(key_keep, shape) < rollout.persistence)

    def collect(self, env: Environment, key: Key) -> Transition:
        """Random transitions, `[T, B, ...]`."""
        config = self.config
        return random_transitions(
            env,
            purpose(key, Purpose.COLLECT),
            self.pretraining_samples,
            config.rollout.lanes,
            config.rollout.persistence,
            self.inputs.allowed,
        )

    def split(self, transitions: Transition) -> tuple[Transition, Transition]:
        """Transitions to train on, and the first ones, which are held out."""
        rows = transitions.reward.shape[0]
        held_out = max(1, round(self.config.fit.held_out * rows))
        return (
            jax.tree.map(lambda column: column[held_out:], transitions),
            jax.tree.map(lambda column: column[:held_out], transitions),
        )

    def new_embedding(self, key: Key, features: Array | None = None) -> JointEmbedding:
        """An embedding before its first gradient step.

        Arguments:
            features: of actions, if they have any; an argument where this is compiled, as a table
                of millions should be no constant of the program.
        """
        if features is None and self.inputs.features is not None:
            features = jnp.asarray(self.inputs.features)
        return JointEmbedding(
            self.observation_space,
            self.action_space,
            self.config.model,
            states=self.method.states,
            objectives=tuple(self.config.objectives),
            own=self.own,
            named=named_factor(self.config.env),
            features=features,
            key=purpose(key, Purpose.MODEL),
        )

    def new_model(
        self, key: Key, transitions: Transition | None = None, features: Array | None = None
    ) -> FitState:
        """The same, ready to be trained; on these transitions, if coordinates without bounds are to
        be scaled by what was seen of them.
        """
        model = self.new_embedding(key, features)
        if transitions is not None:
            model = model.seen(transitions.observation, transitions.action)
        return fitting.start(model)

    def fit(
        self, state: FitState, transitions: Transition, key: Key, steps: Int[Array, " steps"]
    ) -> tuple[FitState, Float[Array, ""]]:
        """The gradient steps with the given numbers; also their mean loss."""
        config = self.config
        keys = jax.vmap(lambda step: purpose(key, Purpose.FIT, step))(steps)
        state, losses = fitting.fit(
            state,
            lambda key: draw_segments(transitions, key, config.fit.batch, self.horizon),
            keys,
            fitting.learning_rate(config.fit, steps),
            weights=config.objectives,
            frozen=frozen_parts(config.transfer),
        )
        return state, losses.mean()

    def fit_decoder(
        self, model: JointEmbedding, transitions: Transition, key: Key
    ) -> JointEmbedding:
        """Trains f to undo g, once that is trained, where f is a network."""
        config = self.config
        steps = jnp.arange(config.f.steps, dtype=jnp.int32)
        keys = jax.vmap(lambda step: purpose(key, Purpose.DECODER, step))(steps)
        model, _ = fitting.fit_decoder(
            model,
            fitting.start_decoder(model),
            lambda key: draw_segments(transitions, key, config.fit.batch),
            keys,
            fitting.falling(config.f.learning_rate, config.f.steps, steps),
        )
        return model


def frozen_parts(transfer: TransferConfig) -> tuple[str, ...]:
    """Parts of an embedding taken over that are not trained again."""
    if not transfer.run or transfer.keep == "both":
        return ()
    kept = {"states": ("phi",), "actions": ("g", "f")}[transfer.keep]
    return (*kept, "parts") if transfer.policy else kept


# DOC What a run comes to: how many samples, epochs and rows, and which parts it has.


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
