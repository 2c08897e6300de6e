"""What one observation or action is, in plain values: for files, checks and ONNX's inputs."""

import dataclasses
import math
from pathlib import Path
from typing import Any, Self

import numpy as np

from embrl.core.errors import EmbrlError


@dataclasses.dataclass(frozen=True, eq=False)
class Form:
    """An array of one kind of number, within bounds."""

    kind: str
    """Gymnasium's name of such a space."""
    shape: tuple[int, ...]
    dtype: str
    """NumPy's name, as the space has it."""
    low: np.ndarray
    """int64 or float64, of that shape; -inf where there is no bound."""
    high: np.ndarray

    @property
    def whole(self) -> bool:
        """Whether numbers are indices, not measures."""
        return self.kind != "Box"

    @property
    def size(self) -> int:
        """Numbers in one."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        if self.kind == "Discrete":
            return f"Discrete: a whole number from {self.low} to {self.high}"
        numbers = "whole numbers" if self.whole else "numbers"
        return f"{self.kind}: {numbers} of shape {list(self.shape)}"

    def checked(self, values: np.ndarray, first: int = 0) -> np.ndarray:
        """Rows of observations `[B, *shape]` in this form's kind of number.

        Arguments:
            first: the number of the first row, for messages.

        Raises:
            EmbrlError: a row is not in the space; the message says which and why.
        """
        if values.shape[1:] != self.shape and math.prod(values.shape[1:]) == self.size:
            values = values.reshape(len(values), *self.shape)  # as lines of text have them
        if values.shape[1:] != self.shape:
            raise EmbrlError(
                f"row {first} has shape {list(values.shape[1:])}, expected {list(self.shape)} "
                f"({self})"
            )
        if values.dtype.kind not in "iufb":
            raise EmbrlError(f"row {first} is made of {values.dtype}, not of numbers ({self})")
        # Compared in float32, as rounding may move a value across a bound that is not rounded too.
        with np.errstate(over="ignore"):
            seen = values if self.whole else values.astype(np.float32)
            low, high = (
                bound if self.whole else bound.astype(np.float32) for bound in (self.low, self.high)
            )
        fits = (low <= seen) & (seen <= high) & np.isfinite(seen)
        if self.whole and values.dtype.kind == "f":
            fits &= values == np.floor(values)
        if not fits.all():
            at = np.argwhere(~fits)[0].tolist()
            where = f" at {at[1:]}" if len(at) > 1 else ""
            bounds = f"{self.low[tuple(at[1:])]} to {self.high[tuple(at[1:])]}"
            raise EmbrlError(
                f"row {first + at[0]} has {values[tuple(at)]}{where}, expected {bounds} ({self})"
            )
        return values.astype(self.dtype)

    def to_json(self) -> dict[str, Any]:
        """In plain values; null where there is no bound."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "low": _plain(self.low),
            "high": _plain(self.high),
        }

    @classmethod
    def from_json(cls, value: Any, where: Path) -> Self:
        """The inverse.

        Raises:
            EmbrlError: the file `where` says something else.
        """
        try:
            shape = tuple(int(n) for n in value["shape"])
            dtype, kind = np.dtype(value["dtype"]), str(value["kind"])
            whole = np.int64 if kind != "Box" else np.float64
            low, high = (
                np.array([end if bound is None else bound for bound in value[name]], whole)
                for name, end in (("low", -np.inf), ("high", np.inf))
            )
            return cls(kind, shape, dtype.name, low.reshape(shape), high.reshape(shape))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise EmbrlError(f"{where} describes no space that is known here: {value}") from error


def _plain(values: np.ndarray) -> list[float | int | None]:
    return [value if math.isfinite(value) else None for value in values.ravel().tolist()]
