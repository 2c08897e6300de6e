"""One collection: rows in, rows out, and searches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from embrl.core.errors import EmbrlError, SettingError
from embrl.core.spaces import array_of
from embrl.store.embedded import Embedded
from embrl.store.filters import KINDS, Condition, Given, both, parsed
from embrl.store.mirror import TYPES, Mirror, StoredRows
from embrl.store.record import TEXT_LENGTH, CollectionRecord

BATCH_ROWS = 10_000
"""Rows written at once, at most."""
BATCH_BYTES = 2**24
"""Bytes of the vectors written at once, at most; messages are limited to 64 MB."""
QUERIES = 16
"""Queries of a server at once: a flat index computes all of their distances side by side."""
MOST = 10_000
"""Rows that one search returns, at most."""


Metadata = Mapping[str, Sequence[Any] | np.ndarray]
"""Values by column."""


class Hit(NamedTuple):
    """A row that a search found."""

    id: int
    distance: float
    """Euclidean distance from the query; 0 where there is none."""
    vector: Float[np.ndarray, " d"]
    metadata: dict[str, Any]


class Client:
    """pymilvus' client, whose errors name the store."""

    def __init__(self, client: Any, what: str) -> None:
        self._client, self._what = client, what

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self._client, name)

        def call(*arguments: Any, **settings: Any) -> Any:
            try:
                return function(*arguments, **settings)
            except Exception as error:  # gRPC's and pymilvus' have no common base
                said = getattr(error, "message", None) or str(error)
                raise EmbrlError(f"{self._what}: {said}") from error

        return call


