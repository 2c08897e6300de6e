"""Exact search in products of action embeddings: the nearest and the k nearest joint actions.

E is the product of the parts' embedding spaces, so squared distances add up over the parts.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from embrl.core.portable import original_steps
from embrl.core.products import Product
from embrl.core.scaling import RawBox
from embrl.decoding.joint import k_nearest_joint
from embrl.portable.steps import Chain, NearestParts


class ProductTable(eqx.Module):
    """Embeddings of the values of all parts, and the scaling of numbers."""

    points: Float[Array, "values d"]
    """Embeddings of the values of all discrete parts, one part after another."""
    product: Product = eqx.field(static=True)
    numbers: RawBox | None
    """Scaling of the numbers, which are their own embedding; None where there are none."""

    @property
    def split(self) -> int:
        """Dimensions of E before those of the numbers."""
        return len(self.product.sizes) * self.points.shape[-1]

    @property
    def by_part(self) -> Float[Array, "k widest d"]:
        """Embeddings of the values of each part; beyond a part's values its last one."""
        return self.points[self.product.places]

    def distances(
        self, e: Float[Array, "*batch dims"], mask: Bool[Array, "*#batch values"] | None
    ) -> Float[Array, "*batch k widest"]:
        """Return squared distances of each part's values; inf where masked, or beyond its values.

        Only there: allowed values are never infinitely far.
        """
        parts, points = len(self.product.sizes), self.by_part
        own = e[..., : self.split].reshape((*e.shape[:-1], parts, -1))
        # One coordinate at a time: all at once would take d times the memory.
        total: Any = 0.0
        for axis in range(points.shape[-1]):
            total = total + (own[..., axis, None] - points[:, :, axis]) ** 2
        total = jnp.nan_to_num(total, nan=0.0, posinf=jnp.finfo(total.dtype).max)
        exists = self.product.exists
        if mask is not None:
            exists = self.product.by_part(mask)
        elif exists.all():
            return total
        return jnp.where(exists, total, jnp.inf)

    def portable(self) -> NearestParts:
        """Return the search for the nearest action as a plain step."""
        product = self.product
        points = np.where(product.exists[..., None], np.asarray(self.by_part), np.inf)
        numbers = None if self.numbers is None else Chain(original_steps(self.numbers))
        columns = np.ascontiguousarray(np.moveaxis(points, -1, 0), np.float32)
        places = np.ascontiguousarray(product.places.ravel())
        return NearestParts(columns, places, product.exists, numbers)

    def agree(self, e: Array, rows: Array, mask: Array | None) -> Bool[Array, "*batch dims"]:
        """Return which coordinates of points belong to a part of which f returns that value."""
        parts = len(self.product.sizes)
        same = nearest_values(self, e, mask) == self.product.split(rows)[0]
        same = jnp.repeat(same, self.split // parts, axis=-1)
        numbers = jnp.ones((*same.shape[:-1], self.product.numbers), bool)
        return jnp.concatenate([same, numbers], -1)

    def row(self, indices: Array, e: Array) -> Array:
        """Return actions of indices `[..., k]` and the numbers at points of E `[..., dims]`."""
        if self.numbers is None:
            return self.product.joined(indices, None)
        return self.product.joined(indices, self.numbers.original(e[..., self.split :]))

    def embedded(self, rows: Array) -> Float[Array, "*batch dims"]:
        """Return g of actions."""
        indices, numbers = self.product.split(rows)
        points = self.points[indices + self.product.offsets]
        points = points.reshape((*points.shape[:-2], -1))
        if self.numbers is None:
            return points
        return jnp.concatenate([points, self.numbers(numbers)], -1)


def nearest(
    table: ProductTable,
    e: Float[Array, "*batch dims"],
    mask: Bool[Array, "*#batch values"] | None = None,
) -> Array:
    """Return the action that minimises ||g(a) - e||^2: the nearest value of each part.

    Exact to float32 rounding; the lowest index among equals. Numbers are taken as they are, clipped
    to their bounds.

    Args:
        table: the embeddings.
        e: points of E.
        mask: True where a value of a part may be chosen; at least one of each part must be.
    """
    return table.row(nearest_values(table, e, mask), e)


def nearest_values(
    table: ProductTable, e: Array, mask: Bool[Array, "*#batch values"] | None = None
) -> Array:
    """Return the nearest value of each discrete part, int32 `[*batch, k]`, as `nearest` does."""
    parts = len(table.product.sizes)
    own = e[..., : table.split].reshape((*e.shape[:-1], parts, -1))
    # Coordinates apart, so that those of points and parts lie side by side.
    own, points = jax.lax.optimization_barrier(
        (jnp.moveaxis(own, -1, 0), jnp.moveaxis(table.by_part, -1, 0))
    )
    exists = jnp.asarray(table.product.exists) if mask is None else table.product.by_part(mask)
    everywhere = mask is None and table.product.exists.all()

    # One value of all parts after another: XLA vectorises over points and parts, but not a minimum
    # over values.
    def compare(value: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        least, at = found
        distance: Any = 0.0
        for coordinate, values in zip(own, points, strict=True):
            distance = distance + (coordinate - values[:, value]) ** 2
        better = distance < least
        if not everywhere:
            # Only values that may be chosen, and the first of them however far it is.
            better = (better | (at < 0)) & exists[..., value]
        return jnp.where(better, distance, least), jnp.where(better, value, at)

    shape = jnp.broadcast_shapes(own.shape[1:], exists.shape[:-1])
    start = jnp.full(shape, jnp.inf, e.dtype), jnp.full(shape, 0 if everywhere else -1, jnp.int32)
    widest = points.shape[-1]
    _, at = jax.lax.fori_loop(0, widest, compare, start, unroll=min(8, widest))
    return at if everywhere else jnp.maximum(at, 0)


def k_nearest(
    table: ProductTable,
    e: Float[Array, "*batch dims"],
    k: int,
    mask: Bool[Array, "*#batch values"] | None = None,
    added: Float[Array, "*batch parts widest"] | None = None,
) -> tuple[Array, Float[Array, "*batch k"]]:
    """Return the k nearest joint actions in order, and their squared distances in discrete parts.

    All have the same numbers. Where there are fewer than k joint actions that may be chosen, the
    rest are infinitely far.

    Args:
        table: the embeddings.
        e: points of E.
        k: how many.
        mask: as in `nearest`.
        added: prices of the values of each part. Actions then come in the order of distance and
            price together, which the distances that are returned do not contain.
    """
    distances = table.distances(e, mask)
    indices, total = k_nearest_joint(distances if added is None else distances + added, k)
    indices = jnp.minimum(indices, np.asarray(table.product.sizes) - 1)
    if added is not None:
        own = jnp.take_along_axis(distances[..., None, :, :], indices[..., None], -1)[..., 0]
        total = jnp.where(total < jnp.inf, own.sum(-1), jnp.inf)
    numbers = jnp.broadcast_to(e[..., None, :], (*indices.shape[:-1], e.shape[-1]))
    return table.row(indices, numbers), total
