"""Gradient steps of tasks, in pieces between which progress is reported."""

from collections.abc import Callable
from typing import TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.core.errors import EmbrlError
from embrl.tasks.config import TasksConfig

STEPS_PER_CALL = 200
"""Gradient steps between two reports."""

State = TypeVar("State")


def take_steps(
    train: Callable[[State, Int[Array, " steps"]], tuple[State, Float[Array, " steps"]]],
    state: State,
    config: TasksConfig,
    on_progress: Callable[[int, int, float], None],
) -> State:
    """Return the state after all gradient steps.

    Args:
        train: takes the steps with these numbers; returns the state after them, and their losses.
        state: the state before the first.
        config: settings.
        on_progress: called now and then with the steps done, all steps, and the loss.

    Raises:
        EmbrlError: the loss is not finite.
    """
    done, total = 0, config.gradient_steps
    chunk = min(STEPS_PER_CALL, total)
    while done < total:
        # Always as many, so that one program serves; the rate of those beyond the last is 0.
        state, losses = train(state, done + jnp.arange(chunk))
        done = min(done + chunk, total)
        loss = float(np.asarray(losses).mean())
        if not np.isfinite(loss):
            raise EmbrlError(
                f"the loss of tasks is not finite after {done} gradient steps; try a smaller "
                f"tasks.learning_rate than {config.learning_rate}"
            )
        on_progress(done, total, loss)
    return state
