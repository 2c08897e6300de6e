"""Pre-training of an embedding for each replica, by runs and by `embrl fit`."""

import operator
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.images import is_image
from embrl.core.products import is_product
from embrl.core.spaces import is_continuous
from embrl.core.types import Key, Observation, Transition
from embrl.embedding import quality
from embrl.embedding.model import JointEmbedding
from embrl.embedding.pretraining import FitState
from embrl.embedding.quality import Quality
from embrl.training.backend import GroundTruth
from embrl.training.compile_ahead import Expect
from embrl.training.replicas import Program, Replicas
from embrl.training.trainer import Trainer

STEPS_PER_CALL = 50
"""Gradient steps between two reports to the host."""


class EmbeddingReplicas:
    """The pre-training functions of `Trainer`, compiled over the replicas of a run.

    All arguments and results have a leading axis of replicas.
    """

    def __init__(self, replicas: Replicas) -> None:
        self.trainer, self.count, self.keys = replicas.trainer, replicas.count, replicas.keys
        self.split = replicas.over(Trainer.split, once=True)
        self._new_model = replicas.over(Trainer.new_model, shared=(2,), once=True)
        self._fit = replicas.over(Trainer.fit, shared=(3,), donate=(0,))
        self._fit_decoder = replicas.over(Trainer.fit_decoder, once=True)

    @property
    def steps(self) -> int:
        """Gradient steps of the whole pre-training."""
        config = self.trainer.config
        return config.pretrain.gradient_steps if config.objectives else 0

    def new_model(self, keys: Key, train: Transition) -> FitState:
        """Return embeddings before the first gradient step (`Trainer.new_model`)."""
        # An argument, not a constant of the program, as it may be large.
        return self._new_model(keys, train, self.trainer.action_inputs.features)

    def compile_ahead(self, expect: Expect, keys: Key, transitions: Any) -> JointEmbedding:
        """Compile pre-training for transitions of these shapes; return those of the embeddings."""
        train, _ = expect(self.split, transitions)
        state = expect(self._new_model, keys, train, self.trainer.action_inputs.features)
        if self.steps:
            state, _ = expect(self._fit, state, train, keys, self._numbers(0))
        if state.model.f_learns:
            return expect(self._fit_decoder, state.model, train, keys)
        return state.model

    @property
    def programs(self) -> tuple[Program, ...]:
        """Programs that `compile_ahead` may name."""
        return self.split, self._new_model, self._fit, self._fit_decoder

    def shapes(self, keys: Key, train: Transition) -> FitState:
        """Return shapes and dtypes of what `new_model` and `fit` return."""
        new = jax.vmap(self.trainer.new_model, (0, 0, None))
        return jax.eval_shape(new, keys, train, self.trainer.action_inputs.features)

    def fit(
        self, state: FitState, train: Transition, done: int = 0
    ) -> Iterator[tuple[FitState, Float[Array, " replicas"], int]]:
        """Train phi, g and the objectives' networks.

        Args:
            state: as `new_model` returned it; its memory is taken over.
            train: transitions.
            done: gradient steps already taken.

        Yields:
            Now and then the state, the mean losses since the last time, and the steps done.
        """
        while done < self.steps:
            steps = self._numbers(done)
            state, losses = self._fit(state, train, self.keys, steps)
            done += len(steps)
            yield state, losses, done

    def _numbers(self, done: int) -> Array:
        """Return the numbers of the next gradient steps.

        Always as many, so that one program serves; those beyond the last have a learning rate of 0.
        """
        return done + jnp.arange(min(STEPS_PER_CALL, self.steps))

    def finished(self, model: JointEmbedding, train: Transition) -> JointEmbedding:
        """Return the embeddings with f trained, where that is a network."""
        return self._fit_decoder(model, train, self.keys) if model.f_learns else model

    def qualities(
        self,
        models: JointEmbedding,
        train: Transition,
        held_out: Transition,
        ground_truth: Callable[[np.ndarray], GroundTruth],
    ) -> list[Quality]:
        """Return a quality report of each replica's embedding.

        Args:
            models: the embeddings.
            train: transitions that they were trained on.
            held_out: transitions that they were not trained on.
            ground_truth: returns what the environment knows of given observations.
        """
        reports = []
        everything = jax.device_get((models, train, held_out))
        for replica in range(self.count):
            model, mine, others = jax.tree.map(operator.itemgetter(replica), everything)
            observed = np.concatenate([mine.observation, others.observation])
            visited = self._distinct(observed.reshape(-1, *observed.shape[2:]))
            tried = None
            space = self.trainer.action_space
            if not is_continuous(space) and not is_product(space):
                tried = np.unique(np.concatenate([mine.action, others.action]))
            report = quality.measure(
                model,
                self.trainer.config.objectives,
                others,
                visited,
                observation_space=self.trainer.observation_space,
                horizon=self.trainer.schedule.horizon,
                tried=tried,
                **ground_truth(visited)._asdict(),
            )
            reports.append(report)
        return reports

    def probed(
        self,
        models: JointEmbedding,
        observed: Observation,
        ground_truth: Callable[[np.ndarray], GroundTruth],
    ) -> list[dict[str, float]]:
        """Return how well each feature of a state is recovered from each replica's X.

        Args:
            models: the embeddings.
            observed: observations of each replica, `[n, N, ...]`.
            ground_truth: returns what the environment knows of given observations.
        """
        scores = []
        everything = jax.device_get((models, observed))
        for replica in range(self.count):
            model, mine = jax.tree.map(operator.itemgetter(replica), everything)
            visited = self._distinct(mine)
            truth = ground_truth(visited)
            scores.append(
                quality.probed(
                    model,
                    visited,
                    self.trainer.observation_space,
                    truth.state_coordinates,
                    truth.coordinate_names,
                )
            )
        return scores

    def _distinct(self, observed: np.ndarray) -> np.ndarray:
        """Return distinct observations of `[N, ...]`; of images, some."""
        if is_image(self.trainer.observation_space):  # hardly any two are equal
            return observed[:: -(-len(observed) // quality.MAX_COMPARED)]
        return np.unique(observed, axis=0)
