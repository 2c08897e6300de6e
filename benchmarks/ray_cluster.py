"""A Ray cluster of machines that are all this one, for tests and measurements.

Each node is a `ray start --block` of its own, listens to 127.0.0.1 alone, and is ended by the ids
of its processes; `ray stop` would end everybody's.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

READY = 120.0
"""Seconds that a node may take to start."""

ALONE = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
"""Environment variables for nodes, and for what connects to them."""


class RayNode:
    """A node of a cluster, and the processes that belong to it."""

    def __init__(self, arguments: list[str], folder: str) -> None:
        self.log = (Path(folder) / f"node-{time.monotonic_ns()}.log").open("wb")
        script = "from ray.scripts.scripts import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, "start", "--block", "--num-cpus=1", *arguments],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env=os.environ | ALONE,
            start_new_session=True,
        )

    def end(self) -> None:
        """End the node as a machine that is switched off does."""
        session = self.process.pid
        for process in _session(session):
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        self.process.wait()
        self.log.close()


@contextlib.contextmanager
def ray_cluster(nodes: int = 2) -> Iterator[tuple[str, list[RayNode]]]:
    """Start a cluster of nodes with one core each, and end it with the block.

    Yields:
        Its address, and its nodes, of which the first is the head.
    """
    port = free_port()
    address = f"127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        head = [
            *("--head", f"--port={port}", "--node-ip-address=127.0.0.1"),
            *("--include-dashboard=false", "--disable-usage-stats"),
        ]
        started = [RayNode(head, folder)]
        try:
            _wait_for(port, started[0])
            more = [f"--address={address}", "--node-ip-address=127.0.0.1"]
            started.extend(RayNode(more, folder) for _ in range(nodes - 1))
            yield address, started
        finally:
            for node in reversed(started):
                node.end()


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _wait_for(port: int, node: RayNode) -> None:
    until = time.monotonic() + READY
    while time.monotonic() < until and node.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise RuntimeError("Ray's head did not start")


def _session(session: int) -> list[int]:
    """Return the processes of a session: all that a node has started."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            with contextlib.suppress(OSError):
                if os.getsid(int(path.name)) == session:
                    found.append(int(path.name))
    return found
