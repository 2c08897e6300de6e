"""Vectors of numbers within bounds, in the form that networks take in and give out."""

from typing import Any, NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.spaces import bounds

FARTHEST = 10.0
"""Of coordinates that are scaled by what was seen: what lies beyond so many standard deviations
counts as there."""

NARROWEST = 1e-6
"""Standard deviation of a coordinate that did not vary."""


class Scale(eqx.Module):
    """Where the coordinates of a box were seen to lie, and how wide. No gradient reaches it."""

    centre: Float[Array, " p"]
    width: Float[Array, " p"]

    @classmethod
    def none(cls, p: int) -> "Scale":
        """Leaves everything as it is."""
        return cls(jnp.zeros(p), jnp.ones(p))

    @classmethod
    def of(cls, seen: Float[Array, "*batch p"]) -> "Scale":
        """The mean and the standard deviation; a coordinate that does not vary is not scaled."""
        seen = seen.reshape(-1, seen.shape[-1])
        return cls.spread(seen.mean(0), seen.var(0))

    @classmethod
    def spread(cls, centre: Float[Array, " p"], variance: Float[Array, " p"]) -> "Scale":
        """The same of coordinates with this mean and variance."""
        varies = variance > NARROWEST**2
        # No root of 0, whose gradient would be infinite.
        return cls(centre, jnp.sqrt(jnp.where(varies, variance, 1.0)))

    def down(self) -> "Scale":
        """The same, but nothing becomes larger than it was: a coordinate that is nearly always 0
        stays small when it is not.
        """
        return Scale(self.centre, jnp.maximum(self.width, 1.0))

    def __call__(self, values: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        centre, width = jax.lax.stop_gradient((self.centre, self.width))
        return jnp.clip((values - centre) / width, -FARTHEST, FARTHEST)

    def undone(self, values: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        """Back to the units of the box."""
        centre, width = jax.lax.stop_gradient((self.centre, self.width))
        return centre + width * values


class RunningStats(NamedTuple):
    """What was seen of a box so far, in a form that can go on."""

    steps: Float[Array, ""]
    centre: Float[Array, " p"]
    variance: Float[Array, " p"]
    """Not the width of the scale, which is 1 as long as nothing varies."""

    @classmethod
    def empty(cls, p: int) -> "RunningStats":
        """Before the first observation: its scale leaves everything as it is."""
        return cls(jnp.float32(0.0), jnp.zeros(p), jnp.zeros(p))

    @property
    def scale(self) -> Scale:
        """What follows from it."""
        return Scale.spread(self.centre, self.variance)

    def update(self, values: Float[Array, "*batch p"]) -> "RunningStats":
        """These as well. Means and variances are joined as by Chan et al. (1979)."""
        values = values.reshape(-1, values.shape[-1])
        more = jnp.float32(values.shape[0])
        total = self.steps + more
        share = more / total
        apart = values.mean(0) - self.centre
        variance = (1.0 - share) * (self.variance + share * apart**2) + share * values.var(0)
        return RunningStats(total, self.centre + share * apart, variance)


class RawBox(eqx.Module):
    """A `Box` of one axis, scaled: by its bounds to [-1, 1], and where a coordinate s has no finite
    range, by what was seen of it. As long as nothing is known of it, s becomes s / (1 + |s|): that
    is between -1 and 1 as well, and neighbours stay neighbours. Or it is left alone.
    """

    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
    scale: Scale | None
    """None where all coordinates are bounded, or nothing is to be known."""
    unchanged: bool = eqx.field(static=True)
    """Whether unbounded coordinates stay as they are."""

    def __init__(
        self, space: gymnasium.Space, *, scaled: bool = False, unchanged: bool = False
    ) -> None:
        """Arguments:
        scaled: whether unbounded coordinates are scaled by what is seen; until then, `scale`
            leaves them as they are, up to `FARTHEST`.
        unchanged: whether they are left as they are, however far they go.
        """
        assert not (scaled and unchanged)
        self.unchanged = unchanged
        low, high = bounds(space)
        self.low, self.high = tuple(low.tolist()), tuple(high.tolist())
        self.scale = Scale.none(len(low)) if scaled and not self.bounded else None

    @property
    def features(self) -> int:
        """Coordinates, p."""
        return len(self.low)

    @property
    def bounded(self) -> bool:
        """Whether every coordinate has a finite range."""
        return bool(self._limits()[2].all())

    def seen(self, values: Float[Array, "*batch p"]) -> "RawBox":
        """The same, scaled by these values as far as it is scaled by what was seen."""
        return self.scaled_by(Scale.of(values))

    def scaled_by(self, scale: Scale) -> "RawBox":
        """The same with another scale, if it has one."""
        if self.scale is None:
            return self
        return eqx.tree_at(lambda box: box.scale, self, scale)

    def __call__(self, values: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        """For networks."""
        low, high, ranged = self._limits()
        # In this order bounds far from 0 cost no precision.
        scaled = 2.0 * ((values - low) / (high - low)) - 1.0
        if ranged.all():
            return scaled
        if self.scale is not None:
            other = self.scale(values)
        else:
            other = values if self.unchanged else values / (1.0 + jnp.abs(values))
        return jnp.where(ranged, scaled, other)

    def original(self, features: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        """Back from what networks give out, and into the bounds. Needs a scale, if there are
        unbounded coordinates.
        """
        low, high, ranged = self._limits()
        values = low + 0.5 * (features + 1.0) * (high - low)
        if not ranged.all():
            other = features if self.scale is None else self.scale.undone(features)
            values = jnp.where(ranged, values, other)
        bottom, top = np.array(self.low, np.float32), np.array(self.high, np.float32)
        return jnp.clip(values, bottom, top)

    def _limits(self) -> tuple[Any, Any, np.ndarray]:
        """Finite ones, and which coordinates have such."""
        low, high = np.array(self.low, np.float32), np.array(self.high, np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            ranged = np.isfinite(high - low)
        return np.where(ranged, low, -1.0), np.where(ranged, high, 1.0), ranged
