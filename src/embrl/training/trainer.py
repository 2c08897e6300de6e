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
from jaxtyping import Array, Float, Int

from embrl.algorithms.base import (
    Batch,
    EmbeddedActions,
    Experience,
    IndexedActions,
    InternalSpace,
    Learner,
)
from embrl.algorithms.critics import ModelScorer
from embrl.algorithms.policy import OverallPolicy, PolicyInput, Scoring
from embrl.config.run import RunConfig, TransferConfig
from embrl.config.settings_by_name import point, replaced, validate_vary
from embrl.config.validation import validate_embedding, validate_policy
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.scaling import RawBox
from embrl.core.spaces import action_count, is_continuous, state_count
from embrl.core.types import Key, Observation, Transition
from embrl.data.rollout import (
    OpenEnvs,
    hold,
    open_envs,
    random_actions,
    random_transitions,
    rollout,
)
from embrl.data.segments import draw_segments
from embrl.decoding.base import Decoder
from embrl.decoding.base import build as new_decoder
from embrl.decoding.continuous import Identity, Rescaled
from embrl.embedding import monitor, pretraining
from embrl.embedding.encoders import ContinuousActions, Norm, StateEncoder
from embrl.embedding.memory import Memory
from embrl.embedding.methods import METHODS, Method
from embrl.embedding.model import JointEmbedding
from embrl.embedding.monitor import Reference
from embrl.embedding.objectives import OBJECTIVES, OwnObjective
from embrl.embedding.pretraining import FitState
from embrl.envs import Environment
from embrl.envs.environment import named_factor
from embrl.training.action_inputs import NONE, ActionInputs
from embrl.training.evaluation import play
from embrl.training.exploration import VisitCounter
from embrl.training.parts import (
    EpisodicMemory,
    ExplorationBonus,
    ObservationStatistics,
    OnlineUpdates,
    Part,
    ReplayBuffer,
    Step,
    remember_nothing,
)
from embrl.training.rng_streams import RngStream, stream_key
from embrl.training.state import Agent, PretrainingData, Rollout, TrainState

NORM_SAMPLE = 2**16
"""Observations that X is centred and scaled by."""

UNIT_SAMPLE = 2**12
"""Random actions that show how wide they lie in E."""

Metrics = dict[str, Float[Array, ""]]


