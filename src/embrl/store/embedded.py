"""The folder of an embedded store: Milvus Lite in this process, and what it holds read at once.

All uses of Milvus Lite's own Python classes are here. Through its server, as pymilvus offers it,
reading a million rows takes hours.
"""

import contextlib
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError, require
from embrl.storage import files
from embrl.store.mirror import TYPES, StoredRows, latest
from embrl.store.record import CollectionRecord

MARK = "store.json"
"""File by which a folder is known to be a store."""
FORMAT = 1


class Embedded:
    """Milvus Lite, serving one folder to this process alone, on a free port of 127.0.0.1."""

    def __init__(self, path: Path, create: bool) -> None:
        """Open the folder.

        Raises:
            EmbrlError: there is no store and none may be created, it is something else, or another
                process or object has it open.
        """
        lite = require("milvus_lite", "store")
        _check(path, create)
        server = require("milvus_lite.adapter.grpc.server", "store")
        try:
            self._server, self._lite, port = server.start_server_in_thread(str(path))
        except lite.DataDirLockedError as error:
            raise EmbrlError(
                f"{path} must be opened by one process at a time, got a second one; wait until the "
                "other one ends, or share the store by a server (--store URI)"
            ) from error
        except lite.MilvusLiteError as error:
            raise EmbrlError(f"{path} is damaged: {error}") from error
        if not (path / MARK).exists():
            files.write_json(path / MARK, {"format": FORMAT})
        self.uri = f"http://127.0.0.1:{port}"
        self.close = weakref.finalize(self, _stopped, self._server, self._lite)

    def rows(self, record: CollectionRecord) -> StoredRows:
        """Return all rows of a collection."""
        found = self._lite.get_collection(record.internal)
        found.flush()  # so that all rows are in segments
        segments, deletions = found._read_snapshot()
        segments = [each for each in segments if each.num_rows]
        written = _joined([each.seqs.astype(np.int64) for each in segments], np.int64)
        ids = _joined([np.asarray(each.pks, np.int64) for each in segments], np.int64)
        holds = latest(ids, written, deletions.snapshot)
        empty = np.zeros((0, record.dim), np.float32)
        vectors = np.concatenate([empty, *(each.vectors for each in segments)])
        values = {
            name: _joined(
                [np.array(each.table.column(name).to_pylist(), TYPES[kind]) for each in segments],
                TYPES[kind],
            )
            for name, kind in record.columns.items()
        }
        return StoredRows(
            ids[holds],
            vectors[holds].astype(np.float32, copy=False),
            {name: each[holds] for name, each in values.items()},
        )


def _joined(parts: list[np.ndarray], kind: Any) -> np.ndarray:
    return np.concatenate([np.zeros(0, kind), *parts])


def _check(path: Path, create: bool) -> None:
    if (path / MARK).is_file():
        found = files.read_json(path / MARK).get("format")
        if found != FORMAT:
            raise EmbrlError(f"{path} has format {found!r}; this version of embrl reads {FORMAT}")
        return
    # A process that was killed while it created the store may have left the files of Milvus Lite.
    if not files.is_free(path, ignored=("LOCK", "collections")):
        raise EmbrlError(f"{path} exists and is not a store; choose an empty or new folder")
    if not create:
        raise EmbrlError(f"{path} is not a store; embrl store load writes one")
    files.make_folder(path)


def _stopped(server: Any, lite: Any) -> None:
    with contextlib.suppress(Exception):  # at exit, parts of it may be gone
        server.stop(grace=1).wait(2)
    with contextlib.suppress(Exception):
        lite.close()
