"""The JAX runtime: processor cores as devices, the compilation cache, versions and machine."""

import contextlib
import functools
import hashlib
import os
import platform
import warnings
from pathlib import Path

from embrl.core.errors import EmbrlError

CACHE_BYTES = 500_000_000
"""Maximum size of the compilation cache when a process begins; what was used longest ago goes."""

LEAST_TIME = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
"""Environment variable of JAX: seconds that a program must take to compile to be kept."""

CACHE_TROUBLE = "Error (reading|writing) persistent compilation cache entry"
"""Beginning of JAX's warning that it could not use the compilation cache; it compiles instead."""

WHOLE_OPERATIONS = {"xla_disable_hlo_passes": "cpu-parallel-task-assigner"}
"""Compiler options for devices that are cores of one processor and work at the same time.

XLA would split large operations between threads that these devices share, though each has a core
to itself. While another device kept the threads busy, what follows such an operation was seen to
read half of it from the step before: wrong gradients, other ones each time (docs/performance.md).
"""


CORES, DEVICES = "EMBRL_CORES", "EMBRL_DEVICES"
"""Environment variables of a worker: cores that it may use, and devices that JAX makes of them.

The devices are those of the process that gave the task, however many cores the worker has: what is
compiled, and so each bit of a result, depends on them.
"""


def available_cores() -> int:
    """Return the number of processor cores that this process may use.

    This is less than the machine has where a scheduler or `taskset` restricts the process, or where
    it is a worker that shares the machine with others (`CORES`).
    """
    if (given := os.environ.get(CORES, "")).isdecimal():
        return max(1, int(given))
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_forked = False
"""True in a process that was forked from one in which JAX was prepared."""


def _mark_forked() -> None:
    global _forked
    _forked = True


def check_not_forked(what: str) -> None:
    """Check that JAX can be used, which hangs in a forked process if it has run before the fork.

    Args:
        what: what uses it, for the message.

    Raises:
        EmbrlError: this is such a process.
    """
    if _forked:
        raise EmbrlError(
            f"{what} must run in a process that was not forked from one in which JAX runs, got a "
            "forked one, where it would hang; start it by multiprocessing's spawn or forkserver "
            "(embrl.wrap and exported policies work in forked ones, too)"
        )


def device_count() -> int:
    """Return the number of devices that `prepare_jax` makes of this machine's cores."""
    given = os.environ.get(DEVICES, "")
    return max(1, int(given)) if given.isdecimal() else available_cores()


@functools.cache
def watch_forks() -> None:
    """Notice in forked processes, from now on, that they are; before JAX runs."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_mark_forked)


def prepare_jax() -> None:
    """Configure JAX for seeds that train side by side, if it has not started yet.

    Every core becomes a device of its own. Most of a run consists of small operations one after
    another, which XLA does not spread over threads: half of the seeds on each of two cores is
    nearly twice as fast as all seeds on both. Compiled programs are kept for the next run, unless
    the caller has set `JAX_COMPILATION_CACHE_DIR`, if they took .3 s to compile, or as long as
    `JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS` says.

    Raises:
        EmbrlError: this process was forked from one in which JAX was prepared.
    """
    import jax

    check_not_forked("embrl")
    watch_forks()
    with contextlib.suppress(RuntimeError):  # JAX is already running with its own settings
        jax.config.update("jax_num_cpu_devices", device_count())
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = _cache_folder()
        jax.config.update("jax_compilation_cache_dir", str(folder))
        if LEAST_TIME not in os.environ:
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
        trim_cache(folder)
        # What a killed process left half-written is compiled again.
        warnings.filterwarnings("ignore", CACHE_TROUBLE, UserWarning)


@functools.cache
def trim_cache(folder: Path, most: int = CACHE_BYTES) -> None:
    """Remove the files used longest ago from a cache folder larger than `most` bytes, once.

    JAX could do so itself, but under a lock for which all processes wait at each program, and no
    more after a process that was killed between the two files of an entry.
    """
    found = []
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                status = path.stat()
                found.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    size = sum(each for _, each, _ in found)
    for _, less, path in sorted(found):
        if size <= most:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        size -= less


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    from importlib.metadata import version  # slow, and not needed for `embrl --help`

    names = ("embrl", "jax", "equinox", "optax", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def machine() -> str:
    """Return the kind and number of devices, and the number of available cores."""
    import jax

    device = jax.devices()[0]
    return f"{device.device_kind} x {len(jax.devices())}, {available_cores()} cores"


def cache_base() -> Path:
    """Return the folder of everything that is kept only to save time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embrl"


def _cache_folder() -> Path:
    """Return the cache folder of this kind of processor.

    A home folder may be shared between machines, and code compiled for one processor may not run
    on another. (Earlier versions let JAX evict programs, which must have a folder of their own.)
    """
    processor = platform.processor() + platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return cache_base() / "programs" / hashlib.sha256(processor.encode()).hexdigest()[:12]
