"""Collections of embeddings with metadata, in a folder or on a Milvus server, by the same code."""

import dataclasses
import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from numpy.typing import ArrayLike

from embrl.core.errors import EmbrlError, SettingError, UnknownNameError, require
from embrl.storage import files
from embrl.storage.files import from_plain
from embrl.store.collection import Client, Collection, Metadata
from embrl.store.embedded import Embedded
from embrl.store.filters import KINDS
from embrl.store.record import INDEXES, RECORDS, CollectionRecord, Index, fields_of

if TYPE_CHECKING:
    from embrl.store.sources import Loaded

DEFAULT = "store"
"""Folder of a store where no other place is given."""
TIMEOUT = 30.0
"""Seconds to wait for a server."""
SELDOM = {"grpc.keepalive_time_ms": 300_000}
"""A sign of life each 5 minutes; a server may refuse those of pymilvus, each 10 s."""
LONGEST_RECORD = 60_000
"""Characters of a record, at most: a field of Milvus has 65,535 bytes."""
Kind = Literal["states", "actions", "agents", "replies"]
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


class Store:
    """Collections of embeddings, by name and by the version of the embedding that they come from.

    Vectors of two versions are never in one collection, so that they are never compared.
    """

    def __init__(
        self, uri: str | Path = DEFAULT, token: str | None = None, *, create: bool = True
    ) -> None:
        """Open a store.

        Args:
            uri: a folder, which one process at a time may open; or the address of a Milvus server
                or cluster, as `http://127.0.0.1:19530`.
            token: `user:password` or an API key, for a server that asks for one.
            create: whether a folder that does not exist is created.

        Raises:
            EmbrlError: the folder is not a store, or is open elsewhere; or the server does not
                answer; or pymilvus is not installed.
        """
        pymilvus = require("pymilvus", "store")
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # its errors are raised, too
        logging.getLogger("milvus_lite").setLevel(logging.CRITICAL)
        self.uri = str(uri)
        self._embedded = None
        address = self.uri
        if "://" not in self.uri:
            self._embedded = Embedded(files.as_path(uri), create)
            address = self._embedded.uri
        try:
            made = pymilvus.MilvusClient(
                address, token=token or "", timeout=TIMEOUT, grpc_options=SELDOM
            )
        except Exception as error:
            self.close()
            raise EmbrlError(f"store {uri} does not answer: {error}") from error
        self._client = Client(made, f"store {uri}")
        self._opened: dict[str, Collection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store; a folder can be opened again at once."""
        client = getattr(self, "_client", None)
        if client is not None:
            client.close()
        if self._embedded is not None:
            self._embedded.close()

    def records(self) -> list[CollectionRecord]:
        """Return what is known of each collection, by name and version."""
        if not self._client.has_collection(RECORDS):
            return []
        self._client.load_collection(RECORDS)
        found = self._client.query(RECORDS, filter='name != ""', output_fields=["record"])
        where = f"record of store {self.uri}"
        records = [from_plain(json.loads(row["record"]), CollectionRecord, where) for row in found]
        return sorted(records, key=lambda record: (record.name, record.version))

    def create(
        self,
        name: str,
        *,
        kind: Kind,
        version: str,
        dim: int,
        columns: Mapping[str, str] | None = None,
        index: Index = "auto",
        about: Mapping[str, str] | None = None,
    ) -> Collection:
        """Return a collection, which is created if it does not exist.

        Args:
            name: letters, digits and underscores.
            kind: what its rows are.
            version: of the embedding that its vectors come from (`embrl.store.sources`).
            dim: numbers of a vector.
            columns: kinds of its metadata by name: `number`, `integer`, `flag` or `text`.
            index: index of a server: `flat` compares all vectors, `ivf_flat` and `hnsw` are
                approximate; `auto` is flat. A folder is always searched exactly.
            about: origin of the vectors, in words.

        Raises:
            EmbrlError: a value is out of range, or the collection exists with others.
        """
        columns = dict(columns or {})
        for setting, value, known in (
            ("kind", kind, get_args(Kind)),
            ("index", index, ("auto", *INDEXES)),
            *((f"kind of column {each}", kind_, KINDS) for each, kind_ in columns.items()),
        ):
            if value not in known:
                raise UnknownNameError(setting, str(value), known)
        for each in (name, *columns):
            if not NAME.fullmatch(each) or "__" in each or each in ("id", "vector", RECORDS):
                raise SettingError(
                    "name of a collection or column",
                    "up to 64 letters, digits and single underscores, a letter first, and not id "
                    "or vector", repr(each),
                )  # fmt: skip
        if not re.fullmatch(r"[0-9a-f]{12,64}", version):
            raise SettingError("version", "12 to 64 hexadecimal digits", repr(version))
        if not 2 <= dim <= 32_768:
            raise SettingError("dim", "2 to 32,768 numbers", dim)
        record = CollectionRecord(name, kind, version, dim, columns, index, dict(about or {}))
        for found in self.records():
            if (found.name, found.version) == (name, version):
                if (found.dim, found.columns, found.kind) != (dim, columns, kind):
                    raise SettingError(
                        f"collection {name}", f"{found.kind} with columns {found.columns}",
                        f"{kind} with {columns}", "use another name, or delete it first",
                    )  # fmt: skip
                return self.collection(name, version)
        self._create(record)
        return self.collection(name, version)

    def collection(self, name: str, version: Any = None) -> Collection:
        """Return a collection.

        Args:
            name: its name.
            version: the embedding whose vectors are wanted (`Embedding`, `AgentEmbedding`), or its
                version, or the beginning of that. None: the only one that there is.

        Raises:
            EmbrlError: there is none of this name, or it holds vectors of other embeddings.
        """
        if not isinstance(version, str | None):
            from embrl.store.sources import version_of

            version = version_of(version)
        records = self.records()
        named = [record for record in records if record.name == name]
        if not named:
            known = {record.name for record in records}
            if not known:
                raise EmbrlError(f"store {self.uri} is empty; embrl store load fills it")
            raise UnknownNameError("collection", name, known)
        fitting = [each for each in named if each.version.startswith(version or "")]
        there = ", ".join(each.version[:12] for each in named)
        if not fitting:
            raise SettingError(
                f"collection {name}", f"vectors of embedding {version}", f"those of {there}",
                "vectors of different embeddings cannot be compared; load this one's, too",
            )  # fmt: skip
        if len(fitting) > 1:
            raise SettingError("version", f"one of {there}", version)
        record = fitting[0]
        if record.internal not in self._opened:
            self._client.load_collection(record.internal)
            self._opened[record.internal] = Collection(record, self._client, self._embedded)
        return self._opened[record.internal]

    def load_actions(
        self,
        source: Any,
        name: str = "",
        *,
        metadata: Metadata | None = None,
        names: Sequence[str] | None = None,
        kind: Kind = "actions",
        index: Index = "auto",
        seed: int = 0,
    ) -> Collection:
        """Write the embedded actions of a run or an embedding, and return their collection.

        Args:
            source: a `Run`, an `Embedding`, or the folder of either.
            name: of the collection; empty: as `kind`.
            metadata: values by column. With a column `name` or `id` among them, a row belongs to
                the action of that name or index, and there must be one for each; otherwise, in
                order.
            names: names of the actions; None: those of the run, if they have names.
            kind: `actions`, or `replies`, whose names are their texts.
            index: as in `create`.
            seed: index of a run's seed.

        Raises:
            EmbrlError: actions are not listed, or a value does not fit.
        """
        from embrl.store import sources  # with it comes JAX

        found = sources.actions(source, metadata=metadata, names=names, kind=kind, seed=seed)
        return self._loaded(found, name, index)

    def load_states(
        self,
        source: Any,
        observations: ArrayLike,
        name: str = "",
        *,
        metadata: Metadata | None = None,
        first_id: int = 0,
        index: Index = "auto",
        seed: int = 0,
    ) -> Collection:
        """Write embedded states, and return their collection.

        Args:
            source: a `Run`, an `Embedding`, or the folder of either.
            observations: `[n, ...]`.
            name: of the collection; empty: `states`.
            metadata: values by column, in the order of the observations.
            first_id: id of the first state; the others follow.
            index: as in `create`.
            seed: index of a run's seed.

        Raises:
            EmbrlError: an observation is not in the space, or a value does not fit.
        """
        from embrl.store import sources

        found = sources.states(
            source, observations, metadata=metadata, first_id=first_id, seed=seed
        )
        return self._loaded(found, name, index)

    def load_agents(
        self,
        source: Any,
        population: Any,
        name: str = "",
        *,
        metadata: Metadata | None = None,
        index: Index = "auto",
    ) -> Collection:
        """Write the embedded agents of a population with its table, and return their collection.

        Args:
            source: an embedding of agents, or its folder.
            population: of such agents, or its folder.
            name: of the collection; empty: `agents`.
            metadata: more values by column, in the order of the agents.
            index: as in `create`.

        Raises:
            EmbrlError: the embedding is of other agents, or a value does not fit.
        """
        from embrl.store import sources

        return self._loaded(sources.agents(source, population, metadata=metadata), name, index)

    def _loaded(self, rows: "Loaded", name: str, index: Index) -> Collection:
        made = self.create(
            name or rows.kind,
            kind=rows.kind,  # type: ignore[arg-type]
            version=rows.version,
            dim=rows.vectors.shape[1],
            columns=rows.columns,
            index=index,
            about=rows.about,
        )
        made.upsert(rows.ids, rows.vectors, rows.metadata)
        return made

    def drop(self, name: str, version: str | None = None) -> CollectionRecord:
        """Delete a collection with all of its rows, and return its record.

        Raises:
            EmbrlError: as `collection`.
        """
        record = self.collection(name, version).record
        self._client.delete(RECORDS, ids=[record.internal])  # without it, there is no collection
        self._client.drop_collection(record.internal)
        self._opened.pop(record.internal, None)
        return record

    def _create(self, record: CollectionRecord) -> None:
        text = json.dumps(dataclasses.asdict(record))
        if len(text) > LONGEST_RECORD:
            raise SettingError("columns and about", f"at most {LONGEST_RECORD} characters", "more")
        if self._client.has_collection(record.internal):  # a process was killed between the two
            self._client.drop_collection(record.internal)
        self._made(record.internal, fields_of(record), record.index)
        if not self._client.has_collection(RECORDS):
            self._made(RECORDS, fields_of(None), "flat")
            self._client.load_collection(RECORDS)
        row = {"name": record.internal, "vector": [0.0, 0.0], "record": text}
        self._client.upsert(RECORDS, [row])

    def _made(self, name: str, fields: Sequence[Mapping[str, Any]], index: Index) -> None:
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        for field in fields:
            schema.add_field(**field)
        params = self._client.prepare_index_params()
        kind, settings = INDEXES["flat" if index == "auto" else index]
        params.add_index("vector", index_type=kind, metric_type="L2", params=settings)
        self._client.create_collection(
            name, schema=schema, index_params=params, consistency_level="Strong"
        )
