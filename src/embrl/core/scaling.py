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

TRUSTED = 256.0
"""Largest width of finite bounds that coordinates are scaled by whatever is observed."""

TOO_WIDE = 100.0
"""Number of standard deviations from which wider bounds say too little of a coordinate."""


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

    Statistics count for coordinates with wide bounds, too: those more than `TRUSTED` apart, if
    observed values show that they are `TOO_WIDE`. Between bounds of 1e10, values of 100 would all
    be the same.
    """

    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
    scale: Scale | None
    """Statistics of the coordinates; None where all have trusted bounds, or none are kept."""
    unchanged: bool = eqx.field(static=True)
    """Whether unbounded coordinates are left unchanged."""

    def __init__(
        self, space: gymnasium.Space, *, scaled: bool = False, unchanged: bool = False
    ) -> None:
        """Create the scaling of a space.

        Args:
            space: a `Box` with one axis.
            scaled: whether coordinates without bounds, or with too wide ones, are scaled by
                statistics; until there are some, the former are only clipped to `FARTHEST`, and
                the latter scaled by their bounds.
            unchanged: whether unbounded coordinates are left unchanged, without a limit.
        """
        assert not (scaled and unchanged)
        self.unchanged = unchanged
        low, high = bounds(space)
        self.low, self.high = tuple(low.tolist()), tuple(high.tolist())
        self.scale = None
        if scaled and not (self._ranged() & ~self._wide()).all():
            self.scale = self._unless_trusted(Scale.identity(len(low)), False)

    @property
    def features(self) -> int:
        """Number of coordinates, p."""
        return len(self.low)

    def seen(self, values: Float[Array, "*batch p"]) -> "RawBox":
        """Return the scaling with the statistics of these values, if it uses statistics."""
        return self.scaled_by(Scale.of(values))

    def scaled_by(self, scale: Scale, known: Any = True) -> "RawBox":
        """Return the scaling with another scale, if it has one.

        Args:
            scale: mean and standard deviation of observed values.
            known: whether anything was observed; else wide bounds are trusted.
        """
        if self.scale is None:
            return self
        return eqx.tree_at(lambda box: box.scale, self, self._unless_trusted(scale, known))

    def _unless_trusted(self, scale: Scale, known: Any) -> Scale:
        """Return a scale that scales wide coordinates by their bounds, where these say enough."""
        wide = self._wide()
        if not wide.any():
            return scale
        low, high = (np.array(side, np.float32) for side in (self.low, self.high))
        low, high = np.where(wide, low, -1.0), np.where(wide, high, 1.0)
        trusted = wide & ~(known & (high - low > TOO_WIDE * scale.width))
        return Scale(
            jnp.where(trusted, low + 0.5 * (high - low), scale.centre),
            jnp.where(trusted, 0.5 * (high - low), scale.width),
        )

    def __call__(self, values: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        """Return values of the box in the form that networks take in."""
        low, high, ranged = self.limits()
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
        low, high, ranged = self.limits()
        values = low + 0.5 * (features + 1.0) * (high - low)
        if not ranged.all():
            other = features if self.scale is None else self.scale.inverse(features)
            values = jnp.where(ranged, values, other)
        bottom, top = np.array(self.low, np.float32), np.array(self.high, np.float32)
        return jnp.clip(values, bottom, top)

    def limits(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return bounds that coordinates are scaled by, and a mask of the coordinates that are.

        The bounds of other coordinates are -1 and 1.
        """
        low, high = np.array(self.low, np.float32), np.array(self.high, np.float32)
        ranged = self._ranged() if self.scale is None else self._ranged() & ~self._wide()
        one = np.float32(1.0)
        return np.where(ranged, low, -one), np.where(ranged, high, one), ranged

    def _ranged(self) -> np.ndarray:
        """Return which coordinates have a finite range."""
        return np.isfinite(self._width())

    def _wide(self) -> np.ndarray:
        """Return which coordinates have a finite range that may be too wide."""
        width = self._width()
        return np.isfinite(width) & (width > TRUSTED)

    def _width(self) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.array(self.high, np.float32) - np.array(self.low, np.float32)
