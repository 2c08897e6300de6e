"""Seeds side by side: a vmap, spread over the devices there are."""

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from embrl.types import Key

AXIS = "seeds"


def use_all_cores() -> None:
    """Makes every core a device of its own, if JAX has not started yet.

    Most of a run is small operations one after another, which XLA does not spread over threads:
    half of the seeds on each of two cores is nearly twice as fast as all seeds on both.
    """
    try:
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    except RuntimeError:  # JAX is already running: what devices it has is the caller's affair
        return


def devices(seeds: int) -> list[jax.Device]:
    """As many devices as divide the seeds evenly."""
    available = jax.devices()
    count = max(n for n in range(1, len(available) + 1) if seeds % n == 0)
    return available[:count]


def seed_keys(seed: int, seeds: int) -> Key:
    """A key for each seed, `[seeds]`: the k-th is the same however many there are."""
    numbers = np.arange(seeds, dtype=np.uint32)
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), numbers)


def over_seeds(
    function: Callable[..., Any], seeds: int, shared: tuple[int, ...] = (), donate: tuple = ()
) -> Callable[..., Any]:
    """Compiles `function` of one seed into one of all seeds.

    Arguments:
        shared: positions of arguments that all seeds have in common; the others, and all results,
            carry a leading axis of seeds.
        donate: positions of arguments whose memory the results may take over.
    """
    mesh = Mesh(np.array(devices(seeds)), (AXIS,))

    def everywhere(*arguments: Any) -> Any:
        here = [index in shared for index in range(len(arguments))]
        return jax.shard_map(
            jax.vmap(function, in_axes=tuple(None if common else 0 for common in here)),
            mesh=mesh,
            in_specs=tuple(PartitionSpec() if common else PartitionSpec(AXIS) for common in here),
            out_specs=PartitionSpec(AXIS),
            check_vma=False,
        )(*arguments)

    return jax.jit(everywhere, donate_argnums=donate)
