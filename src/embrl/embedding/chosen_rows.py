"""Training of a few rows of a large g: a gradient step costs as much as those rows, not as all.

Rows of actions that data does not contain get no gradient, and Adam, which has nothing to remember
of them, leaves them alone. So training the others by themselves gives the same result.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embrl.embedding.feature_actions import Fixed
from embrl.embedding.model import JointEmbedding


class ChosenRows(eqx.Module):
    """Action encoder of which only some rows are trained."""

    rows: Float[Array, "k d"]
    """Embeddings before the tanh of the chosen actions."""
    place: Int[Array, " n"] | None
    """Row of each action; k for actions that are not chosen."""
    others: Fixed
    """Rows of all actions as they were, `[n, d]`. Like `place`, empty in the optimiser's state."""

    def __call__(self, action: Int[Array, "*batch"]) -> Float[Array, "*batch d"]:
        assert self.place is not None
        place = self.place[action]
        chosen = self.rows[jnp.minimum(place, self.rows.shape[0] - 1)]
        known = (place < self.rows.shape[0])[..., None]
        return jnp.tanh(jnp.where(known, chosen, self.others(action)))


def chosen_among(tried: Bool[Array, " n"], most: int) -> Int[Array, " most"]:
    """Return the tried actions, filled up to a known length by the number of actions."""
    return jnp.nonzero(tried, size=most, fill_value=tried.shape[0])[0].astype(jnp.int32)


def narrowed(model: JointEmbedding, moments: Any, chosen: Int[Array, " k"]) -> tuple[Any, Any]:
    """Return a model and Adam's state of it in which g has only the chosen rows."""
    rows: Array = model.g.rows  # type: ignore[assignment]
    places = jnp.arange(chosen.shape[0], dtype=jnp.int32)
    place = jnp.full(rows.shape[0], chosen.shape[0], jnp.int32).at[chosen].set(places, mode="drop")

    def pick(full: Array) -> Array:
        return full.at[chosen].get(mode="fill", fill_value=0.0)

    narrow = ChosenRows(pick(rows), place, Fixed.of(rows))
    state = moments._replace(
        **{
            name: eqx.tree_at(
                lambda m: m.g, moment, ChosenRows(pick(moment.g.rows), None, Fixed(None))
            )
            for name, moment in (("mu", moments.mu), ("nu", moments.nu))
        }
    )
    return eqx.tree_at(lambda m: m.g, model, narrow), state


def widened(
    model: JointEmbedding, moments: Any, narrow: tuple[Any, Any], chosen: Int[Array, " k"]
) -> tuple[JointEmbedding, Any]:
    """Return the trained model and Adam's state of it with all rows again.

    Args:
        model: before training, with all rows.
        moments: Adam's state of it.
        narrow: the two with the chosen rows, after training.
        chosen: their actions.
    """

    def put(whole: Any, part: Any) -> Any:
        rows = whole.g.rows.at[chosen].set(part.g.rows, mode="drop")
        g = eqx.tree_at(lambda g: g.rows, whole.g, rows)
        return eqx.tree_at(lambda m: m.g, part, g)

    trained, state = narrow
    return put(model, trained), state._replace(
        mu=put(moments.mu, state.mu), nu=put(moments.nu, state.nu)
    )
