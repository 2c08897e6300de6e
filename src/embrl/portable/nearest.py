"""f for discrete actions: the exact nearest."""

import dataclasses
import functools
from typing import Any

import numpy as np

FEW = 4096
"""Points up to which comparing with all of them is quicker than a tree (one query, 2 to 8
dimensions)."""

AT_ONCE = 2**22
"""Distances in memory at once."""


@dataclasses.dataclass(frozen=True, eq=False)
class Nearest:
    """The point of a table that is nearest, by its index; the lowest among equal points.

    A tree (SciPy's cKDTree) looks among many points. It computes in float64, so that a decision
    between two points that are equally far within float32's rounding may differ from JAX's.
    """

    table: np.ndarray
    """float32 `[n, d]`."""
    allowed: np.ndarray | None = None
    """bool `[n]`: the points that may be found; None: all."""

    def __call__(self, values: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """
        Arguments:
            values: `[..., d]`.
            mask: bool `[..., n]`, True where a point may be found this time.

        **Returns** int32 `[...]`.
        """
        values = np.asarray(values, np.float32)
        if mask is not None:
            return self._compared(values, mask)
        if len(self._names) > FEW:
            try:
                found = self._tree.query(values)[1]
            except ValueError:  # not finite, which is looked for only now as that takes as long
                found = self._tree.query(np.nan_to_num(values))[1]
            return self._names[found]
        if values.ndim == 1:
            return self._names[self._one(values)]
        return self._names[self._all(values)]

    @functools.cached_property
    def _names(self) -> np.ndarray:
        """Of the points to look among: the first of each several equal ones, in order."""
        if len(self.table) <= FEW and self.allowed is None:
            return np.arange(len(self.table), dtype=np.int32)
        chosen = (
            np.arange(len(self.table)) if self.allowed is None else np.flatnonzero(self.allowed)
        )
        _, first = np.unique(self.table[chosen], axis=0, return_index=True)
        return chosen[np.sort(first)].astype(np.int32)

    @functools.cached_property
    def _columns(self) -> np.ndarray:
        return np.ascontiguousarray(self.table[self._names].T)

    @functools.cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree  # type: ignore[attr-defined]

        return cKDTree(self.table[self._names])

    def _one(self, e: np.ndarray) -> np.intp:
        apart = self._columns - e[:, None]
        return (apart * apart).sum(0).argmin()

    def _all(self, e: np.ndarray) -> np.ndarray:
        points = e.reshape(-1, e.shape[-1])
        rows = max(1, AT_ONCE // self._columns.size)
        found = np.empty(len(points), np.int64)
        for begin in range(0, len(points), rows):
            apart = self._columns - points[begin : begin + rows, :, None]
            found[begin : begin + rows] = (apart * apart).sum(1).argmin(-1)
        return found.reshape(e.shape[:-1])

    def _compared(self, e: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """With all points, one query after another."""
        if self.allowed is not None:
            mask = mask & self.allowed
        n = len(self.table)
        lead = np.broadcast_shapes(e.shape[:-1], mask.shape[:-1])
        points = np.broadcast_to(e, (*lead, e.shape[-1])).reshape(-1, e.shape[-1])
        masks = np.broadcast_to(mask, (*lead, n)).reshape(-1, n)
        found = np.empty(len(points), np.int32)
        for row, (point, allowed) in enumerate(zip(points, masks, strict=True)):
            names = np.flatnonzero(allowed)
            apart = self.table[names] - point
            found[row] = names[(apart * apart).sum(-1).argmin()]
        return found.reshape(lead)
