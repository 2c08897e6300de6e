"""The rows of a run: everything that is trained side by side."""

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from embrl.core.types import Key
from embrl.training.trainer import Program


class Rows:
    """All seeds of the first point of a sweep, of the second, ...; of an ordinary run, its seeds.
    Each row has a key, and its own values of what varies.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        config = program.config
        self.count = config.rows
        self.keys = seed_keys(config.seed, config.seeds, config.points)
        self.values = {
            name: jnp.asarray(np.repeat(values, config.seeds), jnp.float32)
            for name, values in config.vary.items()
        }
        self.first = 0
        """Of all rows, where these begin."""
        self._available: Sequence[Any] | None = None

    def part(self, which: slice, available: Sequence[Any] | None) -> "Rows":
        """Some of all rows, computed on these devices (on all: None)."""
        part = copy.copy(self)
        part.keys = self.keys[which]
        part.first, part.count = which.start, len(part.keys)
        part.values = {name: values[which] for name, values in self.values.items()}
        part._available = available
        return part

    def spread(self, tree: Any) -> Any:
        """Arrays of all rows, where `over` computes."""
        return spread(tree, self.count, self._available)

    def taken(self, tree: Any) -> Any:
        """Of arrays of all rows these, where `over` computes."""
        if self.count < self.program.config.rows:
            which = slice(self.first, self.first + self.count)
            tree = jax.tree.map(lambda leaf: leaf[which], tree)
        return self.spread(tree)

    def over(
        self,
        function: Callable[..., Any],
        shared: tuple[int, ...] = (),
        donate: tuple[int, ...] = (),
        once: bool = False,
    ) -> Callable[..., Any]:
        """A method of `Program`, compiled over all rows. Positions count without the program.

        Arguments:
            shared: positions of arguments that all rows have in common.
            donate: positions of arguments whose memory the results may take over.
            once: it is called a single time.
        """

        def one(values: dict[str, jax.Array], *arguments: Any) -> Any:
            return function(self.program.at(values), *arguments)

        compiled = over_seeds(
            one,
            self.count,
            shared=tuple(at + 1 for at in shared),
            donate=tuple(at + 1 for at in donate),
            once=once,
            available=self._available,
        )
        return functools.partial(compiled, self.values)


# DOC Seeds side by side: a vmap, spread over the devices there are.


AXIS = "seeds"


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
