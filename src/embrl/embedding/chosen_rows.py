"""Training of a few rows of a large g: a gradient step costs as much as those rows, not as all.

Rows of actions that data does not contain get no gradient, and Adam, which has nothing to remember
of them, leaves them alone. So training the others by themselves gives the same result.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from embrl.embedding.model import JointEmbedding
from embrl.embedding.pretraining import FitState


class ChosenRows(eqx.Module):
    """Action encoder of some actions: its rows alone are trained.

    An action that is not among them is embedded as 0. In training there is none, but where a mask
    of the environment leaves no other action.
    """

    rows: Float[Array, "k d"]
    """Embeddings before the tanh of the chosen actions."""
    chosen: Int[Array, " k"] | None
    """These actions, in ascending order; None in the optimiser's state."""

    def __call__(self, action: Int[Array, "*batch"]) -> Float[Array, "*batch d"]:
        assert self.chosen is not None
        place = jnp.minimum(jnp.searchsorted(self.chosen, action), self.rows.shape[0] - 1)
        known = (self.chosen[place] == action)[..., None]
        return jnp.tanh(jnp.where(known, self.rows[place], 0.0))


def narrowed(model: JointEmbedding, chosen: Int[Array, " k"]) -> JointEmbedding:
    """Return a model in which g has only the rows of the chosen actions to train."""
    rows: Any = model.g.rows  # type: ignore[union-attr]
    g: Any = ChosenRows(_picked(rows, chosen), chosen)
    return eqx.tree_at(lambda m: m.g, model, g)


def widened(
    model: JointEmbedding, narrow: JointEmbedding, chosen: Int[Array, " k"]
) -> JointEmbedding:
    """Return a model with the rows and other networks of its narrow form after training."""
    return eqx.tree_at(lambda m: m.g, narrow, _put(model.g, narrow.g, chosen))


def narrowed_state(state: FitState, chosen: Int[Array, " k"]) -> FitState:
    """Return an embedding in training of which only the chosen rows are trained."""
    optimiser: Any = state.optimiser

    def pick(moment: Any) -> Any:
        rows = ChosenRows(_picked(moment.g.rows, chosen), None)
        return eqx.tree_at(lambda m: m.g, moment, rows)

    moments = optimiser._replace(mu=pick(optimiser.mu), nu=pick(optimiser.nu))
    return FitState(narrowed(state.model, chosen), moments)


def widened_state(state: FitState, narrow: FitState, chosen: Int[Array, " k"]) -> FitState:
    """Return what was before `narrowed_state`, with what was trained since."""
    before, after = state.optimiser, narrow.optimiser

    def put(whole: Any, part: Any) -> Any:
        return eqx.tree_at(lambda m: m.g, part, _put(whole.g, part.g, chosen))

    moments = after._replace(mu=put(before.mu, after.mu), nu=put(before.nu, after.nu))  # type: ignore
    return FitState(widened(state.model, narrow.model, chosen), moments)


def _picked(rows: Array, chosen: Array) -> Array:
    return rows.at[chosen].get(mode="fill", fill_value=0.0)


def _put(whole: Any, part: Any, chosen: Array) -> Any:
    rows = whole.rows.at[chosen].set(part.rows, mode="drop")
    return eqx.tree_at(lambda g: g.rows, whole, rows)