class Collection:
    """Rows of vectors and metadata, all of one embedding."""

    def __init__(self, record: CollectionRecord, client: Client, embedded: Embedded | None) -> None:
        self.record = record
        self._client = client
        self._embedded = embedded
        self._mirror: Mirror | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        if (mirror := self._mirrored()) is not None:
            return len(mirror)
        found = self._client.query(self.record.internal, output_fields=["count(*)"])
        return int(found[0]["count(*)"])

    def upsert(
        self,
        ids: ArrayLike,
        vectors: ArrayLike,
        metadata: Metadata | None = None,
    ) -> int:
        """Write rows, in place of those with the same ids, and return how many.

        They are written in parts of up to 10,000. If the process ends in between, the parts that
        were finished are there.

        Args:
            ids: whole numbers `[n]`.
            vectors: `[n, dim]`.
            metadata: values `[n]` of every column.

        Raises:
            EmbrlError: a value has another form; then nothing was written.
        """
        rows = self._checked(ids, vectors, metadata or {})
        mirror = self._mirrored()  # first: what is written can then be found without reading it
        # For Milvus Lite an insert replaces, too, and its upsert reads each row first.
        write = self._client.upsert if self._embedded is None else self._client.insert
        step = max(1, min(BATCH_ROWS, BATCH_BYTES // (4 * self.record.dim)))
        for start in range(0, len(rows.ids), step):
            part = _part(rows, slice(start, start + step))
            columns = {name: values.tolist() for name, values in part.columns.items()}
            columns["id"] = part.ids.tolist()
            names = list(columns)
            data = [
                dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)
            ]
            for row, vector in zip(data, part.vectors, strict=True):
                row["vector"] = vector
            write(self.record.internal, data)
            if mirror is not None:
                mirror.upsert(part)
        return len(rows.ids)

    def delete(self, ids: ArrayLike | None = None, filter: Given = None) -> int:  # noqa: A002
        """Delete rows by their ids or by a filter, and return how many there were.

        Raises:
            EmbrlError: neither is given, or it has another form.
        """
        if (ids is None) == (not filter):
            raise SettingError("ids or filter", "given, one of the two", "both or none")
        if filter:
            condition = parsed(filter, self._kinds)
            ids = np.array([hit.id for hit in self.select(condition, MOST)], np.int64)
        found = [hit.id for hit in self.get(np.unique(_whole(ids)))]
        if found:
            self._client.delete(self.record.internal, ids=found)
            if self._mirror is not None:
                self._mirror.delete(found)
        if filter and len(found) == MOST:  # there may be more
            return len(found) + self.delete(filter=filter)
        return len(found)

    def get(self, ids: ArrayLike) -> list[Hit]:
        """Return the rows with these ids that are there."""
        numbers = _whole(ids)
        if (mirror := self._mirrored()) is not None:
            return self._hits(mirror.get(numbers))
        rows = [
            row
            for start in range(0, len(numbers), MOST)
            for row in self._client.get(
                self.record.internal, numbers[start : start + MOST].tolist(), ["*"]
            )
        ]
        by_id = {row["id"]: row for row in rows}
        return self._hits(self._rows([by_id[each] for each in numbers.tolist() if each in by_id]))

    def select(self, filter: Given | Condition = None, limit: int = MOST) -> list[Hit]:  # noqa: A002
        """Return rows that a filter lets through; from a folder, those with the lowest ids."""
        condition = self._condition(filter)
        if (mirror := self._mirrored()) is not None:
            return self._hits(mirror.select(condition, limit))
        text = condition.expression() if condition is not None else f"id > {-(2**63 - 1)}"
        found = self._client.query(
            self.record.internal, filter=text, output_fields=["*"], limit=min(limit, MOST)
        )
        return self._hits(self._rows(sorted(found, key=lambda row: row["id"])))

    def search(
        self,
        vectors: ArrayLike,
        k: int = 10,
        filter: Given | Condition = None,  # noqa: A002
    ) -> list[list[Hit]]:
        """Return the k nearest rows of each vector, nearest first.

        Args:
            vectors: of the same embedding, `[q, dim]`.
            k: number of rows, at most.
            filter: which rows count (docs/store.md).

        Raises:
            EmbrlError: a value has another form.
        """
        return [self._hits(*found) for found in self.nearest(vectors, k, filter)]

    def nearest(
        self,
        vectors: ArrayLike,
        k: int,
        filter: Given | Condition = None,  # noqa: A002
        columns: bool = True,
    ) -> list[tuple[StoredRows, Float[np.ndarray, " k"]]]:
        """Return what `search` does as arrays, with squared distances, perhaps without metadata."""
        if not 1 <= k <= MOST:
            raise SettingError("k", f"1 to {MOST:,}", k)
        queries = self._vectors(vectors, None)
        condition = self._condition(filter)
        if (mirror := self._mirrored()) is not None:
            return mirror.search(queries, k, condition, columns)
        text = "" if condition is None else condition.expression()
        found = []
        for start in range(0, len(queries), QUERIES):
            part = queries[start : start + QUERIES]
            answers = self._client.search(
                self.record.internal, list(part), filter=text, limit=k, output_fields=["*"],
                search_params={"params": {"ef": max(256, 2 * k), "nprobe": 32}},
            )  # fmt: skip
            for query, answer in zip(part, answers, strict=True):
                rows = self._rows([{"id": row["id"], **row["entity"]} for row in answer])
                far = ((rows.vectors - query) ** 2).sum(1)
                order = np.lexsort((rows.ids, far))
                found.append((_part(rows, order), far[order]))
        return found

    def search_like(
        self,
        row: int | str,
        k: int = 10,
        filter: Given = None,  # noqa: A002
    ) -> list[Hit]:
        """Return the rows that are nearest to one of the rows, itself left out.

        Args:
            row: its id, or its text in the column `name`.
            k: number of rows, at most.
            filter: which rows count. `this.COLUMN` in it is that row's value, as in
                `"survival_mean > this.survival_mean"`.

        Raises:
            EmbrlError: there is no such row, or a value has another form.
        """
        this = self.row(row)
        values = {"id": this.id, **this.metadata}
        others = parsed({"id": {"!=": this.id}}, self._kinds)
        condition = both(others, parsed(filter, self._kinds, values))
        return self.search([this.vector], k, condition)[0]

    def row(self, row: int | str) -> Hit:
        """Return a row by its id, or by its text in the column `name`.

        Raises:
            EmbrlError: there is no such row.
        """
        found = self.select({"name": row}, 1) if isinstance(row, str) else self.get([row])
        if not found:
            raise SettingError("row", f"a row of {self.record.name}", repr(row))
        return found[0]

    def condition(self, given: Given) -> Condition | None:
        """Return a checked filter on this collection.

        Raises:
            EmbrlError: it is none, or does not fit the columns.
        """
        return parsed(given, self._kinds)

    @property
    def _kinds(self) -> dict[str, str]:
        return {"id": "integer", **self.record.columns}

    def _condition(self, given: "Given | Condition") -> Condition | None:
        if given is None or isinstance(given, str | Mapping):
            return parsed(given, self._kinds)
        return given

    def _mirrored(self) -> Mirror | None:
        if self._mirror is None and self._embedded is not None:
            self._mirror = Mirror(self._embedded.rows(self.record))
        return self._mirror

    def _hits(self, rows: StoredRows, distances: np.ndarray | None = None) -> list[Hit]:
        values = {name: column.tolist() for name, column in rows.columns.items()}
        far = np.zeros(len(rows.ids)) if distances is None else np.sqrt(distances)
        return [
            Hit(
                number,
                float(far[at]),
                rows.vectors[at],
                {n: each[at] for n, each in values.items()},
            )
            for at, number in enumerate(rows.ids.tolist())
        ]

    def _rows(self, rows: Sequence[Mapping[str, Any]]) -> StoredRows:
        """Return rows of a server as arrays."""
        ids = np.array([row["id"] for row in rows], np.int64)
        vectors = np.array([row["vector"] for row in rows], np.float32)
        columns = {
            name: np.array([row[name] for row in rows], TYPES[kind])
            for name, kind in self.record.columns.items()
        }
        return StoredRows(ids, vectors.reshape(len(rows), self.record.dim), columns)

    def _checked(self, ids: Any, vectors: Any, metadata: Mapping[str, Any]) -> StoredRows:
        numbers = _whole(ids)
        if len(np.unique(numbers)) < len(numbers):
            raise SettingError("ids", "different ones", "some twice")
        if metadata.keys() != self.record.columns.keys():
            wanted = ", ".join(self.record.columns) or "none"
            raise SettingError("metadata", f"columns {wanted}", ", ".join(metadata) or "none")
        columns = {
            name: _column(name, self.record.columns[name], values, len(numbers))
            for name, values in metadata.items()
        }
        return StoredRows(numbers, self._vectors(vectors, len(numbers)), columns)

    def _vectors(self, given: Any, count: int | None) -> np.ndarray:
        values = array_of(given, "vectors")
        wanted = f"[{count or 'n'}, {self.record.dim}]"
        right = values.ndim == 2 and values.shape[1] == self.record.dim
        if not right or values.dtype.kind not in "iuf" or count not in (None, len(values)):
            raise SettingError(
                "vectors", f"numbers {wanted}", f"{values.dtype}{list(values.shape)}",
                "vectors of different embeddings cannot be compared",
            )  # fmt: skip
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise SettingError("vectors", "finite", "inf or nan")
        return values


def _part(rows: StoredRows, part: Any) -> StoredRows:
    return StoredRows(
        rows.ids[part], rows.vectors[part], {n: values[part] for n, values in rows.columns.items()}
    )


def _whole(ids: Any) -> np.ndarray:
    values = array_of(ids, "ids")
    if values.ndim != 1 or (values.size and values.dtype.kind not in "iu"):
        raise SettingError("ids", "whole numbers [n]", f"{values.dtype}{list(values.shape)}")
    if values.size and values.max() >= 2**63:
        raise SettingError("ids", "below 2^63", values.max())
    return values.astype(np.int64)


def _column(name: str, kind: str, values: Any, count: int) -> np.ndarray:
    """Return the values of a column in their type; there may be none missing."""
    found = np.asarray(values)
    what = f"column {name}"
    if found.shape != (count,):
        raise SettingError(what, f"{count} values", f"{list(found.shape)}")
    letters = {"number": "iuf", "integer": "iu", "flag": "b", "text": "UT"}[kind]
    if found.dtype.kind not in letters and not (kind == "text" and _texts(found)):
        raise SettingError(
            what, f"values of type {KINDS[kind].__name__}", found.dtype, "none may be missing"
        )
    if kind == "number" and not np.isfinite(found).all():
        raise SettingError(what, "finite", found[int(np.argmin(np.isfinite(found)))])
    if kind == "text":
        longest = max((len(str(each).encode()) for each in found), default=0)
        if longest > TEXT_LENGTH:
            raise SettingError(what, f"at most {TEXT_LENGTH} bytes", longest)
    return found.astype(TYPES[kind])


def _texts(values: np.ndarray) -> bool:
    return values.dtype.kind == "O" and all(isinstance(each, str) for each in values)
