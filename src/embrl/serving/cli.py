"""The command `embrl serve RUN`."""

import dataclasses
import ipaddress
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from embrl.cli.parsing import parse
from embrl.core.errors import EmbrlError, SettingError, require
from embrl.serving.app import Limits

TOKEN = "EMBRL_SERVE_TOKEN"
"""Environment variable with the token that requests must have."""


@dataclasses.dataclass(frozen=True)
class _Serve:
    """Answer observations with a policy's actions, over HTTP.

    POST /act takes {"observation": [...]} or {"observations": [[...], ...]} and returns the action
    of the most likely internal action, or with a "seed" a drawn one. Requests are answered
    together. If the environment variable EMBRL_SERVE_TOKEN is set, requests need its value as
    Authorization: Bearer TOKEN. /health and /metrics tell how the server does.
    """

    policy: Annotated[Path, tyro.conf.Positional]
    """Run folder, or folder of embrl export."""
    store: str | None = None
    """Store with the run's actions (embrl store load), by its folder or the address of a server:
    actions are chosen among what is there, POST /act takes a "filter", and POST /items and
    /items/delete change the items."""
    name: str = "actions"
    """Name of the collection in the store."""
    filter: str = ""
    """Which items may ever be chosen, as 'in_stock'."""
    seed: int = 0
    """Index of a run's seed."""
    host: str = "127.0.0.1"
    """Address to listen on. By default this machine alone can connect."""
    port: int = 8000
    """Port to listen on; 0: a free one."""
    max_body: int = Limits.max_body
    """Bytes of a request's body, at most."""
    rate: float = Limits.rate
    """Requests a second of one client, at most; 0: any number."""
    batch_wait: float = Limits.batch_wait
    """Milliseconds that a request waits for others, to be answered with them."""


def serve(arguments: Sequence[str]) -> None:
    """Serve until interrupted."""
    given = parse(_Serve, arguments, "embrl serve")
    uvicorn: Any = require("uvicorn", "serve")
    require("starlette", "serve")
    limits = Limits(os.environ.get(TOKEN) or None, given.max_body, given.rate, given.batch_wait)
    with _bound(given.host, given.port) as listening:
        answering, close = _answering(given)
        try:
            host, port = listening.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"http://{shown}:{port} answers for {given.policy}", flush=True)
            if not _is_loopback(host) and limits.token is None:
                print(f"warning: other machines can connect without a token; set {TOKEN}")
            from embrl.serving.app import application

            app = application(answering, limits, {"policy": given.policy.resolve().name})
            config = uvicorn.Config(
                app, log_level="warning", access_log=False, server_header=False, lifespan="on"
            )
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            close()


def _answering(given: _Serve) -> tuple[Any, Any]:
    """Return what answers, and the function that closes it."""
    from embrl.deploy.exported import MANIFEST
    from embrl.deploy.predict import opened as opened_policy
    from embrl.serving.catalogue import CatalogueAnswers
    from embrl.serving.questions import PolicyAnswers

    policy = opened_policy(given.policy, given.seed)
    if given.store is None:
        if given.filter:
            raise SettingError("--filter", "left out where there is no --store", given.filter)
        return PolicyAnswers(policy), lambda: None
    if (given.policy / MANIFEST).is_file():
        raise EmbrlError(
            f"policy must be a run folder to serve a store, got the export {given.policy}"
        )
    from embrl.store.cli import opened
    from embrl.store.sources import embedding_of

    embedding: Any = embedding_of(given.policy, given.seed)
    store = opened(given.store)
    try:
        items = store.collection(given.name, embedding)
        return CatalogueAnswers(policy, items, embedding.model.g, given.filter), store.close
    except BaseException:
        store.close()
        raise


def _bound(host: str, port: int) -> socket.socket:
    if not 0 <= port < 2**16:
        raise SettingError("--port", "0 to 65535", port)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise EmbrlError(f"--host {host} --port {port}: {error.strerror or error}") from error


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback
