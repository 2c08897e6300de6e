"""Exact search in memory over the rows of a collection in a folder.

Milvus Lite walks all rows in Python for each search, 2 s at a million. Here a filter is a mask of
columns, and all distances are computed, in the arithmetic of `embrl.portable`: recall is 1.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from embrl.store.filters import Condition

CHUNK = 2**14
"""Rows whose distances are computed at a time, so that they stay in the processor's cache."""

TYPES: dict[str, Any] = {
    "number": np.float64,
    "integer": np.int64,
    "flag": np.bool_,
    "text": np.dtypes.StringDType(),
}
"""NumPy's types of the kinds of columns."""


class StoredRows(NamedTuple):
    """Rows of a collection."""

    ids: Int[np.ndarray, " n"]
    vectors: Float[np.ndarray, "n d"]
    columns: dict[str, np.ndarray]


class Mirror:
    """Rows in memory; writes change it after they are on disk."""

    def __init__(self, rows: StoredRows) -> None:
        self._lock = threading.Lock()
        self._ids = rows.ids
        self._axes = np.ascontiguousarray(rows.vectors.T)
        self._columns = dict(rows.columns)
        self._alive = np.ones(len(rows.ids), bool)
        self._where = dict(zip(rows.ids.tolist(), range(len(rows.ids)), strict=True))
        self._size = len(rows.ids)

    def __len__(self) -> int:
        return len(self._where)

    def upsert(self, rows: StoredRows) -> None:
        """Add rows, in place of those with the same ids."""
        with self._lock:
            self._grow(self._size + len(rows.ids))
            numbers, first = rows.ids.tolist(), self._size
            before = [self._where[each] for each in numbers if each in self._where]
            self._alive[before] = False
            self._size += len(numbers)
            new = slice(first, self._size)
            self._ids[new] = rows.ids
            self._axes[:, new] = rows.vectors.T
            self._alive[new] = True
            for name, values in rows.columns.items():
                self._columns[name][new] = values
            self._where.update(zip(numbers, range(first, self._size), strict=True))

    def delete(self, ids: Iterable[int]) -> None:
        """Remove rows; those that are not there are passed over."""
        with self._lock:
            for number in ids:
                place = self._where.pop(number, None)
                if place is not None:
                    self._alive[place] = False

    def get(self, ids: Int[np.ndarray, " n"]) -> StoredRows:
        """Return the rows with these ids that are there, in this order."""
        with self._lock:
            found = [self._where[each] for each in ids.tolist() if each in self._where]
            return self._rows(np.array(found, int))

    def select(self, condition: Condition | None, limit: int | None = None) -> StoredRows:
        """Return the rows that a filter lets through, by their ids."""
        with self._lock:
            places = np.flatnonzero(self._mask(condition))
            return self._rows(places[np.argsort(self._ids[places])][:limit])

    def search(
        self,
        queries: Float[np.ndarray, "q d"],
        k: int,
        condition: Condition | None,
        columns: bool = True,
    ) -> list[tuple[StoredRows, Float[np.ndarray, " k"]]]:
        """Return the nearest rows of each query, nearest first, and their squared distances.

        Of rows at the same distance, the one with the lower id comes first.

        Args:
            queries: points.
            k: number of rows, at most.
            condition: which rows count; None: all.
            columns: whether the rows have their metadata.
        """
        with self._lock:
            mask = self._mask(condition)
            few = None
            if 10 * mask.sum() < len(mask):  # gathering them is cheaper than passing the others by
                few = np.flatnonzero(mask)
            count = len(mask) if few is None else len(few)
            step = max(1, CHUNK // max(count, 1))  # few rows are compared with many queries at once
            found = []
            for start in range(0, len(queries), step):
                found += self._nearest(queries[start : start + step], k, mask, few)
            return [(self._rows(near, columns), far) for near, far in found]

    def _nearest(
        self, queries: np.ndarray, k: int, mask: np.ndarray, few: np.ndarray | None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the places of the nearest rows of each query, and their distances."""
        found = [(np.zeros(0, int), np.zeros(0, np.float32)) for _ in queries]
        for start in range(0, len(mask) if few is None else len(few), CHUNK):
            part: Any = slice(start, start + CHUNK)
            if few is not None:
                part = few[part]
            distances = self._distances(queries, part)
            if few is None:
                distances[:, ~mask[part]] = np.inf
            for at, distance in enumerate(distances):
                near, far = found[at]
                if len(far) == k:
                    kept = np.flatnonzero(distance <= far[-1])
                elif len(distance) > k:
                    kept = np.flatnonzero(distance <= np.partition(distance, k - 1)[k - 1])
                else:
                    kept = np.arange(len(distance))
                kept = kept[distance[kept] < np.inf]
                places = start + kept if few is None else part[kept]
                near, far = np.append(near, places), np.append(far, distance[kept])
                best = np.lexsort((self._ids[near], far))[:k]
                found[at] = near[best], far[best]
        return found

    def _distances(self, queries: np.ndarray, part: Any) -> np.ndarray:
        total: Any = 0.0
        for axis, values in zip(self._axes, queries.T, strict=True):
            apart = axis[: self._size][part] - values[:, None]
            np.multiply(apart, apart, out=apart)
            total = np.add(total, apart, out=apart if isinstance(total, float) else total)
        return total

    def _mask(self, condition: Condition | None) -> np.ndarray:
        alive = self._alive[: self._size]
        if condition is None:
            return alive
        columns = {name: values[: self._size] for name, values in self._columns.items()}
        columns["id"] = self._ids[: self._size]
        return alive & condition.mask(columns)

    def _rows(self, places: np.ndarray, columns: bool = True) -> StoredRows:
        found = {name: values[places] for name, values in self._columns.items() if columns}
        return StoredRows(self._ids[places], np.ascontiguousarray(self._axes[:, places].T), found)

    def _grow(self, size: int) -> None:
        """Make room, and leave out the places of rows that are gone, once they are many."""
        capacity = len(self._ids)
        if size <= capacity:
            return
        places = np.flatnonzero(self._alive[: self._size])
        wanted = max(1024, 2 * (len(places) + size - self._size))

        def moved(values: np.ndarray) -> np.ndarray:
            new = np.zeros((*values.shape[:-1], wanted), values.dtype)
            new[..., : len(places)] = values[..., : self._size][..., places]
            return new

        self._ids, self._axes, self._alive = map(moved, (self._ids, self._axes, self._alive))
        self._columns = {name: moved(values) for name, values in self._columns.items()}
        self._size = len(places)
        self._where = dict(zip(self._ids[: self._size].tolist(), range(self._size), strict=True))


def latest(
    ids: Int[np.ndarray, " n"],
    written: Int[np.ndarray, " n"],
    deleted: Mapping[int, int],
) -> np.ndarray:
    """Return the places of the rows that hold, of all that were ever written.

    Args:
        ids: of the rows; several may have the same.
        written: when each was written; the last one holds.
        deleted: when ids were deleted.
    """
    order = np.lexsort((written, ids))
    last = np.append(ids[order][1:] != ids[order][:-1], True) if len(ids) else np.zeros(0, bool)
    places = order[last]
    if deleted:
        gone = np.array([deleted.get(each, -1) for each in ids[places].tolist()], np.int64)
        places = places[gone <= written[places]]
    return np.sort(places)
