"""f as parts of a policy."""

import equinox as eqx
from jaxtyping import Array, Bool, Float, Int

from embrl.decoding.nearest import nearest


class Identity(eqx.Module):
    """No embedding: the internal action is the action."""

    def __call__(self, u: Array, mask: Array | None = None) -> Array:
        del mask  # the actor has already kept to it
        return u


class NearestAction(eqx.Module):
    """f(e): the action whose embedding is nearest to e (Pritz et al. 2021, A.4.2)."""

    table: Float[Array, "n d"]

    def __call__(
        self, u: Float[Array, "*batch d"], mask: Bool[Array, "*#batch n"] | None = None
    ) -> Int[Array, "*batch"]:
        return nearest(self.table, u, mask)
