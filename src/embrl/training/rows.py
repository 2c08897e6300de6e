"""The rows of a run: everything that is trained side by side."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from embrl.training.program import Program
from embrl.training.seeds import over_seeds, seed_keys


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
        )
        return functools.partial(compiled, self.values)
