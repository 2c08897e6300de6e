"""A custom decoder: the action whose embedding points in the direction of e.

    embrl --plugin examples/plugins/decoder.py train ENV --decoder.kind by_direction

Only the direction of e counts, not its length, as with cosine similarity. It suits embeddings in
which the direction says what an action does and the length how strongly.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

import embrl
from embrl.decoding import Decoder, Scorer, nearest
from embrl.decoding.base import PortableDecoder, PortableScorer
from embrl.portable.steps import Chain, Nearest


@embrl.register_decoder("by_direction")
class ByDirection(Decoder):
    """The action a with the largest cosine similarity of g(a) and e.

    With rows of length 1, ||g(a) - e||^2 = 1 + ||e||^2 - 2 <g(a), e>, so it is the nearest row.
    """

    portable_exclusions: ClassVar[bool] = True

    def __call__(
        self,
        table: Float[Array, "n d"] | None,
        u: Float[Array, "*batch d"],
        noise: Array | None = None,
        mask: Bool[Array, "*#batch n"] | None = None,
        scorer: Scorer | None = None,
    ) -> Int[Array, "*batch"]:
        del noise, scorer  # it is neither random nor does it need scores
        assert table is not None
        return nearest(unit_rows(table), u, mask)

    def portable(
        self, table: Any, allowed: Any, critic: Callable[[], PortableScorer]
    ) -> PortableDecoder:
        """Return the same as plain steps, for `embrl export`. It may be left out."""
        del critic
        rows = np.asarray(unit_rows(jnp.asarray(table)))
        return PortableDecoder(Chain((Nearest.of(rows, allowed),)))


def unit_rows(table: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Return the rows scaled to length 1."""
    lengths = jnp.linalg.norm(jax.lax.stop_gradient(table), axis=-1, keepdims=True)
    return table / jnp.maximum(lengths, 1e-8)
