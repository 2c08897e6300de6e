"""Workers that are processes of this machine."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from embrl.core.errors import SettingError
from embrl.core.registry import loaded_plugins
from embrl.core.runtime import available_cores, device_count
from embrl.executors.options import ExecutorOptions, Say, worker_environment
from embrl.executors.supervisor import Failed, Finished, Lost, Progressed, Ready, WorkerEvent
from embrl.executors.tasks import Task

GB = 1e9

LAST_WORDS = 300
"""Characters of a worker's errors that are shown when it ends unexpectedly."""


class ProcessPool:
    """Workers on this machine."""

    def __init__(self, options: ExecutorOptions, count: int, say: Say) -> None:
        """Reckon how many workers there are.

        Args:
            options: cores and memory of each, and perhaps their number.
            count: number of tasks.
            say: unused.
        """
        del say
        self.options = options
        by_cores = max(1, available_cores() // options.task_cores)
        size = options.workers or by_cores
        if options.task_memory is not None and (memory := available_memory()) is not None:
            if options.task_memory * GB > memory:
                constraint = f"at most {memory / GB:.1f} (GB), what is free here"
                raise SettingError("task_memory", constraint, options.task_memory)
            size = min(size, int(memory // (options.task_memory * GB)))
        self.size = min(size, count)

    def start(self) -> "ProcessWorker":
        """Start a worker."""
        return ProcessWorker(self.options)

    def close(self) -> None:
        """Do nothing: there are only workers."""


class ProcessWorker:
    """A process of this machine, spoken to through pipes."""

    def __init__(self, options: ExecutorOptions) -> None:
        self.options = options
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        self.process = subprocess.Popen(
            # Safe: nothing is imported from the current folder that would not be otherwise.
            [sys.executable, "-P", "-m", "embrl.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=os.environ | worker_environment(options.task_cores, device_count()),
            start_new_session=True,  # Ctrl-C is for this process, which ends the worker
        )
        self.lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self._send(json.dumps(setup()))

    def give(self, task: Task) -> None:
        """Begin a task."""
        self._send(task.to_json())

    def poll(self) -> list[WorkerEvent]:
        """Return what has happened."""
        # First, as lines may be read between the two.
        gone = self.process.poll() is not None and not self.reader.is_alive()
        found: list[WorkerEvent] = []
        while not self.lines.empty():
            found.append(event_of(json.loads(self.lines.get())))
        if gone:
            return [*found, Lost(self._last_words())]
        limit, used = self.options.task_memory, resident_memory(self.process.pid)
        if limit is not None and used > limit * GB:
            return [*found, Lost(too_large(used, limit))]
        return found

    def stop(self) -> None:
        """End the process and those that it started."""
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()
        self.reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(OSError):  # what was not sent
                pipe.close()  # type: ignore[union-attr]

    def _send(self, line: str) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # `poll` will say that it is gone
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith(b"\n"):  # a killed process may leave half of one
                self.lines.put(line)

    def _last_words(self) -> str:
        code = self.process.returncode
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        size = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, size - 4000))
        words = " ".join(self.errors.read().decode(errors="replace").split())
        return f"its process ended {how}" + (f": {words[-LAST_WORDS:]}" if words else "")


def setup() -> dict[str, Any]:
    """Return what a worker has to know beside its tasks."""
    return {
        "plugins": loaded_plugins(),
        "import_from": [str(Path(path).absolute()) for path in sys.path if path],
        "folder": str(Path.cwd()),
    }


def event_of(line: dict[str, Any]) -> WorkerEvent:
    """Return the event that a worker told in JSON."""
    if "ready" in line:
        return Ready()
    if "finished" in line:
        return Finished()
    if "failed" in line:
        return Failed(line["failed"], line["final"])
    stage, done, total, messages = line["progress"]
    return Progressed(stage, done, total, tuple(messages))


def too_large(used: float, limit: float) -> str:
    """Return the message for a task that needed more memory than it may use."""
    return f"it used {used / GB:.2f} GB, more than task_memory {limit:g}"


def resident_memory(process: int) -> int:
    """Return the bytes of memory that a process uses; 0 where that is not known."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def available_memory() -> int | None:
    """Return the bytes of memory that are free on this machine; None where that is not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(line for line in lines if line.startswith("MemAvailable"))
        return int(free.split()[1]) * 1024
    except (OSError, ValueError, IndexError, StopIteration):
        return None
