"""Search for feasible joint actions, where a function couples the parts of an action.

Candidates are the joint actions nearest to e. Where the environment says what each value uses of
something scarce, those nearest to e at a price of it come on top: the least price at which the
nearest joint action is feasible (a Lagrangian relaxation of the constraint).
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from embrl.decoding.joint import PRICE_RANGE, PRICE_STEPS
from embrl.decoding.products import ProductTable, k_nearest
from embrl.decoding.search import argmin
from embrl.envs.environment import Environment

CANDIDATES = 32
"""Joint actions among which a feasible one is looked for, where nothing else is set."""


class Constraint(NamedTuple):
    """Constraint of an environment on joint actions, in the states at hand."""

    env: Environment
    observation: Array
    """What is seen in these states, `[*batch, ...]`."""

    def feasible(self, rows: Array) -> Bool[Array, "*batch k"]:
        """Return which of k joint actions in each state are feasible; rows are `[*batch, k, p]`."""
        *lead, k, length = rows.shape
        asked = jax.vmap(jax.vmap(self.env.is_feasible, (None, 0)))
        found: Any = asked(self._flat(len(lead)), rows.reshape((-1, k, length)))
        return found.reshape((*lead, k))

    def use(self, axes: int) -> Float[Array, "*batch values"] | None:
        """Return what each value uses in each state; None where that is not known.

        Args:
            axes: number of leading axes.
        """
        flat = self._flat(axes)
        found = jax.vmap(self.env.resource_use)(flat)
        if found is None:
            return None
        return found.astype(jnp.float32).reshape((*self.observation.shape[:axes], -1))

    def _flat(self, axes: int) -> Array:
        seen = jnp.asarray(self.observation)
        return seen.reshape((math.prod(seen.shape[:axes]), *seen.shape[axes:]))


def nearest_feasible(
    table: ProductTable,
    e: Float[Array, "*batch dims"],
    constraint: Constraint,
    candidates: int,
    k: int = 1,
    mask: Bool[Array, "*#batch values"] | None = None,
) -> tuple[Array, Float[Array, "*batch k"]]:
    """Return the k nearest feasible joint actions in order, and their squared distances.

    Exact where they are among the `candidates` nearest joint actions; beyond them, as good as the
    search at a price finds. Where fewer than k are found, the rest are infinitely far; where none
    is, the first one is the nearest joint action, feasible or not.

    Args:
        table: the embeddings.
        e: points of E.
        constraint: says which joint actions are feasible.
        candidates: joint actions to look at.
        k: how many to return, at most `candidates`.
        mask: True where a value of a part may be chosen; at least one of each part must be.
    """
    rows, distances = k_nearest(table, e, candidates, mask)
    use = constraint.use(e.ndim - 1)
    if use is not None:
        by_part = use[..., table.product.places]
        price = _least_price(table, e, constraint, by_part, mask)
        more, further = k_nearest(table, e, candidates, mask, price * by_part)
        twice = (more[..., :, None, :] == rows[..., None, :, :]).all(-1).any(-1)
        rows = jnp.concatenate([rows, more], -2)
        distances = jnp.concatenate([distances, jnp.where(twice, jnp.inf, further)], -1)
    distances = jnp.where(constraint.feasible(rows), distances, jnp.inf)
    # Among equals, and where all are infinitely far, the first counts.
    negative, at = jax.lax.top_k(-distances, k)
    return jnp.take_along_axis(rows, at[..., None], -2), -negative


def _least_price(
    table: ProductTable,
    e: Array,
    constraint: Constraint,
    use: Float[Array, "*batch k widest"],
    mask: Array | None,
) -> Float[Array, "*batch 1 1"]:
    """Return the least price at which the nearest joint action is feasible, by bisection."""
    distances = table.distances(e, mask)
    # Points that have overflowed are as far as a float32 is large; prices must stay below that.
    spread = jnp.where(distances < jnp.inf, distances, 0.0).max((-1, -2), keepdims=True)
    most = jnp.abs(use).max((-1, -2), keepdims=True)
    unit = jnp.clip(spread, 1e-20, 1e20) / jnp.maximum(most, 1e-6)

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        values = argmin(distances + unit * 2.0**middle * use)[1]
        values = jnp.minimum(values, jnp.asarray(table.product.sizes) - 1)
        enough = constraint.feasible(table.row(values, e)[..., None, :])[..., None]
        return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

    ends = jnp.full_like(unit, -PRICE_RANGE), jnp.full_like(unit, PRICE_RANGE)
    _, price = jax.lax.fori_loop(0, PRICE_STEPS, halve, ends)
    return unit * 2.0**price
