"""The server's application: paths, limits, and answers in JSON."""

import asyncio
import contextlib
import dataclasses
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from embrl.core.errors import EmbrlError, check_at_least, check_positive, require
from embrl.serving.batching import Batcher, BusyError
from embrl.serving.catalogue import CatalogueAnswers
from embrl.serving.metrics import Metrics
from embrl.serving.questions import Answering

READ_SECONDS = 10.0
"""Seconds in which the body of a request must have come."""
CLIENTS = 10_000
"""Clients whose rates are remembered, at most."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of a server.

    Raises:
        EmbrlError: a value is out of range.
    """

    token: str | None = None
    """Token that requests must have, as `Authorization: Bearer TOKEN`; None: none."""
    max_body: int = 2**20
    """Bytes of a body, at most."""
    rate: float = 0.0
    """Requests a second of one client, by its address, with bursts of twice as many; 0: any."""
    batch_wait: float = 2.0
    """Milliseconds that a request waits for others, to be answered with them."""

    def __post_init__(self) -> None:
        check_positive("max_body", self.max_body)
        check_at_least("rate", self.rate, 0.0)
        check_at_least("batch_wait", self.batch_wait, 0.0)


class RefusedError(EmbrlError):
    """A request that is refused before it is read, with a status of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Rates:
    """Requests that each client may still make: a bucket that fills with time."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._left: dict[str, tuple[float, float]] = {}

    def admits(self, client: str) -> bool:
        """Return whether a client may make a request now, and count it."""
        if not self._rate:
            return True
        now, most = self._clock(), max(1.0, 2 * self._rate)
        left, then = self._left.pop(client, (most, now))
        left = min(most, left + (now - then) * self._rate)
        while len(self._left) >= CLIENTS:
            self._left.pop(next(iter(self._left)))  # the one that asked longest ago
        self._left[client] = (left - 1 if left >= 1 else left, now)
        return left >= 1


def application(answering: Answering, limits: Limits, about: dict[str, Any]) -> Any:
    """Return an ASGI application.

    Args:
        answering: what answers questions; a `CatalogueAnswers` has paths for its items.
        limits: limits of requests.
        about: what `/health` says of the policy.
    """
    applications = require("starlette.applications", "serve")
    requests = require("starlette.requests", "serve")
    responses = require("starlette.responses", "serve")
    routing = require("starlette.routing", "serve")
    metrics, rates = Metrics(), Rates(limits.rate)
    batcher = Batcher(answering, limits.batch_wait / 1000, metrics)

    async def body_of(request: Any) -> Any:
        length = request.headers.get("content-length", "0")
        too_large = RefusedError(413, f"body must be at most {limits.max_body:,} bytes, got more")
        if not length.isdecimal() or int(length) > limits.max_body:
            raise too_large
        read = bytearray()
        try:
            async with asyncio.timeout(READ_SECONDS):
                async for part in request.stream():
                    read += part
                    if len(read) > limits.max_body:
                        raise too_large
        except TimeoutError as error:
            raise RefusedError(408, f"body must come within {READ_SECONDS:g} s") from error
        try:
            return json.loads(read)
        except (ValueError, RecursionError) as error:
            raise RefusedError(400, f"body must be JSON, got {_short(read)}: {error}") from error

    def check(request: Any) -> None:
        if not rates.admits(request.client.host if request.client else ""):
            raise RefusedError(429, f"requests must be at most {limits.rate:g} a second, got more")
        if limits.token is None:
            if "origin" in request.headers:  # any page that a user opens could change items
                raise RefusedError(403, "token must be set on the server for requests of web pages")
        else:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, f"Bearer {limits.token}".encode()):
                raise RefusedError(401, "token must be that of the server; add the header "
                                        "Authorization: Bearer TOKEN")  # fmt: skip

    def path(
        where: str, answer: Callable[[Any], Awaitable[Any]] | None, method: str = "POST"
    ) -> Any:
        async def endpoint(request: Any) -> Any:
            began = time.perf_counter()
            try:
                check(request)
                if answer is None:
                    response: Any = responses.PlainTextResponse(metrics.text())
                else:
                    response = responses.JSONResponse(await answer(await body_of(request)))
            except RefusedError as error:
                response = responses.JSONResponse({"error": str(error)}, error.status)
            except BusyError as error:
                response = responses.JSONResponse({"error": str(error)}, 503)
            except EmbrlError as error:
                response = responses.JSONResponse({"error": str(error)}, 422)
            except requests.ClientDisconnect:
                response = responses.Response(status_code=400)
            metrics.request(where, response.status_code, time.perf_counter() - began)
            return response

        return routing.Route(where, endpoint, methods=[method])

    async def health(_: Any) -> Any:
        return responses.JSONResponse({"status": "ok", **about})

    async def act(body: Any) -> Any:
        return await batcher.ask(answering.read(body))

    # The busiest first: they are tried in turn.
    routes = [path("/act", act), routing.Route("/health", health), path("/metrics", None, "GET")]
    if isinstance(answering, CatalogueAnswers):
        change, remove = answering.change, answering.remove
        routes += [
            path("/items", lambda body: batcher.alone(change, body)),
            path("/items/delete", lambda body: batcher.alone(remove, body)),
        ]

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        batcher.close()

    async def refused(_: Any, error: Any) -> Any:
        wanted = ", ".join(route.path for route in routes)
        text = f"path and method must be those of {wanted}"
        return responses.JSONResponse({"error": text}, error.status_code, headers=error.headers)

    async def failed(_: Any, __: Exception) -> Any:
        return responses.JSONResponse({"error": "the server failed; its log says why"}, 500)

    handlers: Any = {404: refused, 405: refused, 500: failed}
    return applications.Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


def _short(body: bytearray) -> str:
    text = bytes(body[:40]).decode(errors="replace")
    return repr(text) + ("..." if len(body) > 40 else "")
