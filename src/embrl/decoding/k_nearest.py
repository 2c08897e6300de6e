"""The exact k nearest actions in embedding space."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embrl.decoding.distances import filled_up, squared_distances
from embrl.decoding.groups import in_groups
from embrl.decoding.least import BLOCK, k_least


def k_nearest(
    table: Float[Array, "n d"],
    e: Float[Array, "*batch d"],
    k: int,
    mask: Bool[Array, "*#batch n"] | None = None,
) -> tuple[Int[Array, "*batch k"], Float[Array, "*batch k"]]:
    """The k actions nearest to e and their distances ||g(a) - e||, nearest first; among equals the
    lower index comes first.

    Masked actions come last, at distance inf. The last axis is shorter than k where there are
    fewer actions. Exact to float32 rounding and bounded in memory, as `nearest` is.
    """
    n = table.shape[0]
    # A finite square for masked actions, beyond that of any allowed one. Those that fill up the
    # table have it as well, and stand behind all others.
    masked = jnp.asarray(jnp.finfo(e.dtype).max, e.dtype)

    def search(e: Array, mask: Array | None) -> tuple[Array, Array]:
        whole, allowed = filled_up(table, mask, BLOCK)
        squares, indices = k_least(
            jnp.minimum(squared_distances(whole, e, allowed), masked), min(k, n)
        )
        return indices, jnp.where(squares < masked, jnp.sqrt(squares), jnp.inf)

    return in_groups(search, n, e, mask)
