"""Rays and discs among axis-aligned rectangles."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def cast_rays(
    position: Float[Array, "2"],
    angles: Float[Array, " B"],
    size: Float[Array, "2"],
    shelves: Float[Array, "R 4"],
) -> Float[Array, " B"]:
    """Return the distance from a position to what each ray meets first (slab method).

    Args:
        position: in the hall, outside of the shelves.
        angles: direction of each ray, radians counter-clockwise from the x axis.
        size: width and height of the hall, whose walls stop every ray.
        shelves: x_min y_min x_max y_max of each.
    """
    direction = jnp.stack([jnp.cos(angles), jnp.sin(angles)])
    # A ray along an axis would divide by 0: it is turned by an invisible angle.
    direction = jnp.where(jnp.abs(direction) < 1e-6, 1e-6, direction)
    inverse = 1.0 / direction
    wall = jnp.where(direction > 0, size[:, None] - position[:, None], -position[:, None]) * inverse
    low = (shelves[:, :2] - position)[:, :, None] * inverse
    high = (shelves[:, 2:] - position)[:, :, None] * inverse
    enter = jnp.minimum(low, high).max(1)
    leave = jnp.maximum(low, high).min(1)
    met = (enter <= leave) & (enter >= 0.0)
    return jnp.minimum(wall.min(0), jnp.where(met, enter, jnp.inf).min(0))


def touches(
    position: Float[Array, "2"],
    radius: float,
    size: Float[Array, "2"],
    shelves: Float[Array, "R 4"],
) -> Bool[Array, ""]:
    """Return whether a disc touches a shelf, or a wall of the hall."""
    beyond = jnp.maximum(shelves[:, :2] - position, position - shelves[:, 2:])
    apart = (jnp.maximum(beyond, 0.0) ** 2).sum(-1)
    outside = (position < radius) | (position > size - radius)
    return (apart < radius**2).any() | outside.any()