@dataclasses.dataclass(frozen=True, eq=False)
class Trainer:
    """A configuration and the spaces it is for, with pure methods of one seed.

    Methods take the environment as an argument: its arrays may be large, and as constants they
    would be compiled into the trainer.
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
        )
        trainer.validate()
        return trainer

    def validate(self) -> None:
        """Check that all settings fit together, at every point of a sweep.

        Raises:
            EmbrlError: some do not; the message names the setting and the reason.
        """
        config = self.config
        if config.vary:
            validate_vary(config)
            for index in range(config.points):
                self.with_settings(point(config, index)).validate()
        config.validate()
        self.validate_embedding()
        validate_policy(config, self.observation_space, self.action_space)
        if self.num_updates < 1:
            raise SettingError(
                "total_timesteps",
                f"at least {self.pretraining_timesteps + config.rollout.steps_per_update} "
                "(pre-training and one update)",
                config.total_timesteps,
            )

    def validate_embedding(self) -> None:
        """Check the settings that an embedding depends on.

        Raises:
            EmbrlError: some do not fit; the message names the setting and the reason.
        """
        config = self.config
        for name in config.objectives:
            if name not in self.custom_objectives and name not in OBJECTIVES:
                raise OBJECTIVES.unknown(name, self.custom_objectives)
        validate_embedding(config, self.observation_space, self.action_space)
        if self.horizon > self.rollout_length:
            raise SettingError(
                "embedding.horizon",
                f"at most {self.rollout_length}, the steps of an environment between two updates",
                self.horizon,
            )

    # The whole of it ----------------------------------------------------------------------------

    def train(self, key: Key) -> tuple[TrainState, dict[str, Float[Array, " evaluations"]]]:
        """Train one seed from beginning to end, without touching the disk.

        `jax.vmap(jax.jit(trainer.train))(keys)` trains several seeds side by side.

        Args:
            key: random key of the seed.

        Returns:
            The final state, and the metrics of every evaluation: `timesteps`, `return_mean` and
            those of the algorithm and the embedding.

        Raises:
            EmbrlError: the trainer has no environment, or the configuration takes an embedding
                over from another run.
        """
        if self.env is None or self.config.transfer.run:
            raise EmbrlError("train needs an environment and no transfer.run; use embrl.train")
        env, embedding, data = self.env, None, None
        if self.pretrains:
            data = self.collect(env, key)
            embedding = self.pretrain(key, self.split(data)[0])
        state = self.start(env, key, self.new_agent(key, embedding), data)
        per_evaluation = self.config.evaluation.every // self.config.rollout.steps_per_update
        firsts = range(0, self.num_updates, per_evaluation)

        def chunk(state: TrainState, first: Array, count: int) -> tuple[TrainState, Metrics]:
            state, metrics = self.iterate(env, state, key, first, jnp.int32(count))
            metrics |= self.evaluate(env, state, key, first + count, jnp.int32(1))
            steps = (first + count) * self.config.rollout.steps_per_update
            return state, metrics | {"timesteps": self.pretraining_timesteps + steps}

        *whole, last = firsts
        state, metrics = jax.lax.scan(
            lambda state, first: chunk(state, first, per_evaluation),
            state,
            jnp.array(whole, jnp.int32),
        )
        state, final = chunk(state, jnp.int32(last), self.num_updates - last)
        final |= self.evaluate(
            env, state, key, jnp.int32(self.num_updates), jnp.int32(self.final_rounds)
        )
        together = jax.tree.map(lambda a, b: jnp.append(a, b), metrics, final)
        return state, together

    # Pre-training of the embedding --------------------------------------------------------------

    def random_actions(self, key: Key) -> Array:
        """Return the actions of pre-training, `[T, B, ...]`, for an environment on the host."""
        rollout = self.config.rollout
        shape = (self.pretraining_timesteps // rollout.num_envs, rollout.num_envs)
        key_act, key_keep = jax.random.split(stream_key(key, RngStream.COLLECT))
        actions = random_actions(self.action_space, key_act, shape, self.action_inputs.allowed)
        keep = jax.random.uniform(key_keep, shape) < rollout.sticky_action_prob
        return hold(actions, keep)

    def collect(self, env: Environment, key: Key) -> Transition:
        """Return the random transitions of pre-training, `[T, B, ...]`."""
        config = self.config
        return random_transitions(
            env,
            stream_key(key, RngStream.COLLECT),
            self.pretraining_timesteps,
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
                of millions should not be a constant of the trainer.
        """
        if features is None and self.action_inputs.features is not None:
            features = jnp.asarray(self.action_inputs.features)
        return JointEmbedding(
            self.observation_space,
            self.action_space,
            self.config.embedding,
            echo=self.config.echo,
            states=self.method.states,
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
        config = self.config
        keys = jax.vmap(lambda step: stream_key(key, RngStream.PRETRAIN, step))(steps)
        state, losses = pretraining.fit(
            state,
            lambda key: draw_segments(transitions, key, config.pretrain.batch_size, self.horizon),
            keys,
            pretraining.learning_rate(config.pretrain, steps),
            weights=config.objectives,
            frozen=frozen_parts(config.transfer),
        )
        return state, losses.mean()

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
        if self.memory_size:
            memory = Memory.nothing(self.memory_size, action_count(self.action_space))
        return Agent(embedding, norm, learner, memory, self.policy_input.empty_stats(embedding))

    def untrained(self, key: Key) -> Agent:
        """Return an agent with the arrays of a trained one, for their shapes in a checkpoint."""
        return self.new_agent(key, self.new_embedding(key) if self.method.embeds else None)

    def policy(self, agent: Agent) -> OverallPolicy:
        """Return the current overall policy pi_o = f . pi_i . phi."""
        embedding, learner = agent.embedding, agent.learner
        return OverallPolicy(
            self.policy_input.phi(embedding, agent.norm, agent.running_stats),
            learner.actor,
            learner.f,
            None if embedding is None else embedding.f or embedding.g.table,
            self._scoring(agent) if learner.f.needs_scorer else None,
            None if self.action_inputs.allowed is None else jnp.asarray(self.action_inputs.allowed),
        )

    def _scoring(self, agent: Agent) -> Scoring:
        """Return what scores candidates for f: the critic, or the learned model."""
        if self.config.decoder.scorer == "critic" or agent.norm is None:
            return agent.learner
        return ModelScorer.of(agent.embedded, agent.norm, agent.memory, self.config.echo.memory)

    def _new_learner(self, key: Key, embedding: JointEmbedding | None) -> Learner:
        config, features = self.config, self.policy_input.features(embedding)
        if embedding is None:
            internal, f = self._original_actions()
        else:
            unit = self._unit(embedding, jax.random.fold_in(key, 1))
            internal = EmbeddedActions(config.embedding.action_dim, unit)
            f = new_decoder(config.decoder)
        return config.hyperparameters.start(features, internal, f, config.policy, key=key)

    def _unit(self, embedding: JointEmbedding, key: Key) -> float | Float[Array, " d"]:
        """Return the unit of policy.std on each axis of E."""
        if self.config.policy.std_unit == "embedding":
            return 1.0
        if not isinstance(embedding.g, ContinuousActions):
            raise EmbrlError("policy.std_unit action needs continuous actions; choose embedding")
        return embedding.g.shrinkage(random_actions(self.action_space, key, (UNIT_SAMPLE,)))

    def _original_actions(self) -> tuple[InternalSpace, Decoder]:
        """Return the space and the decoder of a policy without an embedding."""
        if not is_continuous(self.action_space):
            return IndexedActions(action_count(self.action_space)), Identity()
        raw = RawBox(self.action_space, scaled=True)
        return EmbeddedActions(raw.features), Rescaled(raw)

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
        act = self.policy(state.agent).act
        envs, transitions, u = rollout(env, act, state.envs, key_steps, noise)
        return state._replace(envs=envs), Rollout(transitions, u)

    def rollout_noise(self, agent: Agent, key: Key, index: Int[Array, ""]) -> Any:
        """Return the policy's noise for the rollout of update `index`, `[T, B, ...]`."""
        key_noise, _ = jax.random.split(stream_key(key, RngStream.ITERATE, index))
        shape = (self.rollout_length, self.config.rollout.num_envs)
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
        step = Step(taken.transitions, taken.u, policy, key, index)
        for part in self.parts:
            state = part.collect(state, step)

        before = state

        def draw(key: Key, count: int) -> Batch:
            transitions, u = self.replay.draw(before, step, key, count)
            return _batch(policy, self._rewarded(before, transitions, index), u)

        transitions, u = self._rewarded(state, taken.transitions, index), taken.u
        if state.agent.embedding is not None and self.config.policy.credit == "g(a)":
            u = state.agent.embedding.g(taken.transitions.action)
        experience = Experience(_batch(policy, transitions, u), draw, policy.table, policy.allowed)
        key_update = jax.random.fold_in(key, RngStream.UPDATE)
        learner, metrics = self.config.hyperparameters.update(
            state.agent.learner, experience, key_update
        )
        if transitions is not taken.transitions:
            metrics["bonus"] = (transitions.reward - taken.transitions.reward).mean()
        state = state._replace(agent=state.agent._replace(learner=learner))
        for part in self.parts:
            state = part.finish(state, step)
        return state, metrics

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
        if state.agent.embedding is None or state.reference is None:
            return {}
        return monitor.measure(
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
        policy, episodes = self.policy(state.agent), self.config.evaluation.episodes

        def act(key: Key, observation: Observation) -> Array:
            return policy.act(observation, policy.noise(key, (episodes,)))[0]

        def greedy(key: Key, observation: Observation) -> Array:
            del key
            return policy.mode(observation)

        def one(number: Array, sums: Metrics) -> Metrics:
            key_act, key_greedy = jax.random.split(jax.random.fold_in(base, number))
            sampled = play(env, act, key_act, episodes)
            most_likely = play(env, greedy, key_greedy, episodes)
            return {
                "return_mean": sums["return_mean"] + sampled.returns.mean(),
                "square": sums["square"] + (sampled.returns**2).mean(),
                "greedy_return_mean": sums["greedy_return_mean"] + most_likely.returns.mean(),
                "length_mean": sums["length_mean"] + sampled.lengths.mean(),
            }

        base = self.evaluation_key(key, index)
        names = ("return_mean", "square", "greedy_return_mean", "length_mean")
        sums = jax.lax.fori_loop(0, rounds, one, dict.fromkeys(names, jnp.float32(0.0)))
        means = {name: total / rounds for name, total in sums.items()}
        variance = means.pop("square") - means["return_mean"] ** 2
        return {**means, "return_std": jnp.sqrt(jnp.maximum(variance, 0.0))}

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

    @property
    def method(self) -> Method:
        """The method: what is embedded, with which objectives."""
        return METHODS[self.config.method]

    @property
    def policy_input(self) -> PolicyInput:
        """What the policy sees of a state."""
        return PolicyInput(self.config.policy, self.observation_space)

    @functools.cached_property
    def replay(self) -> ReplayBuffer:
        """The replay buffer; it is among the parts only where something learns from it."""
        config = self.config
        # Only algorithms that learn from replayed internal actions need to know them.
        keeps_e = self.method.actions and config.hyperparameters.off_policy
        return ReplayBuffer(
            config.rollout.num_envs,
            self.rollout_length,
            config.rollout.buffer_size,
            self.pretraining_blocks,
            config.embedding.action_dim if keeps_e else None,
            self.updates_online,
            self.transitions_like,
        )

    @functools.cached_property
    def parts(self) -> tuple[Part, ...]:
        """The optional parts of this training, in the order of their hooks."""
        config, parts, remember = self.config, [], remember_nothing
        if self.uses_replay:
            parts.append(self.replay)
        if self.memory_size:
            memory = EpisodicMemory(self.replay if self.uses_replay else None)
            parts.append(memory)
            remember = memory.remember
        if config.exploration.bonus:
            counter = VisitCounter(self.observation_space, config.exploration)
            parts.append(ExplorationBonus(counter, self.num_updates))
        parts.append(ObservationStatistics())
        if self.updates_online:
            parts.append(
                OnlineUpdates(
                    self.replay,
                    config.online,
                    config.objectives,
                    self.horizon,
                    self.num_updates,
                    remember,
                )
            )
        return tuple(parts)

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
    def memory_size(self) -> int:
        """Number of visits that can be remembered; 0: nothing is."""
        if not (self.method.embeds and self.config.echo.memory):
            return 0
        if not self.uses_replay:
            return self.pretraining_timesteps
        return self.replay.rows * self.config.rollout.num_envs

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

    @property
    def rollout_length(self) -> int:
        """Steps of each environment between two updates, T."""
        return self.config.rollout.steps_per_update // self.config.rollout.num_envs

    @property
    def pretraining_blocks(self) -> int:
        """Whole rollouts' worth of pre-training's transitions, which go into the buffer."""
        return self.pretraining_timesteps // self.config.rollout.num_envs // self.rollout_length

    @property
    def final_rounds(self) -> int:
        """Rounds of the last evaluation."""
        return self.config.evaluation.final_episodes // self.config.evaluation.episodes

    @property
    def horizon(self) -> int:
        """Steps of the segments that objectives are trained on."""
        names = self.config.objectives
        kinds = [self.custom_objectives.get(name) or OBJECTIVES[name] for name in names]
        return self.config.embedding.horizon if any(map(_takes_segments, kinds)) else 1

    def transitions_like(self, batch: tuple[int, ...]) -> Transition:
        """Return shapes and dtypes of transitions with these leading axes."""
        columns: dict[str, Any] = {
            "observation": _like(self.observation_space, batch),
            "action": _like(self.action_space, batch),
            "reward": jax.ShapeDtypeStruct(batch, jnp.float32),
            "next_observation": _like(self.observation_space, batch),
            "terminated": jax.ShapeDtypeStruct(batch, jnp.bool_),
            "truncated": jax.ShapeDtypeStruct(batch, jnp.bool_),
        }
        return Transition(**columns)


def frozen_parts(transfer: TransferConfig) -> tuple[str, ...]:
    """Return the parts of an embedding taken over that are not trained again."""
    if not transfer.run or transfer.keep == "both":
        return ()
    kept = {"states": ("phi",), "actions": ("g", "f")}[transfer.keep]
    return (*kept, "parts") if transfer.policy else kept


def _batch(policy: OverallPolicy, transitions: Transition, u: Array) -> Batch:
    return Batch(
        x=policy.phi(transitions.observation),
        u=u,
        action=transitions.action,
        reward=transitions.reward,
        next_x=policy.phi(transitions.next_observation),
        terminated=transitions.terminated,
        truncated=transitions.truncated,
    )


def _sample(column: Array) -> Array:
    """Return all of `[T, B, ...]`, or evenly spread ones: embedded, a million take a gigabyte."""
    column = column.reshape(-1, *column.shape[2:])
    return column[:: -(-column.shape[0] // NORM_SAMPLE)]


def _like(space: gymnasium.Space, batch: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    kind = jnp.float32 if is_continuous(space) else jnp.int32
    return jax.ShapeDtypeStruct((*batch, *(space.shape or ())), kind)


def _takes_segments(kind: OwnObjective) -> bool:
    return isinstance(kind, type) and kind.segments
