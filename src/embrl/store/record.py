"""Record of a collection, and its form in Milvus."""

import dataclasses
from typing import Any, Literal

from embrl.core.errors import require

RECORDS = "embrl_records"
"""Collection in Milvus that holds the records of all others."""

Index = Literal["auto", "flat", "ivf_flat", "hnsw"]

INDEXES: dict[str, tuple[str, dict[str, Any]]] = {
    "flat": ("FLAT", {}),
    "ivf_flat": ("IVF_FLAT", {"nlist": 128}),
    "hnsw": ("HNSW", {"M": 16, "efConstruction": 200}),
}
"""Names and settings in Milvus, which would take any name and fail later."""

TEXT_LENGTH = 2048
"""Bytes of a text, at most."""


@dataclasses.dataclass(frozen=True)
class CollectionRecord:
    """Record of a collection."""

    name: str
    kind: str
    """`states`, `actions`, `agents` or `replies`."""
    version: str
    """Version of the embedding that its vectors come from: a hash of its weights."""
    dim: int
    columns: dict[str, str]
    """Kinds of the metadata by name (`embrl.store.filters.KINDS`)."""
    index: Index
    about: dict[str, str]
    """Origin of the vectors, in words."""

    @property
    def internal(self) -> str:
        """Name in Milvus."""
        return f"{self.name}__{self.version[:12]}"


def fields_of(record: CollectionRecord | None) -> list[dict[str, Any]]:
    """Return the fields of a collection, as pymilvus takes them; None: of the records."""
    kinds = require("pymilvus", "store").DataType
    text = {"datatype": kinds.VARCHAR, "max_length": TEXT_LENGTH}
    if record is None:
        return [
            {"field_name": "name", **text, "is_primary": True},
            {"field_name": "vector", "datatype": kinds.FLOAT_VECTOR, "dim": 2},
            {"field_name": "record", "datatype": kinds.VARCHAR, "max_length": 65_535},
        ]
    types = {
        "number": {"datatype": kinds.DOUBLE},
        "integer": {"datatype": kinds.INT64},
        "flag": {"datatype": kinds.BOOL},
        "text": text,
    }
    return [
        {"field_name": "id", "datatype": kinds.INT64, "is_primary": True},
        {"field_name": "vector", "datatype": kinds.FLOAT_VECTOR, "dim": record.dim},
        *({"field_name": name, **types[kind]} for name, kind in record.columns.items()),
    ]
