"""Before there is a policy: random transitions, and an embedding of them (collect, new_model,
fit as often as the host wants to look, fit_decoder).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from embrl.data.random_actions import hold, random_actions
from embrl.data.rollout import random_transitions
from embrl.data.segments import draw_segments
from embrl.embedding import fit as fitting
from embrl.embedding.fit import FitState
from embrl.embedding.model import JointEmbedding
from embrl.envs import Environment
from embrl.envs.environment import named_factor
from embrl.training.config import TransferConfig
from embrl.training.plan import Plan
from embrl.training.purpose import Purpose, purpose
from embrl.types import Key, Transition


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
