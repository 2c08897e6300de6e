"""The rows of a run: everything that is trained side by side."""

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from embrl.training.program import Program
from embrl.training.seeds import over_seeds, seed_keys, spread


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
