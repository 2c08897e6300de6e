"""Stores for tests: the same tests run with a folder and with a server."""

import importlib
import os
from collections.abc import Iterator
from typing import Any

import pytest

from embrl.store.store import Store

MILVUS = os.environ.get("EMBRL_TEST_MILVUS")
"""Address of a Milvus server whose collections of embrl may be deleted, to be tested as well."""


@pytest.fixture(params=["folder", "server", *(["milvus"] if MILVUS else [])])
def uri(request, tmp_path) -> Iterator[str]:
    """A folder's path, the address of Milvus Lite's own server on 127.0.0.1, or `MILVUS`."""
    pytest.importorskip("pymilvus", reason="pip install 'embrl[store]'")
    pytest.importorskip("milvus_lite", reason="pip install 'embrl[store]'")
    if request.param == "folder":
        yield str(tmp_path / "store")
        return
    if request.param == "milvus" and MILVUS is not None:
        with Store(MILVUS) as store:
            for record in store.records():
                store.drop(record.name, record.version)
        yield MILVUS
        return
    lite_server: Any = importlib.import_module("milvus_lite.adapter.grpc.server")
    server, lite, port = lite_server.start_server_in_thread(str(tmp_path / "served"))
    yield f"http://127.0.0.1:{port}"
    server.stop(grace=0).wait()
    lite.close()


@pytest.fixture
def folder(tmp_path) -> str:
    pytest.importorskip("milvus_lite", reason="pip install 'embrl[store]'")
    return str(tmp_path / "store")
