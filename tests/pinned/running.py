"""Execution of the pinned runs in this process, with fixed compiler and device settings."""

import contextlib
import fnmatch
import importlib.util
import io
import itertools
import os
import re
import runpy
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

CORES = 2
XLA_FLAGS = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false"
)
"""Flags for short compile times: those of tests/conftest.py, and no MLIR pipeline per fusion, which
halves the CPU time of a pinned run."""
os.environ["XLA_FLAGS"] = XLA_FLAGS
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("MPLBACKEND", "Agg")
# Cache every compiled program: renamed functions compile to the same program.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embrl-pinned"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax  # noqa: E402  (it reads these when it is imported)
from names import NEW_FLAG, renamed  # noqa: E402
from numbers_kept import Kept, kept  # noqa: E402
from runs import INTERRUPTED, made_up, needed, runs  # noqa: E402

MOST_MEMORY = 2.5e9
"""Resident memory in bytes above which JAX's caches are cleared between runs."""


class Failed(Exception):
    """A command ended with an unexpected exit code."""


class Embrl:
    """The command line of embrl, called in this process."""

    def __init__(self, names: str) -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
        jax.config.update("jax_num_cpu_devices", CORES)
        jax.devices()  # from here on the number is fixed
        if names == "auto":
            code, said = self._call(["train", "gridworld", "--help"])
            if code:
                raise SystemExit(said)
            names = "new" if NEW_FLAG in said else "old"
        self.names = names

    def __call__(self, command: str) -> None:
        """Run a command.

        Raises:
            Failed: The exit code is not the expected one.
        """
        interrupted = command.startswith(INTERRUPTED)
        words = shlex.split(command.removeprefix(INTERRUPTED))
        words = words if self.names == "old" else renamed(words)
        with _interruption() if interrupted else contextlib.nullcontext():
            code, said = self._call(words)
        if code != (130 if interrupted else 0):
            raise Failed(f"{said.strip()}\n  embrl {shlex.join(words)}\n  ended with {code}")

    def _call(self, words: Sequence[str]) -> tuple[int, str]:
        said, before = io.StringIO(), sys.argv
        sys.argv = ["embrl", *words]
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                runpy.run_module("embrl", run_name="__main__")
            code = 0
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        finally:
            sys.argv = before
        return code, said.getvalue()


@contextlib.contextmanager
def _interruption() -> Iterator[None]:
    """Raise KeyboardInterrupt when metrics.csv has been written for the third time."""
    from embrl.storage.run_folder import RunFolder

    write, times = RunFolder.write_metrics, itertools.count(1)

    def counted(self: RunFolder, rows: Any) -> None:
        write(self, rows)
        if next(times) == 3:
            raise KeyboardInterrupt

    RunFolder.write_metrics = counted
    try:
        yield
    finally:
        RunFolder.write_metrics = write


def chosen(patterns: Sequence[str]) -> list[str]:
    """Return the names of the runs that match any of the patterns."""
    found = [name for name in runs() if any(fnmatch.fnmatch(name, one) for one in patterns)]
    if not found:
        raise SystemExit(f"no run matches {' or '.join(patterns)}; there are {', '.join(runs())}")
    return found


def results(names: Sequence[str], flags: str, folder: Path) -> Iterator[tuple[str, Kept]]:
    """Execute runs and yield their numbers, or only the duration for failed runs."""
    commands, embrl, files = runs(), Embrl(flags), made_up(folder)
    where = Path(str(getattr(importlib.util.find_spec("embrl"), "origin", ""))).parent
    print(f"{len(names)} runs of {where}, flags by their {embrl.names} names", flush=True)
    done: set[str] = set()
    for name in dict.fromkeys(other for one in names for other in needed(one, commands)):
        started = time.perf_counter()
        out, scratch = folder / name, folder / f"{name}.scratch"
        if name.startswith("export-"):
            out.mkdir()  # predict writes a file
        places = {**files, "out": str(out), "scratch": str(scratch)}
        places |= {f"run:{other}": str(folder / other) for other in done}
        result: Kept = {}
        try:
            for command in commands[name]:
                embrl(_filled(command, places))
            done.add(name)
            result = kept(out) if name in names else {}
        except Failed as error:
            print(f"{name}: FAILED: {error}", flush=True)
        if _memory() > MOST_MEMORY:
            jax.clear_caches()
        if name in names:
            seconds = round(time.perf_counter() - started, 1)
            yield name, {**result, "seconds": seconds}


def _filled(command: str, places: Mapping[str, str]) -> str:
    def place(match: re.Match[str]) -> str:
        if match[1] not in places:
            raise Failed(f"{{{match[1]}}} is missing")
        return places[match[1]]

    return re.sub(r"\{([^}]*)\}", place, command)


def _memory() -> float:
    """Return the resident memory of this process in bytes (Linux; elsewhere 0)."""
    status = Path("/proc/self/status")
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return 1e3 * int(found[1]) if found else 0.0
