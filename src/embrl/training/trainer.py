r"""Training of one seed, as pure functions that the caller vmaps over seeds.

    collect -> pretrain -> new_agent -> start -> iterate ... iterate
                                                      \-> evaluate

`Trainer.train` does all of it in one function of a key. A run (`embrl.training.loop`) calls the
same functions one after another, to save, report and resume between them.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embrl.algorithms.base import (
    Batch,
    Experience,
    Learner,
)
from embrl.algorithms.critics import ModelScorer
from embrl.algorithms.policy import (
    OverallPolicy,
    PolicyInput,
    Scoring,
    choices,
    embedded_actions,
    original_actions,
)
from embrl.config.run import RunConfig, TransferConfig
from embrl.config.schedule import Schedule
from embrl.config.settings_by_name import replaced
from embrl.config.validation import validate_embedding, validate_run
from embrl.core.errors import EmbrlError
from embrl.core.masks import unpack
from embrl.core.products import mask_length
from embrl.core.spaces import action_count, state_count
from embrl.core.types import Key, Transition
from embrl.data.replay import draw_segments
from embrl.data.rollout import (
    OpenEnvs,
    alternatives,
    hold,
    open_envs,
    random_actions,
    random_transitions,
    rollout,
)
from embrl.decoding.base import build as new_decoder
from embrl.decoding.indexed import FewActions, IndexedTable, new_index
from embrl.decoding.tree import Tree, listed, recall
from embrl.embedding import monitor, pretraining
from embrl.embedding.chosen_rows import narrowed_state, widened_state
from embrl.embedding.config import embedding_dims
from embrl.embedding.encoders import ActionEncoder, Norm, StateEncoder
from embrl.embedding.memory import Memory
from embrl.embedding.model import JointEmbedding
from embrl.embedding.monitor import Reference
from embrl.embedding.objectives import OwnObjective
from embrl.embedding.pretraining import FitState
from embrl.embedding.product_actions import ProductActions
from embrl.envs import Environment
from embrl.envs.environment import has_masks, named_factor
from embrl.training.action_inputs import NONE, ActionInputs
from embrl.training.constraints import INFEASIBLE, check_constraint, infeasible
from embrl.training.evaluation import CUT, evaluate
from embrl.training.imitation import check_demonstrations, demonstrated_numbers, imitate
from embrl.training.online_updates import place_of
from embrl.training.parts import Part, UpdateStep, make_parts, replay_of
from embrl.training.rng_streams import RngStream, stream_key
from embrl.training.state import Agent, PretrainingData, Rollout, TrainState

EMPTY_MASKS = "empty_masks"
"""Metric of masked environments: the fraction of steps in which their mask allowed no action."""

RECALL = "search_recall"
"""Metric of approximate searches: the fraction of points for which they find the nearest action."""

NORM_SAMPLE = 2**16
"""Observations that X is centred and scaled by."""

Metrics = dict[str, Float[Array, ""]]


@dataclasses.dataclass(frozen=True, eq=False)
class Trainer:
    """A configuration and the spaces it is for, with pure methods of one seed.

    Methods take the environment as an argument: its arrays may be large, and as constants they
    would be compiled into the program.
    """

    config: RunConfig
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    custom_objectives: Mapping[str, OwnObjective] = dataclasses.field(default_factory=dict)
    """A user's objectives by name."""
    action_inputs: ActionInputs = NONE
    """Features of discrete actions, and those that are excluded."""
    env: Environment | None = None
    """The environment of `train`."""
    masked: bool = False
    """True if the environment has action masks: off-policy algorithms must know beforehand, as
    the replay buffer has a place for them."""

    @classmethod
    def of(
        cls,
        config: RunConfig,
        env: Environment,
        custom_objectives: Mapping[str, OwnObjective] | None = None,
    ) -> Self:
        """Return a trainer for an environment.

        Raises:
            EmbrlError: settings do not fit together, or to the environment.
        """
        trainer = cls(
            config,
            env.observation_space,
            env.action_space,
            custom_objectives or {},
            ActionInputs.gather(config, env),
            env,
            has_masks(env),
        )
        trainer.validate()
        check_demonstrations(env, config.imitation)
        check_constraint(env, trainer.schedule)
        return trainer

    def validate(self) -> None:
        """Check that all settings fit together, at every point of a sweep.

        Raises:
            EmbrlError: some do not; the message names the setting and the reason.
        """
        validate_run(self.config, self.observation_space, self.action_space, self.custom_objectives)
        if self.config.imitation.gradient_steps and self.schedule.indexed(self.action_space):
            raise EmbrlError(
                "imitation.gradient_steps must be 0 for so many actions in an embedding; leave it "
                "out, or choose more dimensions or method none"
            )

    def validate_embedding(self) -> None:
        """Check the settings that an embedding depends on.

        Raises:
            EmbrlError: some do not fit; the message names the setting and the reason.
        """
        validate_embedding(
            self.config, self.observation_space, self.action_space, self.custom_objectives
        )

    # From beginning to end ----------------------------------------------------------------------

    def train(self, key: Key) -> tuple[TrainState, dict[str, Float[Array, " evaluations"]]]:
        """Train one seed from beginning to end, without touching the disk.

        `jax.vmap(jax.jit(trainer.train))(keys)` trains several seeds side by side. Keep the result
        of `jax.jit` for later calls: other keys then need no new compilation.

        Args:
            key: random key of the seed.

        Returns:
            The final state, and the metrics of each evaluation, `[evaluations]`, as in a run's
            metrics.csv: `timesteps`, `return_mean` and those of the algorithm and the embedding,
            which are NaN at the first evaluation, before any update.

        Raises:
            EmbrlError: the trainer has no environment, or the configuration takes an embedding
                over from another run.
        """
        if self.env is None or self.config.transfer.run:
            raise EmbrlError("train needs an environment and no transfer.run; use embrl.train")
        env, embedding, data = self.env, None, None
        if self.schedule.pretrains:
            data = self.collect(env, key)
            embedding = self.pretrain(key, self.split(data)[0])
        state = self.start(env, key, self.new_agent(key, embedding), data)
        state = self.imitate(env, state, key)

        def to_evaluation(state: TrainState, stage: Array) -> tuple[TrainState, Metrics]:
            first, end, rounds = stage
            state, metrics = self.iterate(env, state, key, first, end - first)
            # There are no metrics of learning before the first update.
            metrics = jax.tree.map(lambda mean: jnp.where(end > 0, mean, jnp.nan), metrics)
            metrics |= self.evaluate(env, state, key, end, rounds)
            del metrics[CUT]  # which runs warn of
            return state, metrics | {"timesteps": self.schedule.timesteps(end)}

        ends = jnp.array(self.schedule.evaluations)
        rounds = jnp.ones_like(ends).at[-1].set(self.schedule.final_rounds)
        stages = jnp.stack([jnp.append(0, ends[:-1]), ends, rounds], axis=1)
        return jax.lax.scan(to_evaluation, state, stages)

    # Pre-training of the embedding --------------------------------------------------------------

    def random_actions(self, key: Key) -> Array:
        """Return the actions of pre-training, `[T, B, ...]`, for an environment on the host."""
        key_act, keep = self._random_keep(key)
        allowed = self.action_inputs.allowed
        return hold(random_actions(self.action_space, key_act, keep.shape, allowed), keep)

    def random_alternatives(self, key: Key) -> Array:
        """Return the numbers by which those of these actions that are masked are replaced."""
        key_act, keep = self._random_keep(key)
        return hold(alternatives(key_act, keep.shape, self.action_space), keep)

    def _random_keep(self, key: Key) -> tuple[Key, Bool[Array, "T B"]]:
        """Return the key of random actions, and where they repeat the previous ones."""
        rollout = self.config.rollout
        shape = (self.schedule.pretraining_timesteps // rollout.num_envs, rollout.num_envs)
        key_act, key_keep = jax.random.split(stream_key(key, RngStream.COLLECT))
        return key_act, jax.random.uniform(key_keep, shape) < rollout.sticky_action_prob

    def collect(self, env: Environment, key: Key) -> Transition:
        """Return the random transitions of pre-training, `[T, B, ...]`."""
        config = self.config
        return random_transitions(
            env,
            stream_key(key, RngStream.COLLECT),
            self.schedule.pretraining_timesteps,
            config.rollout.num_envs,
            config.rollout.sticky_action_prob,
            self.action_inputs.allowed,
        )

    def split(self, transitions: Transition) -> tuple[Transition, Transition]:
        """Split transitions into those to train on and the first ones, which are held out."""
        rows = transitions.reward.shape[0]
        held_out = max(1, round(self.config.pretrain.held_out * rows))
        return (
            jax.tree.map(lambda column: column[held_out:], transitions),
            jax.tree.map(lambda column: column[:held_out], transitions),
        )

    def pretrain(self, key: Key, train: Transition) -> JointEmbedding:
        """Train an embedding on transitions `[T, B, ...]`, from beginning to end."""
        state = self.new_model(key, train)
        if self.config.objectives:
            steps = jnp.arange(self.config.pretrain.gradient_steps)
            state, _ = self.fit(state, train, key, steps)
        return self.fit_decoder(state.model, train, key)

    def new_embedding(self, key: Key, features: Array | None = None) -> JointEmbedding:
        """Return an embedding before its first gradient step.

        Args:
            key: random key of the seed.
            features: of actions, if they have any; an argument where this is compiled, as a table
                of millions should not be a constant of the program.
        """
        if features is None and self.action_inputs.features is not None:
            features = jnp.asarray(self.action_inputs.features)
        return JointEmbedding(
            self.observation_space,
            self.action_space,
            self.config.embedding,
            echo=self.config.echo,
            states=self.schedule.method.states,
            objectives=tuple(self.config.objectives),
            custom_objectives=self.custom_objectives,
            named=named_factor(self.config.env),
            features=features,
            key=stream_key(key, RngStream.EMBEDDING),
        )

    def new_model(
        self, key: Key, transitions: Transition | None = None, features: Array | None = None
    ) -> FitState:
        """Return a new embedding with its optimiser.

        Args:
            key: random key of the seed.
            transitions: data that unbounded coordinates are scaled by; None: they are not.
            features: as in `new_embedding`.
        """
        model = self.new_embedding(key, features)
        if transitions is not None:
            model = model.scaled_by(transitions.observation, transitions.action)
        return pretraining.start(model)

    def fit(
        self, state: FitState, transitions: Transition, key: Key, steps: Int[Array, " steps"]
    ) -> tuple[FitState, Float[Array, ""]]:
        """Take the gradient steps with the given numbers; also return their mean loss."""
        config, before = self.config, state
        keys = jax.vmap(lambda step: stream_key(key, RngStream.PRETRAIN, step))(steps)
        chosen = self._trained_rows(state.model.g, transitions.action)
        state, losses = pretraining.fit(
            state if chosen is None else narrowed_state(state, chosen),
            lambda key: draw_segments(
                transitions, key, config.pretrain.batch_size, self.schedule.horizon
            ),
            keys,
            pretraining.learning_rate(config.pretrain, steps),
            weights=config.objectives,
            frozen=frozen_parts(config.transfer),
            random_shift=config.embedding.random_shift,
        )
        if chosen is not None:
            state = widened_state(before, state, chosen)
        return state, losses.mean()

    def _trained_rows(self, g: Any, actions: Array) -> Int[Array, " k"] | None:
        """Return the actions whose rows of g these data train; None: all, or g has no rows."""
        most = self.schedule.most_trained(self.action_space)
        if most is None or not isinstance(g, ActionEncoder):
            return None
        return listed(_tried(g, actions), most)

    def fit_decoder(
        self, model: JointEmbedding, transitions: Transition, key: Key
    ) -> JointEmbedding:
        """Train f to invert g, where f is a network."""
        config, total = self.config, self.config.decoder.gradient_steps
        steps = jnp.arange(total, dtype=jnp.int32)
        keys = jax.vmap(lambda step: stream_key(key, RngStream.DECODER, step))(steps)
        model, _ = pretraining.fit_decoder(
            model,
            pretraining.start_decoder(model),
            lambda key: draw_segments(transitions, key, config.pretrain.batch_size),
            keys,
            pretraining.cosine_decay(config.decoder.learning_rate, total, steps),
        )
        return model

    # The agent ----------------------------------------------------------------------------------

    def new_agent(self, key: Key, embedding: JointEmbedding | None) -> Agent:
        """Return a new policy and critic on top of an embedding."""
        states = embedding is not None and isinstance(embedding.phi, StateEncoder)
        norm = Norm.none(self.config.embedding.state_dim) if states else None
        learner = self._new_learner(stream_key(key, RngStream.LEARNER), embedding)
        memory = None
        if self.schedule.memory_size:
            memory = Memory.empty(self.schedule.memory_size, action_count(self.action_space))
        return Agent(embedding, norm, learner, memory, self.policy_input.empty_stats(embedding))

    def untrained(self, key: Key) -> Agent:
        """Return an agent with the arrays of a trained one, for their shapes in a checkpoint."""
        embedding = self.new_embedding(key) if self.schedule.method.embeds else None
        return self._with_index(self.new_agent(key, embedding), None)

    def policy(self, agent: Agent) -> OverallPolicy:
        """Return the current overall policy pi_o = f . pi_i . phi."""
        embedding, learner = agent.embedding, agent.learner
        table: Any = None
        if embedding is not None and self.schedule.acts_in_embedding:
            g = embedding.g
            table = g.reached if isinstance(g, ProductActions) else embedding.f or g.table
            if agent.nearby is not None:
                index = agent.nearby
                if not isinstance(index, Tree):
                    index = FewActions.of(embedding.g, index, action_count(self.action_space))
                table = IndexedTable(embedding.g, index, self.config.decoder.max_visits)
        return OverallPolicy(
            self.policy_input.phi(embedding, agent.norm, agent.running_stats),
            learner.actor,
            learner.f,
            table,
            self._scoring(agent) if learner.f.needs_scorer else None,
            self._allowed,
            agent.tried,
        )

    @property
    def _allowed(self) -> Bool[Array, " n"] | None:
        """The actions that are not excluded; None: all."""
        allowed = self.action_inputs.allowed
        return None if allowed is None else jnp.asarray(allowed)

    def _with_index(self, agent: Agent, data: PretrainingData | None) -> Agent:
        """Return the agent with an index of the actions that it may choose, if they are many."""
        if not self.schedule.indexed(self.action_space):
            return agent
        g, tried = agent.embedded.g, agent.tried
        if isinstance(g, ActionEncoder):
            if isinstance(data, Transition):
                tried = _tried(g, data.action)
            elif tried is None:
                tried = jnp.ones(g.rows.shape[0], bool)
        agent = agent._replace(tried=tried)
        most = None if tried is None else self.schedule.most_tried(self.action_space)
        chosen = choices(self._allowed, tried)
        index = new_index(g.table, chosen, most, self.schedule.by_tree)
        return agent._replace(nearby=index)

    def _scoring(self, agent: Agent) -> Scoring:
        """Return what scores candidates for f: the critic, or the learned model."""
        if self.config.decoder.scorer == "critic" or agent.norm is None:
            return agent.learner
        return ModelScorer.of(agent.embedded, agent.norm, agent.memory, self.config.echo.memory)

    def _new_learner(self, key: Key, embedding: JointEmbedding | None) -> Learner:
        config = self.config
        if embedding is None or not self.schedule.acts_in_embedding:
            internal, f = original_actions(self.action_space)
        else:
            d = embedding_dims(config.embedding, self.action_space)
            key_unit = jax.random.fold_in(key, 1)
            internal = embedded_actions(config.policy, d, self.action_space, embedding, key_unit)
            f = new_decoder(config.decoder)
        features = self.policy_input.features(embedding)
        return config.hyperparameters.start(features, internal, f, config.policy, key=key)

    # Policy training ----------------------------------------------------------------------------

    def start(
        self, env: Environment, key: Key, agent: Agent, data: PretrainingData | None
    ) -> TrainState:
        """Return the state before the first update, with environments reset (see `begin`)."""
        envs = open_envs(env, stream_key(key, RngStream.RESET), self.config.rollout.num_envs)
        return self.begin(agent, data, envs)

    def begin(
        self, agent: Agent, data: PretrainingData | None, envs: OpenEnvs | None
    ) -> TrainState:
        """Return the state before the first update.

        Args:
            agent: the new agent.
            data: transitions of pre-training; or the reference of an embedding taken over.
            envs: parallel environments; None if they are stepped on the host.
        """
        reference = data if isinstance(data, Reference) else None
        if isinstance(data, Transition):
            reference, norm = self.reference(agent.embedded, data)
            agent = agent if norm is None else agent._replace(norm=norm)
        agent = self._with_index(agent, data)
        state = TrainState(agent, envs, reference, {})
        for part in self.parts:
            state = part.begin(state, data)
        return state

    def reference(
        self, embedding: JointEmbedding, data: Transition
    ) -> tuple[Reference, Norm | None]:
        """Return the reference that monitoring compares with, and the normalisation of X.

        Args:
            embedding: after pre-training.
            data: transitions of pre-training, `[T, B, ...]`.
        """
        train, held_out = self.split(data)
        reference = monitor.reference(
            embedding,
            self.config.objectives,
            train,
            held_out,
            states=state_count(self.observation_space),
        )
        if not isinstance(embedding.phi, StateEncoder):
            return reference, None
        return reference, Norm.of(embedding.phi(_sample(train.observation)))

    def imitate(self, env: Environment, state: TrainState, key: Key) -> TrainState:
        """Train the policy on the environment's demonstrations, where settings ask for it."""
        config, agent = self.config.imitation, state.agent
        if not config.gradient_steps:
            return state
        key = stream_key(key, RngStream.IMITATE)
        if agent.running_stats is not None:
            # Before imitation: a change of scale afterwards would spoil what was learned.
            stats = agent.running_stats.update(demonstrated_numbers(env, agent.running_stats, key))
            agent = agent._replace(running_stats=stats)
        learner = imitate(env, agent.learner, self.policy(agent), config, key)
        return state._replace(agent=agent._replace(learner=learner))

    def iterate(
        self,
        env: Environment,
        state: TrainState,
        key: Key,
        first: Int[Array, ""],
        count: Int[Array, ""],
    ) -> tuple[TrainState, Metrics]:
        """Run `count` updates from number `first` on: act, store, learn, update the embedding.

        Returns:
            The state, and the mean of each metric, with how well the embedding fits the last
            rollout.
        """

        class Carry(NamedTuple):
            state: TrainState
            sums: Metrics
            fresh: Transition

        def body(index: Int[Array, ""], carry: Carry) -> Carry:
            state, metrics, fresh = self._iteration(env, carry.state, key, index)
            return Carry(state, jax.tree.map(jnp.add, carry.sums, metrics), fresh)

        shapes = jax.eval_shape(lambda: self._iteration(env, state, key, first)[1:])
        sums, fresh = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        state, sums, fresh = jax.lax.fori_loop(
            first, first + count, body, Carry(state, sums, fresh)
        )
        metrics = jax.tree.map(lambda total: total / count, sums)
        return state, metrics | self.embedding_metrics(state, fresh)

    def _iteration(
        self, env: Environment, state: TrainState, key: Key, index: Int[Array, ""]
    ) -> tuple[TrainState, Metrics, Transition]:
        state, taken = self.act(env, state, key, index)
        state, metrics = self.learn(state, taken, key, index)
        return state, metrics, taken.transitions

    def act(
        self, env: Environment, state: TrainState, key: Key, index: Int[Array, ""]
    ) -> tuple[TrainState, Rollout]:
        """Take the steps of update `index`."""
        if state.envs is None:
            raise EmbrlError("this state has no environments: they are stepped on the host")
        noise = self.rollout_noise(state.agent, key, index)
        _, key_steps = jax.random.split(stream_key(key, RngStream.ITERATE, index))
        act = self.policy(state.agent).in_environment(env).act
        envs, transitions, u, masks = rollout(env, act, state.envs, key_steps, noise)
        taken = Rollout(transitions, u, masks, infeasible(env, transitions))
        return state._replace(envs=envs), taken

    def rollout_noise(self, agent: Agent, key: Key, index: Int[Array, ""]) -> Any:
        """Return the policy's noise for the rollout of update `index`, `[T, B, ...]`."""
        key_noise, _ = jax.random.split(stream_key(key, RngStream.ITERATE, index))
        shape = (self.schedule.rollout_length, self.config.rollout.num_envs)
        return self.policy(agent).noise(key_noise, shape)

    def learn(
        self, state: TrainState, taken: Rollout, key: Key, index: Int[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """Update the policy on a rollout and then, if it is due, the embedding.

        Args:
            state: of this seed.
            taken: steps of the current policy.
            key: random key of the seed.
            index: number of the update.
        """
        key = stream_key(key, RngStream.ITERATE, index)
        policy = self.policy(state.agent)
        step = UpdateStep(taken.transitions, taken.u, policy, key, index, taken.masks)
        for part in self.parts:
            state = part.collect(state, step)

        before = state

        def draw(key: Key, count: int) -> Batch:
            transitions, u, masks = replay_of(self.parts).draw(before, step, key, count)
            return self._batch(policy, self._rewarded(before, transitions, index), u, *masks)

        transitions, u = self._rewarded(state, taken.transitions, index), taken.u
        if self.schedule.acts_in_embedding and self.config.policy.credit == "g(a)":
            u = place_of(state.agent.embedded, policy.table, taken.transitions.action)
        masks = taken.masks
        fresh = self._batch(policy, transitions, u, None if masks is None else masks.now)
        progress = index / self.schedule.num_updates
        experience = Experience(fresh, draw, policy.table, policy.allowed_by(None), progress)
        key_update = jax.random.fold_in(key, RngStream.UPDATE)
        learner, metrics = self.config.hyperparameters.update(
            state.agent.learner, experience, key_update
        )
        for part in self.parts:
            metrics |= part.metrics(before, step)
        if masks is not None:
            metrics[EMPTY_MASKS] = masks.empty.mean(dtype=jnp.float32)
        if taken.infeasible is not None:
            metrics[INFEASIBLE] = taken.infeasible.mean(dtype=jnp.float32)
        state = state._replace(agent=state.agent._replace(learner=learner))
        for part in self.parts:
            state = part.finish(state, step)
        return state, metrics

    def _batch(
        self,
        policy: OverallPolicy,
        transitions: Transition,
        u: Array,
        mask: Array | None = None,
        next_mask: Array | None = None,
    ) -> Batch:
        """Return transitions as algorithms see them; masks come packed."""

        def unpacked(bits: Array | None) -> Array | None:
            if bits is None:
                return None
            return policy.allowed_by(unpack(bits, mask_length(self.action_space)))

        return Batch(
            x=policy.phi(transitions.observation),
            u=u,
            action=transitions.action,
            reward=transitions.reward,
            next_x=policy.phi(transitions.next_observation),
            terminated=transitions.terminated,
            truncated=transitions.truncated,
            mask=unpacked(mask),
            next_mask=unpacked(next_mask),
        )

    def _rewarded(
        self, state: TrainState, transitions: Transition, index: Int[Array, ""]
    ) -> Transition:
        """Return transitions with the rewards that the policy learns from."""
        for part in self.parts:
            transitions = part.reward(state, transitions, index)
        return transitions

    # Measuring ----------------------------------------------------------------------------------

    def embedding_metrics(self, state: TrainState, fresh: Transition) -> Metrics:
        """Return how well the embedding, if there is one, fits the latest transitions."""
        metrics, index, visits = {}, state.agent.nearby, self.config.decoder.max_visits
        if isinstance(index, Tree) and visits:
            metrics[RECALL] = recall(index, visits)
        if state.agent.embedding is None or state.reference is None:
            return metrics
        return metrics | monitor.measure(
            state.agent.embedding, self.config.objectives, state.reference, fresh
        )

    def evaluate(
        self, env: Environment, state: TrainState, key: Key, index: Array, rounds: Array
    ) -> Metrics:
        """Return mean returns of the stochastic policy and of its most likely action.

        Args:
            env: the environment.
            state: of this seed.
            key: random key of the seed.
            index: number of updates before this evaluation.
            rounds: repetitions of `evaluation.episodes` episodes. Their number is an argument so
                that longer evaluations need no new compilation.
        """
        policy, config = self.policy(state.agent).in_environment(env), self.config.evaluation
        key = self.evaluation_key(key, index)
        return evaluate(env, policy, key, config.episodes, rounds, config.max_episode_steps)

    def evaluation_key(self, key: Key, index: Int[Array, ""]) -> Key:
        """Return the key for the evaluation after `index` updates."""
        return stream_key(key, RngStream.EVALUATE, index)

    # What follows from the configuration --------------------------------------------------------

    def with_settings(self, values: Mapping[str, Array | float]) -> Self:
        """Return a trainer with other values of some settings, by dotted name; may be traced."""
        if not values:
            return self
        config = dataclasses.replace(self.config, vary={})
        return dataclasses.replace(self, config=replaced(config, values))

    @functools.cached_property
    def schedule(self) -> Schedule:
        """Stages and sizes of the training."""
        return Schedule(self.config, self.custom_objectives)

    @functools.cached_property
    def parts(self) -> tuple[Part, ...]:
        """The optional parts of this training, in the order of their hooks."""
        return make_parts(self.schedule, self.observation_space, self.action_space, self.masked)

    @property
    def policy_input(self) -> PolicyInput:
        """Input of the policy: the state's embedding, the observation, or both."""
        return PolicyInput(
            self.config.policy, self.observation_space, self.config.embedding.image_layers
        )


def frozen_parts(transfer: TransferConfig) -> tuple[str, ...]:
    """Return the parts of an embedding taken over that are not trained again."""
    if not transfer.run or transfer.keep == "both":
        return ()
    kept = {"states": ("phi",), "actions": ("g", "f")}[transfer.keep]
    return (*kept, "parts") if transfer.policy else kept


def _tried(g: ActionEncoder, actions: Int[Array, "*batch"]) -> Bool[Array, " n"]:
    """Return which of all actions occur."""
    return jnp.zeros(g.rows.shape[0], bool).at[actions.reshape(-1)].set(True)


def _sample(column: Array) -> Array:
    """Return all of `[T, B, ...]`, or evenly spread ones: embedded, a million take a gigabyte."""
    column = column.reshape(-1, *column.shape[2:])
    return column[:: -(-column.shape[0] // NORM_SAMPLE)]
