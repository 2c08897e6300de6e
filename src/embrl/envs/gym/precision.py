"""Numbers that float32 cannot tell apart, such as times in seconds since 1970: found and named."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from embrl.core.spaces import COARSE
from embrl.envs.gym.flat_observations import Numbers, Observations

WATCHED = 256
"""Observations of the first environment that are looked at."""

LOOKS = (8, 32, 128, WATCHED)
"""Numbers of observations after which they are looked at."""

TOLERATED = 0.1
"""Fraction of a change that rounding may add or take away, and of changes where it may be more."""


class PrecisionWatch:
    """Look at the first observations of one environment, and warn of what float32 rounds away."""

    def __init__(self, name: str, observations: Observations) -> None:
        """Begin to watch.

        Args:
            name: Name of the environment, for the message.
            observations: Converter of its observations.
        """
        self._name, self._read = name, observations
        self._parts = observations.numbers
        self._rows: list[np.ndarray] = []
        self.over = not self._parts
        """True if there is nothing more to look at."""

    def __call__(self, observation: Any, row: int | None = None) -> None:
        """Look at an observation as the environment gives it, whatever it is.

        Args:
            observation: Of one environment, or of several.
            row: Which of several; None: there is one.
        """
        if self.over:
            return
        try:
            parts = [np.asarray(part.leaf.of(observation)) for part in self._parts]
            parts = parts if row is None else [part[row] for part in parts]
            self.over = all(part.dtype in (np.float32, np.float16) for part in parts)
            values = _counted_from(self._parts, [part.reshape(1, -1) for part in parts])
        except (TypeError, ValueError, KeyError, IndexError):  # found and said elsewhere
            self.over = True
            return
        self._rows.append(values)
        if len(self._rows) in LOOKS:
            found = warning(np.concatenate(self._rows), self._parts)
            if found:
                self._read.warn("precision", f"{self._name}: {found}")
            self.over = bool(found) or len(self._rows) == WATCHED


def warning_of(observations: Observations, values: Any) -> str | None:
    """Return `warning` for consecutive observations, with a leading axis `[N]` in each leaf."""
    parts = observations.numbers
    if not parts:
        return None
    found = [np.asarray(part.leaf.of(values)) for part in parts]
    return warning(_counted_from(parts, [each.reshape(len(each), -1) for each in found]), parts)


def _counted_from(parts: Sequence[Numbers], values: Sequence[np.ndarray]) -> np.ndarray:
    """Return the values of parts, `[N, p]` each, less their offsets, float64 `[N, p]`."""
    return np.concatenate(
        [
            value.astype(np.float64) - (0.0 if part.offset is None else part.offset)
            for part, value in zip(parts, values, strict=True)
        ],
        -1,
    )


def warning(values: np.ndarray, parts: Sequence[Numbers]) -> str | None:
    """Return what to say of the first coordinate whose changes are lost in float32; None: nothing.

    Args:
        values: consecutive observations, float64 `[N, p]`.
        parts: their parts.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = values.astype(np.float32).astype(np.float64)
        change, kept = np.diff(values, axis=0), np.diff(rounded, axis=0)
        lost = np.abs(change - kept) > TOLERATED * np.abs(change)
    lost &= (np.abs(values[1:]) >= COARSE) & np.isfinite(kept)
    moved = (change != 0).sum(0)
    found = np.flatnonzero((moved > 0) & (lost.sum(0) > TOLERATED * moved))
    if not len(found):
        return None
    at = int(found[0])
    step = int(np.argmax(lost[:, at]))
    value = values[step + 1, at]
    name = [name for part in parts for name in part.names][at]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return (
        f"{name} of its observation{more} loses its precision in float32, which keeps {value:.12g} "
        f"to the nearest {np.spacing(np.float32(abs(value))):g}, and changes such as "
        f"{change[step, at]:.3g} are lost; subtract a constant from it "
        "(gymnasium.wrappers.TransformObservation)"
    )
