"""Scaling of continuous vectors to the form that networks take in and give out, and back."""

from typing import Any, NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.core.spaces import bounds

FARTHEST = 10.0
"""Number of standard deviations that coordinates scaled by statistics are clipped to."""

NARROWEST = 1e-6
"""Standard deviation below which a coordinate counts as constant."""


class Scale(eqx.Module):
    """Centring and division of coordinates, by their mean and standard deviation.

    No gradient reaches these statistics.
    """

    centre: Float[Array, " p"]
    width: Float[Array, " p"]

    @classmethod
    def identity(cls, p: int) -> "Scale":
        """Return a scale that leaves `p` coordinates as they are, up to `FARTHEST`."""
        return cls(jnp.zeros(p), jnp.ones(p))

    @classmethod
    def of(cls, values: Float[Array, "*batch p"]) -> "Scale":
        """Return the scale of values; a coordinate that does not vary is only centred."""
        values = values.reshape(-1, values.shape[-1])
        return cls.from_moments(values.mean(0), values.var(0))

    @classmethod
    def from_moments(cls, centre: Float[Array, " p"], variance: Float[Array, " p"]) -> "Scale":
        """Return the scale of coordinates with this mean and variance."""
        varies = variance > NARROWEST**2
        # No square root of 0: its gradient would be infinite.
        return cls(centre, jnp.sqrt(jnp.where(varies, variance, 1.0)))

    def down(self) -> "Scale":
        """Return a scale that enlarges nothing.

        A coordinate that is nearly always 0 then stays small when it is not.
        """
        return Scale(self.centre, jnp.maximum(self.width, 1.0))

    def __call__(self, values: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        """Return scaled values, clipped to `FARTHEST` standard deviations."""
        centre, width = jax.lax.stop_gradient((self.centre, self.width))
        return jnp.clip((values - centre) / width, -FARTHEST, FARTHEST)

    def inverse(self, values: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        """Return scaled values in their original units."""
        centre, width = jax.lax.stop_gradient((self.centre, self.width))
        return centre + width * values


class RunningStats(NamedTuple):
    """Running mean and variance of the coordinates of a `Box`."""

    steps: Float[Array, ""]
    """Number of vectors so far."""
    centre: Float[Array, " p"]
    variance: Float[Array, " p"]
    """Population variance; unlike the width of the scale, 0 as long as nothing varies."""

    @classmethod
    def empty(cls, p: int) -> "RunningStats":
        """Return the statistics before the first vector; their scale is the identity."""
        return cls(jnp.float32(0.0), jnp.zeros(p), jnp.zeros(p))

    @property
    def scale(self) -> Scale:
        """Scale by this mean and variance."""
        return Scale.from_moments(self.centre, self.variance)

    def update(self, values: Float[Array, "*batch p"]) -> "RunningStats":
        """Return the statistics with more vectors included (Chan et al. 1979)."""
        values = values.reshape(-1, values.shape[-1])
        more = jnp.float32(values.shape[0])
        total = self.steps + more
        fraction = more / total
        shift = values.mean(0) - self.centre
        variance = (1.0 - fraction) * (self.variance + fraction * shift**2)
        variance += fraction * values.var(0)
        return RunningStats(total, self.centre + fraction * shift, variance)


class RawBox(eqx.Module):
    """Scaling of a `Box` with one axis.

    Coordinates with finite bounds are scaled to [-1, 1]. A coordinate s without a finite range is
    scaled by statistics of observed values, left unchanged, or, by default, squashed to
    `s / (1 + |s|)`, which lies between -1 and 1 and preserves the order.
    """

    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
    scale: Scale | None
    """Statistics of the coordinates; None where all are bounded, or none are kept."""
    unchanged: bool = eqx.field(static=True)
    """Whether unbounded coordinates are left unchanged."""

    def __init__(
        self, space: gymnasium.Space, *, scaled: bool = False, unchanged: bool = False
    ) -> None:
        """Create the scaling of a space.

        Args:
            space: a `Box` with one axis.
            scaled: whether unbounded coordinates are scaled by statistics; until there are some,
                they are only clipped to `FARTHEST`.
            unchanged: whether unbounded coordinates are left unchanged, without a limit.
        """
        assert not (scaled and unchanged)
        self.unchanged = unchanged
        low, high = bounds(space)
        self.low, self.high = tuple(low.tolist()), tuple(high.tolist())
        self.scale = Scale.identity(len(low)) if scaled and not self.bounded else None

    @property
    def features(self) -> int:
        """Number of coordinates, p."""
        return len(self.low)

    @property
    def bounded(self) -> bool:
        """True if every coordinate has a finite range."""
        return bool(self._limits()[2].all())

    def seen(self, values: Float[Array, "*batch p"]) -> "RawBox":
        """Return the scaling with the statistics of these values, if it uses statistics."""
        return self.scaled_by(Scale.of(values))

    def scaled_by(self, scale: Scale) -> "RawBox":
        """Return the scaling with another scale, if it has one."""
        if self.scale is None:
            return self
        return eqx.tree_at(lambda box: box.scale, self, scale)

    def __call__(self, values: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        """Return values of the box in the form that networks take in."""
        low, high, ranged = self._limits()
        # In this order, bounds far from 0 cost no precision.
        scaled = 2.0 * ((values - low) / (high - low)) - 1.0
        if ranged.all():
            return scaled
        if self.scale is not None:
            other = self.scale(values)
        else:
            other = values if self.unchanged else values / (1.0 + jnp.abs(values))
        return jnp.where(ranged, scaled, other)

    def original(self, features: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        """Return outputs of networks as values of the box, clipped to its bounds.

        Inverts the scaling only where unbounded coordinates have a scale or are left unchanged.
        """
        low, high, ranged = self._limits()
        values = low + 0.5 * (features + 1.0) * (high - low)
        if not ranged.all():
            other = features if self.scale is None else self.scale.inverse(features)
            values = jnp.where(ranged, values, other)
        bottom, top = np.array(self.low, np.float32), np.array(self.high, np.float32)
        return jnp.clip(values, bottom, top)

    def _limits(self) -> tuple[Any, Any, np.ndarray]:
        """Return lower and upper bounds, and a mask of the coordinates whose range is finite.

        The bounds of other coordinates are -1 and 1.
        """
        low, high = np.array(self.low, np.float32), np.array(self.high, np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            ranged = np.isfinite(high - low)
        return np.where(ranged, low, -1.0), np.where(ranged, high, 1.0), ranged
