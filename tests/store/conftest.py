"""Stores for tests: the same tests run with a folder and with a server."""

from collections.abc import Iterator

import pytest


@pytest.fixture(params=["folder", "server"])
def uri(request, tmp_path) -> Iterator[str]:
    """A folder's path, or the address of Milvus Lite's own server on 127.0.0.1."""
    pytest.importorskip("pymilvus", reason="pip install 'embrl[store]'")
    pytest.importorskip("milvus_lite", reason="pip install 'embrl[store]'")
    if request.param == "folder":
        yield str(tmp_path / "store")
        return
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, lite, port = start_server_in_thread(str(tmp_path / "served"))
    yield f"http://127.0.0.1:{port}"
    server.stop(grace=0).wait()
    lite.close()


@pytest.fixture
def folder(tmp_path) -> str:
    pytest.importorskip("milvus_lite", reason="pip install 'embrl[store]'")
    return str(tmp_path / "store")
