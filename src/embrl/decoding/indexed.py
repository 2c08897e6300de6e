"""Tables of many actions that are not searched as a whole: by a tree, or among a few of them."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embrl.decoding.tree import Tree, build, listed


class FewActions(eqx.Module):
    """The actions that may be found, where they are too few for a tree."""

    actions: Int[Array, " k"]
    """In ascending order; places that are left hold the last action once more."""
    points: Float[Array, "k d"]
    """Their embeddings; those of places that are left are infinitely far."""

    @property
    def exists(self) -> Bool[Array, " k"]:
        """False in places that are left."""
        return jnp.isfinite(self.points[:, 0])

    def allowed_by(self, mask: Bool[Array, "*batch n"]) -> Bool[Array, "*batch k"]:
        """Return which of these actions a mask of all of them allows."""
        return self.exists & mask[..., self.actions]

    @classmethod
    def of(cls, g: Any, actions: Int[Array, " k"], n: int) -> "FewActions":
        """Return these of n actions, where n stands in places that are left."""
        known = jnp.minimum(actions, n - 1)
        return cls(known, jnp.where((actions < n)[:, None], g(known), jnp.inf))


class IndexedTable(eqx.Module):
    """Embeddings of all actions, computed where they are needed, and how the nearest is found."""

    g: Any
    """Action encoder: embeddings of actions, and `table`, those of all."""
    index: Tree | FewActions
    """Actions that may be found."""
    max_visits: int = eqx.field(static=True, default=0)
    """Nodes that a search in a tree may visit (`search`); 0: all that are needed."""


def pays(n: int, d: int) -> bool:
    """Return whether a tree of n actions in d dimensions is faster than looking at all of them.

    As measured on a CPU: from 8,192 actions on in two dimensions, 32,768 in eight, and practically
    never from 30 dimensions on (docs/decoders.md).
    """
    return n >= 2.0 ** (13 + (d - 2) / 3)


def new_index(
    table: Float[Array, "n d"],
    allowed: Bool[Array, " n"] | None,
    most: int | None = None,
    by_tree: bool = True,
) -> Tree | Int[Array, " k"] | None:
    """Return an index of the allowed actions: a tree, or a list where that is faster.

    The list is in ascending order, filled up by n.

    Args:
        table: embeddings of all actions.
        allowed: actions that may be found; None: all.
        most: number of actions that are allowed at most, if that is known.
        by_tree: False if only a list can be used; where that would hold all actions, there is none.
    """
    if allowed is None or most is None or (by_tree and pays(most, table.shape[1])):
        return build(table, allowed, most) if by_tree else None
    return listed(allowed, most)


def points_of(table: Any) -> Any:
    """Return the embeddings of all actions of a table, `[n, d]`, with an index or without.

    Of a product, whose actions are not listed, the table itself.
    """
    return table.g.table if isinstance(table, IndexedTable) else table


def embedded(table: Array | IndexedTable, actions: Int[Array, "*batch"]) -> Array:
    """Return the embeddings of some actions of a table, `[*batch, d]`."""
    return table.g(actions) if isinstance(table, IndexedTable) else table[actions]
