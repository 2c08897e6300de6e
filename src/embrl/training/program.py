r"""The pure functions that a run is made of, each for one seed.

    collect -> new_model -> fit ... fit -> new_agent -> start -> improve ... improve
                                                              \-> evaluate

Every function takes its key as `purpose(key, ...)`: no two share random numbers, and evaluating
changes nothing about training.
"""

import dataclasses
import enum
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from embrl.data.rollout import Lanes, open_lanes, random_transitions, rollout
from embrl.decoding import Identity, NearestAction
from embrl.embedding import fit as fitting
from embrl.embedding.encoders import Norm, RawStates, Standardised
from embrl.embedding.fit import FitState
from embrl.embedding.methods import Method, method
from embrl.embedding.model import JointEmbedding
from embrl.envs import Environment
from embrl.networks import MLP
from embrl.policy.actors import Actor, CategoricalActor, GaussianActor
from embrl.policy.overall import OverallPolicy
from embrl.policy.vpg import Batch, Learner
from embrl.spaces import action_count
from embrl.training.config import RunConfig
from embrl.training.evaluate import play
from embrl.types import Key, Observation, Transition


class Purpose(enum.IntEnum):
    """What random numbers are for."""

    COLLECT = 0
    MODEL = 1
    FIT = 2
    LEARNER = 3
    LANES = 4
    IMPROVE = 5
    EVALUATE = 6


def purpose(key: Key, what: Purpose, index: int | Int[Array, ""] = 0) -> Key:
    """The key for the `index`-th use of `what`."""
    return jax.random.fold_in(jax.random.fold_in(key, what), index)


class Agent(NamedTuple):
    """What is learned."""

    embedding: JointEmbedding | None
    norm: Norm | None
    learner: Learner


class SeedState(NamedTuple):
    """One seed in the middle of its training."""

    agent: Agent
    lanes: Lanes


