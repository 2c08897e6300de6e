"""A server in a thread, and a client without a library."""

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def serving() -> Iterator[Callable[..., Callable[..., tuple[int, Any]]]]:
    """Return a function that serves answers, and returns a function that sends a request."""
    pytest.importorskip("starlette", reason="pip install 'embrl[serve]'")
    uvicorn: Any = pytest.importorskip("uvicorn", reason="pip install 'embrl[serve]'")
    from embrl.serving.app import Limits, application

    running = []

    def serve(answering: Any, **limits: Any) -> Callable[..., tuple[int, Any]]:
        listening = socket.create_server(("127.0.0.1", 0))
        app = application(answering, Limits(**limits), {"policy": "small"})
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        running.append((server, thread, listening))

        def send(path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
            address = listening.getsockname()
            connection = http.client.HTTPConnection(*address, timeout=20)
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request("GET" if data is None else "POST", path, data, headers)
            response = connection.getresponse()
            text = response.read().decode()
            connection.close()
            return response.status, text if path == "/metrics" else json.loads(text)

        return send

    yield serve
    for server, thread, listening in running:
        server.should_exit = True
        thread.join(10)
        listening.close()
