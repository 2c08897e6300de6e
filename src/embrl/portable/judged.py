"""f by distance, then by a critic."""

import dataclasses

import numpy as np

from embrl.portable.chain import Chain

AT_ONCE = 2**22
"""Distances, or numbers of a critic's layer, in memory at once."""


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """Of the k points of a table that are nearest, the one whose lower value of two critics is
    highest; among equals the nearest, then the lowest index (`embrl.decoding.Wolpertinger`). With
    k None, of all points, wherever one asks (`BestAction`).
    """

    table: np.ndarray
    """float32 `[n, d]`."""
    k: int | None
    below: tuple[Chain, Chain]
    """Of both critics: from features x to the first layer, `[..., h]`."""
    beside: np.ndarray
    """The first layers' weights of a point, float32 `[2, d, h]`."""
    above: tuple[Chain, Chain]
    """From the first layer on, to values `[..., 1]`."""

    def __call__(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """
        Arguments:
            x: features `[..., m]`, or factors `[..., k]`.
            u: points `[..., d]`.

        **Returns** int32 `[...]`.
        """
        lead = u.shape[:-1]
        xs, us = x.reshape((-1, x.shape[-1])), u.reshape((-1, u.shape[-1]))
        n, width = len(self.table), self.beside.shape[-1]
        rows = max(1, AT_ONCE // max(n, min(self.k or n, n) * width))
        found = np.empty(len(us), np.int32)
        for begin in range(0, len(us), rows):
            part = slice(begin, begin + rows)
            found[part] = self._some(xs[part], us[part])
        return found.reshape(lead)

    def _some(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        if self.k is None or len(self.table) == 1:
            return self._values(x, self.table).argmax(-1)
        distance = np.zeros((len(u), len(self.table)), np.float32)
        for axis in range(self.table.shape[1]):
            distance += (u[:, axis, None] - self.table[:, axis]) ** 2
        near = distance.argsort(-1, kind="stable")[:, : self.k]
        best = self._values(x, self.table[near]).argmax(-1)
        return np.take_along_axis(near, best[:, None], -1)[:, 0]

    def _values(self, x: np.ndarray, e: np.ndarray) -> np.ndarray:
        """Of points, `[B, k]`."""
        one, other = (
            above(below(x)[..., None, :] + e @ weights)[..., 0]
            for below, weights, above in zip(self.below, self.beside, self.above, strict=True)
        )
        return np.minimum(one, other)
