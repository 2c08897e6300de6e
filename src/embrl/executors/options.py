"""Settings of executors, as the flags of several commands."""

import dataclasses
import os
from collections.abc import Callable
from typing import Literal

from embrl.core.errors import SettingError, check_at_least
from embrl.core.runtime import CORES, DEVICES, available_cores

MAX_WORKERS = 10_000
"""Most workers that can be asked for."""


@dataclasses.dataclass(frozen=True)
class ExecutorOptions:
    """Settings of where tasks run, and of what each may use."""

    executor: Literal["local", "processes", "ray"] = "local"
    """Where runs take place: in this process, in several, or on a Ray cluster; the results are the
    same."""
    workers: int | None = None
    """Number of workers. Default: as many as cores and memory allow."""
    ray_address: str = "local"
    """Ray cluster: `auto` for the one this machine is in, HOST:PORT of its head, or `local` for one
    on this machine that ends with the command."""
    retries: int = 2
    """Number of times that a failed task is tried again, from its last checkpoint."""
    task_cores: int = 1
    """Processor cores of each task."""
    task_memory: float | None = None
    """Memory of each task in GB; one that needs more is ended, and counts as failed."""
    results: Literal["shared", "return"] = "shared"
    """How results arrive from a Ray cluster: in a folder that all its machines share, or through
    Ray."""

    def validate(self) -> None:
        """Check all settings.

        Raises:
            SettingError: a value is out of range, or has no effect.
        """
        check_at_least("retries", self.retries, 0)
        for name, value in (("task_cores", self.task_cores), ("workers", self.workers)):
            if value is not None and not 1 <= value <= MAX_WORKERS:
                raise SettingError(name, f"1 to {MAX_WORKERS}", value)
        if self.task_memory is not None and not 0.05 <= self.task_memory <= 1e6:
            raise SettingError("task_memory", "0.05 to 1000000 (GB)", self.task_memory)
        default = ExecutorOptions()
        unused: dict[str, tuple[str, ...]] = {
            "local": ("workers", "task_cores", "task_memory", "results", "ray_address"),
            "processes": ("results", "ray_address"),
        }
        for name in unused.get(self.executor, ()):
            if (value := getattr(self, name)) != getattr(default, name):
                constraint = f"left out with executor {self.executor}, which ignores it"
                raise SettingError(name, constraint, value)
        if self.executor == "processes" and self.task_cores > available_cores():
            raise SettingError("task_cores", f"at most {available_cores()}", self.task_cores)


Say = Callable[[str], None]
"""Function that tells the user something."""


def worker_environment(cores: int, devices: int) -> dict[str, str]:
    """Return the environment variables by which a worker shares a machine with others.

    It has `devices` devices as the process that gives tasks, and so compiles the same programs; but
    no library has more threads than it has cores.
    """
    threads = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    # What programs depend on, for workers that another process starts.
    same = ("XLA_FLAGS", "XDG_CACHE_HOME", "CUDA_VISIBLE_DEVICES")
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in same or name.startswith(("JAX_", "EMBRL_"))
    }
    bound = dict.fromkeys((*threads, CORES), str(cores))
    return {**inherited, **bound, DEVICES: str(devices)}
