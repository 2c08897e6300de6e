"""Fitting embeddings, one for each row: what a run does first, and `embrl fit` alone."""

import operator
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.types import Key, Transition
from embrl.embedding import quality
from embrl.embedding.model import JointEmbedding
from embrl.embedding.pretraining import FitState
from embrl.embedding.quality import Quality
from embrl.training.backend import Truth
from embrl.training.replicas import Rows, over_seeds
from embrl.training.trainer import Program

FIT_STEPS = 50
"""Gradient steps between two looks from the host."""


class EmbeddingRows:
    """The functions of `Pretraining`, compiled over the rows of a run. All that they take and give
    has an axis of rows in front.
    """

    def __init__(self, rows: Rows) -> None:
        self.program, self.rows, self.keys = rows.program, rows.count, rows.keys
        self.split = over_seeds(rows.program.split, rows.count, once=True)
        self._new_model = rows.over(Program.new_model, shared=(2,), once=True)
        self._fit = rows.over(Program.fit, shared=(3,), donate=(0,))
        self._fit_decoder = rows.over(Program.fit_decoder, once=True)

    @property
    def steps(self) -> int:
        """Gradient steps of the whole fit."""
        config = self.program.config
        return config.fit.steps if config.objectives else 0

    def new_model(self, keys: Key, train: Transition) -> FitState:
        """Before the first gradient step (`Pretraining.new_model`)."""
        # An argument, not a part of the program, as it may be large.
        return self._new_model(keys, train, self.program.inputs.features)

    def shapes(self, keys: Key, train: Transition) -> FitState:
        """Shapes and dtypes of what `new_model` gives, and of what `fit` does."""
        new = jax.vmap(self.program.new_model, (0, 0, None))
        return jax.eval_shape(new, keys, train, self.program.inputs.features)

    def fit(
        self, state: FitState, train: Transition, done: int = 0
    ) -> Iterator[tuple[FitState, Float[Array, " rows"], int]]:
        """Trains phi, g and the objectives' networks.

        Arguments:
            state: it is used up.
            done: gradient steps that it has behind it.

        **Yields** now and then the state, the rows' losses since the last time, and the steps done.
        """
        while done < self.steps:
            # Always the same number, so that one program serves; steps beyond the last have a
            # learning rate of 0.
            steps = done + jnp.arange(min(FIT_STEPS, self.steps))
            state, losses = self._fit(state, train, self.keys, steps)
            done += len(steps)
            yield state, losses, done

    def finished(self, model: JointEmbedding, train: Transition) -> JointEmbedding:
        """The same with f, where that is a network."""
        return self._fit_decoder(model, train, self.keys) if model.f_learns else model

    def qualities(
        self,
        models: JointEmbedding,
        train: Transition,
        held_out: Transition,
        truth: Callable[[np.ndarray], Truth],
    ) -> list[Quality]:
        """How good each row's embedding is.

        Arguments:
            truth: what the environment knows of observations that were met.
        """
        reports = []
        everything = jax.device_get((models, train, held_out))
        for row in range(self.rows):
            model, mine, others = jax.tree.map(operator.itemgetter(row), everything)
            observed = np.concatenate([mine.observation, others.observation])
            visited = np.unique(observed.reshape(-1, *observed.shape[2:]), axis=0)
            report = quality.measure(
                model,
                self.program.config.objectives,
                others,
                visited,
                observation_space=self.program.observation_space,
                horizon=self.program.horizon,
                **truth(visited)._asdict(),
            )
            reports.append(report)
        return reports
