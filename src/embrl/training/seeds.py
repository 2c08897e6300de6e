"""Seeds side by side: a vmap, spread over the devices there are."""

import contextlib
import hashlib
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from embrl.cores import cores
from embrl.types import Key

AXIS = "seeds"

CACHE_BYTES = 500_000_000
"""Of compiled programs; the least recently used give way."""


def prepare_jax() -> None:
    """Sets JAX up for vmapped seeds, if it has not started yet.

    Every core becomes a device of its own. Most of a run is small operations one after another,
    which XLA does not spread over threads: half of the seeds on each of two cores is nearly twice
    as fast as all seeds on both. Compiled programs are kept for the next run; where, and whether,
    is the caller's choice if the caller has set `JAX_COMPILATION_CACHE_DIR`.
    """
    with contextlib.suppress(RuntimeError):  # JAX is already running with what it has
        jax.config.update("jax_num_cpu_devices", cores())
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(_cache()))
        jax.config.update("jax_compilation_cache_max_size", CACHE_BYTES)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def _cache() -> Path:
    """A folder for programs compiled for just this kind of processor: a home folder may be shared
    between machines, and code for one may not run on another.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    processor = platform.processor() + platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return base / "embrl" / hashlib.sha256(processor.encode()).hexdigest()[:12]


def _mesh(seeds: int, available: Sequence[Any] | None) -> Mesh:
    """As many devices (of all, unless told) as divide the seeds evenly."""
    available = available or jax.devices()
    count = max(n for n in range(1, len(available) + 1) if seeds % n == 0)
    return Mesh(np.array(available[:count]), (AXIS,))


def spread(tree: Any, seeds: int, available: Sequence[Any] | None = None) -> Any:
    """Arrays of all seeds, on the devices that `over_seeds` computes on."""
    sharding = NamedSharding(_mesh(seeds, available), PartitionSpec(AXIS))
    return jax.device_put(tree, sharding)


def seed_keys(seed: int, seeds: int, points: int = 1) -> Key:
    """A key for each seed, `[seeds]`: the k-th is the same however many there are.

    With several points, `[points * seeds]`: the k-th seed of each has the same key, so that they
    differ in their settings and not in their luck.
    """
    numbers = np.tile(np.arange(seeds, dtype=np.uint32), points)
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), numbers)


def over_seeds(
    function: Callable[..., Any],
    seeds: int,
    shared: tuple[int, ...] = (),
    donate: tuple[int, ...] = (),
    once: bool = False,
    available: Sequence[Any] | None = None,
) -> Callable[..., Any]:
    """Compiles `function` of one seed into one of all seeds.

    Arguments:
        shared: positions of arguments that all seeds have in common; the others, and all results,
            carry a leading axis of seeds.
        donate: positions of arguments whose memory the results may take over.
        once: it is called a single time, so that compiling it fast matters more than running it
            fast.
        available: the devices to choose from; all, unless told.
    """
    mesh = _mesh(seeds, available)

    def everywhere(*arguments: Any) -> Any:
        here = [index in shared for index in range(len(arguments))]
        return jax.shard_map(
            jax.vmap(function, in_axes=tuple(None if common else 0 for common in here)),
            mesh=mesh,
            in_specs=tuple(PartitionSpec() if common else PartitionSpec(AXIS) for common in here),
            out_specs=PartitionSpec(AXIS),
            check_vma=False,
        )(*arguments)

    options = {"xla_backend_optimization_level": 0} if once else {}
    return jax.jit(everywhere, donate_argnums=donate, compiler_options=options)