@dataclasses.dataclass(frozen=True)
class Program:
    """A configuration and the spaces it meets. The environment is an argument, not a part: its
    arrays may be large, and as constants they would be compiled into the program.
    """

    config: RunConfig
    observation_space: gymnasium.Space
    action_space: gymnasium.Space

    @property
    def method(self) -> Method:
        """What is embedded, and to what end."""
        return method(self.config.method)

    @property
    def pretraining_samples(self) -> int:
        """Environment steps taken before the first epoch."""
        if not self.method.embeds:
            return 0
        lanes = self.config.rollout.lanes
        return -(-self.config.fit.samples // lanes) * lanes

    @property
    def epochs(self) -> int:
        """Epochs that the budget of samples pays for after pre-training."""
        return (self.config.samples - self.pretraining_samples) // self.config.rollout.epoch

    # Pre-training

    def collect(self, env: Environment, key: Key) -> Transition:
        """Random transitions, `[N, ...]`."""
        config = self.config
        return random_transitions(
            env,
            purpose(key, Purpose.COLLECT),
            self.pretraining_samples,
            config.rollout.lanes,
            config.rollout.persistence,
        )

    def new_model(self, key: Key) -> FitState:
        """An embedding before its first gradient step."""
        model = JointEmbedding(
            self.observation_space,
            self.action_space,
            self.config.model,
            key=purpose(key, Purpose.MODEL),
        )
        return fitting.start(model)

    def fit(
        self, state: FitState, transitions: Transition, key: Key, steps: Int[Array, " steps"]
    ) -> tuple[FitState, Float[Array, ""]]:
        """The gradient steps with the given numbers; also their mean loss."""
        keys = jax.vmap(lambda step: purpose(key, Purpose.FIT, step))(steps)
        state, losses = fitting.fit(
            state,
            transitions,
            keys,
            fitting.learning_rate(self.config.fit, steps),
            batch=self.config.fit.batch,
            objectives=self.method.objectives,
        )
        return state, losses.mean()

    # Policy learning

    def start(
        self, env: Environment, key: Key, agent: Agent, transitions: Transition | None
    ) -> SeedState:
        """An agent with open lanes, at the beginning of its first epoch.

        Arguments:
            transitions: of pre-training, for an agent with an embedding.
        """
        if agent.embedding is not None and transitions is not None:
            norm = Norm.of(agent.embedding.phi(transitions.observation))
            agent = agent._replace(norm=norm)
        key_lanes = purpose(key, Purpose.LANES)
        return SeedState(agent, open_lanes(env, key_lanes, self.config.rollout.lanes))

    def new_agent(self, key: Key, embedding: JointEmbedding | None) -> Agent:
        """A new policy and critic on top of an embedding."""
        norm = None if embedding is None else Norm.none(self.config.model.m)
        learner = self._new_learner(purpose(key, Purpose.LEARNER), embedding)
        return Agent(embedding, norm, learner)

    def untrained(self, key: Key) -> Agent:
        """An agent that has learned nothing: it shows how a trained one looks in a checkpoint."""
        return self.new_agent(key, self.new_model(key).model if self.method.embeds else None)

    def policy(self, agent: Agent) -> OverallPolicy:
        """pi_o = f . pi_i . phi as it stands."""
        if agent.embedding is None or agent.norm is None:
            return OverallPolicy(RawStates(self.observation_space), agent.learner.actor, Identity())
        return OverallPolicy(
            Standardised(agent.embedding.phi, agent.norm),
            agent.learner.actor,
            NearestAction(agent.embedding.g.table),
        )

    def improve(
        self,
        env: Environment,
        state: SeedState,
        key: Key,
        first: Int[Array, ""],
        count: Int[Array, ""],
    ) -> tuple[SeedState, dict[str, Float[Array, ""]]]:
        """`count` epochs from number `first` on; also the mean of each measure of theirs."""

        def body(
            index: Int[Array, ""], carry: tuple[SeedState, dict[str, Array]]
        ) -> tuple[SeedState, dict[str, Array]]:
            state, sums = carry
            state, measures = self._epoch(env, state, purpose(key, Purpose.IMPROVE, index))
            return state, jax.tree.map(jnp.add, sums, measures)

        shapes = jax.eval_shape(lambda: self._epoch(env, state, key)[1])
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        state, sums = jax.lax.fori_loop(first, first + count, body, (state, nothing))
        return state, jax.tree.map(lambda total: total / count, sums)

    def evaluate(
        self, env: Environment, state: SeedState, key: Key, index: Array, rounds: Array
    ) -> dict[str, Float[Array, ""]]:
        """Means over `rounds` times `evaluation.episodes` episodes: of the policy as it acts, and
        of its likeliest action. A round has a fixed size so that more need no new compilation.
        """
        policy, episodes = self.policy(state.agent), self.config.evaluation.episodes

        def act(key: Key, observation: Observation) -> Array:
            return policy.act(observation, policy.actor.noise(key, (episodes,)))[0]

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
        key_actor, key_critic = jax.random.split(key)
        config = self.config.policy
        if embedding is None:
            features = RawStates(self.observation_space).features
            actor: Actor = CategoricalActor(
                features, action_count(self.action_space), config.hidden, key=key_actor
            )
        else:
            features = embedding.phi.features
            actor = GaussianActor(
                features,
                self.config.model.d,
                config.hidden,
                std=config.std,
                bounded=config.bounded,
                key=key_actor,
            )
        return self.config.hyper.start(actor, MLP(features, config.hidden, 1, key=key_critic))

    def _epoch(
        self, env: Environment, state: SeedState, key: Key
    ) -> tuple[SeedState, dict[str, Array]]:
        key_noise, key_steps = jax.random.split(key)
        lanes = self.config.rollout.lanes
        policy = self.policy(state.agent)
        noise = policy.actor.noise(key_noise, (self.config.rollout.epoch // lanes, lanes))
        after, transitions, u = rollout(env, policy.act, state.lanes, key_steps, noise)
        batch = Batch(
            x=policy.phi(transitions.observation),
            u=u,
            reward=transitions.reward,
            next_x=policy.phi(transitions.next_observation),
            terminated=transitions.terminated,
            truncated=transitions.truncated,
        )
        learner, measures = self.config.hyper.update(state.agent.learner, batch)
        return SeedState(state.agent._replace(learner=learner), after), measures
