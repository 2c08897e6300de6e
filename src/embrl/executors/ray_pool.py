"""Workers on a Ray cluster."""

import json
import os
import socket
import time
from contextlib import suppress
from typing import Any

from embrl.core.errors import EmbrlError, SettingError, require
from embrl.core.runtime import available_cores, device_count
from embrl.executors.options import ExecutorOptions, Say, worker_environment
from embrl.executors.packing import pack, unpack
from embrl.executors.processes import GB, event_of, setup, too_large
from embrl.executors.ray_actor import RemoteWorker
from embrl.executors.supervisor import Lost, Ready, WorkerEvent
from embrl.executors.tasks import Task

ASK_EVERY = 0.5
"""Seconds between two questions to a worker how far it is."""
ASKED_PER_SECOND = 50
"""Most such questions a second, to all workers together: hundreds would keep the driver busy."""
ANSWER_WITHIN = 10.0
"""Seconds in which the head of a cluster has to accept a connection."""
FETCH_EVERY = 15.0
"""Minimum number of seconds between two copies of a folder that is not shared."""


class RayPool:
    """Workers on the machines of a Ray cluster."""

    def __init__(self, options: ExecutorOptions, count: int, say: Say) -> None:
        """Connect to the cluster, or start one on this machine.

        Args:
            options: the cluster's address, cores and memory of each worker, and how results arrive.
            count: number of tasks.
            say: tells the user something.

        Raises:
            EmbrlError: Ray is not installed, or there is no such cluster.
        """
        self.ray, self.options = require("ray", "ray"), options
        cores = options.task_cores
        own = options.ray_address == "local"
        here = max(available_cores(), cores * min(options.workers or 1, count))
        _connect(self.ray, options.ray_address, here, say)
        try:
            slots = sum(_slots(node, options) for node in self.ray.nodes() if node["Alive"])
            if not slots and not options.workers:
                needed = f"{cores} cores"
                if options.task_memory is not None:
                    needed += f" and {options.task_memory:g} GB"
                raise EmbrlError(
                    f"a task needs {needed}, which no machine of the Ray cluster has free; lower "
                    "--task-cores or --task-memory, or give --workers to wait for machines"
                )
        except BaseException:
            self.close()
            raise
        self.size = min(options.workers or slots, count)
        say(f"Ray: {self.size} workers" + (" on this machine" if own else ""))
        self.actor: Any = self.ray.remote(RemoteWorker).options(
            num_cpus=cores,
            memory=None if options.task_memory is None else int(options.task_memory * GB),
            max_restarts=0,  # the supervisor starts another one
            max_concurrency=2,  # one thread works, the other says how far it is
        )
        self.setup = json.dumps(setup())
        self.environment = worker_environment(cores, device_count())

    def start(self) -> "RayWorker":
        """Start a worker."""
        shared = self.options.results == "shared"
        made = self.actor.remote(self.setup, self.environment, shared)
        ask_every = max(ASK_EVERY, self.size / ASKED_PER_SECOND)
        return RayWorker(self.ray, made, self.options, ask_every)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends, and no other."""
        with suppress(Exception):
            self.ray.shutdown()


class RayWorker:
    """A Ray actor."""

    def __init__(self, ray: Any, actor: Any, options: ExecutorOptions, ask_every: float) -> None:
        self.ray, self.actor, self.options = ray, actor, options
        self.ask_every = ask_every
        self.starting = actor.ready.remote()
        self.task: Task | None = None
        self.work: Any = None
        self.question: Any = None
        self.copy: Any = None
        self.asked_at = self.fetched_at = 0.0
        self.state = ""

    def give(self, task: Task) -> None:
        """Begin a task."""
        shared = self.options.results == "shared"
        content = None if shared or not task.out.exists() else pack(task.out)
        self.task, self.fetched_at, self.state = task, time.monotonic(), ""
        self.question = self.copy = None
        self.work = self.actor.run.remote(task.to_json(), content)

    def poll(self) -> list[WorkerEvent]:
        """Return what has happened."""
        try:
            return self._poll()
        except EmbrlError as error:  # of what a worker returned
            return [Lost(str(error))]
        except Exception as error:
            if type(error).__module__.split(".")[0] != "ray":
                raise
            words = " ".join(str(error).split())[:300]
            return [Lost(f"its worker was lost: {type(error).__name__}: {words}")]

    def stop(self) -> None:
        """End the actor's process."""
        with suppress(Exception):
            self.ray.kill(self.actor)

    def _poll(self) -> list[WorkerEvent]:
        if self.starting is not None:
            if not self._has(self.starting):
                return []
            self.ray.get(self.starting)
            self.starting = None
            return [Ready()]
        if self.work is None or self.task is None:
            return []
        if not self._has(self.work):
            return self._progress()
        ended, content = self.ray.get(self.work)
        if content is not None:
            unpack(content, self.task.out)
        self.work = self.task = self.copy = None
        return [event_of(json.loads(ended))]

    def _progress(self) -> list[WorkerEvent]:
        now = time.monotonic()
        if self.copy is not None and self._has(self.copy):
            content = self.ray.get(self.copy)
            self.copy = None
            if content is not None and self.task is not None:
                unpack(content, self.task.out)
        if self.question is None:
            if now - self.asked_at > self.ask_every:
                self.asked_at, self.question = now, self.actor.heard.remote()
            return []
        if not self._has(self.question):
            return []
        steps, memory, state = json.loads(self.ray.get(self.question))
        self.question = None
        limit = self.options.task_memory
        if limit is not None and memory > limit * GB:
            return [Lost(too_large(memory, limit))]
        if state != self.state and now - self.fetched_at > FETCH_EVERY and self.copy is None:
            self.state, self.fetched_at = state, now
            self.copy = self.actor.packed.remote()
        return [event_of({"progress": step}) for step in steps]

    def _has(self, reference: Any) -> bool:
        return bool(self.ray.wait([reference], timeout=0)[0])


def _connect(ray: Any, address: str, cores: int, say: Say) -> None:
    """Connect to a cluster, or start one.

    Raises:
        EmbrlError: there is none at this address.
    """
    if ray.is_initialized():
        raise EmbrlError("Ray must not be in use by this process already; call ray.shutdown()")
    if address not in ("auto", "local"):
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise SettingError("ray_address", "auto, local or HOST:PORT", address)
        try:  # Ray itself tries for more than ten minutes
            socket.create_connection((host, int(port)), ANSWER_WITHIN).close()
        except (OSError, OverflowError) as error:
            raise _no_cluster(address, error) from error
    if address == "local":
        say("starting Ray, which takes about 25 s")
        # Nobody else can be on this machine's own cluster, which listens to it alone.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, Any] = {"num_cpus": cores, "include_dashboard": False}
        options["_node_ip_address"] = "127.0.0.1"
    else:
        say(f"connecting to Ray ({address}), which may take 25 s")
        options = {}
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=True,
            **options,
        )
    except Exception as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> EmbrlError:
    words = " ".join(str(error).split())[:400]
    return EmbrlError(
        f"ray_address must be a Ray cluster that answers, got {address} "
        f"({type(error).__name__}: {words}); start one by ray start --head, and set "
        "RAY_AUTH_MODE alike on both sides"
    )


def _slots(node: Any, options: ExecutorOptions) -> int:
    """Return the number of workers that a machine has room for."""
    has = node["Resources"]
    found = int(has.get("CPU", 0) // options.task_cores)
    if options.task_memory is not None:
        found = min(found, int(has.get("memory", 0) // (options.task_memory * GB)))
    return found
