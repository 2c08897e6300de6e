"""Numbers in units that networks like, and back."""

import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Standardised:
    """Less a centre, and in units of a width."""

    centre: np.ndarray
    """float32 `[m]`."""
    width: np.ndarray
    """float32 `[]` or `[m]`."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values - self.centre) / self.width


@dataclasses.dataclass(frozen=True, eq=False)
class Limits:
    """Of a box, coordinate by coordinate."""

    low: np.ndarray
    """float32 `[p]`, -inf where there is none."""
    high: np.ndarray
    """The other side, inf where there is none."""
    centre: np.ndarray | None
    """float32 `[p]`: where coordinates without a finite range were seen to lie; None: nothing is
    known of that."""
    width: np.ndarray | None
    """How wide."""
    farthest: float
    """Widths from the centre, at most, that are told apart; the largest float32: all."""

    @functools.cached_property
    def ranged(self) -> np.ndarray:
        """Coordinates with a finite range, bool `[p]`."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.isfinite(self.high - self.low)

    @functools.cached_property
    def finite(self) -> tuple[np.ndarray, np.ndarray]:
        """Both sides, -1 and 1 in place of what is not finite."""
        ranged = self.ranged
        one = np.float32(1.0)
        return np.where(ranged, self.low, -one), np.where(ranged, self.high, one)


@dataclasses.dataclass(frozen=True, eq=False)
class Scaled:
    """A box for networks, as `embrl.core.scaling.RawBox` has it: to [-1, 1] by its bounds; else by what
    was seen; and where nothing was, s / (1 + |s|).
    """

    limits: Limits

    def __call__(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values, np.float32)
        low, high = self.limits.finite
        scaled = np.float32(2.0) * ((values - low) / (high - low)) - np.float32(1.0)
        ranged = self.limits.ranged
        if ranged.all():
            return scaled
        if self.limits.centre is None:
            other = values / (np.float32(1.0) + np.abs(values))
        else:
            other = (values - self.limits.centre) / self.limits.width
            other = np.clip(other, -self.limits.farthest, self.limits.farthest)
        return np.where(ranged, scaled, other)


@dataclasses.dataclass(frozen=True, eq=False)
class Original:
    """The inverse, and into the bounds."""

    limits: Limits

    def __call__(self, values: np.ndarray) -> np.ndarray:
        low, high = self.limits.finite
        original = low + np.float32(0.5) * (values + np.float32(1.0)) * (high - low)
        ranged = self.limits.ranged
        if not ranged.all():
            other = values
            if self.limits.centre is not None:
                other = self.limits.centre + self.limits.width * values
            original = np.where(ranged, original, other)
        return np.clip(original, self.limits.low, self.limits.high)
