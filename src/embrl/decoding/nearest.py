"""f for discrete actions: the exact nearest action in embedding space."""

from jaxtyping import Array, Bool, Float, Int

from embrl.decoding.distances import filled_up, squared_distances
from embrl.decoding.groups import in_groups
from embrl.decoding.least import BLOCK, least


def nearest(
    table: Float[Array, "n d"],
    e: Float[Array, "*batch d"],
    mask: Bool[Array, "*#batch n"] | None = None,
) -> Int[Array, "*batch"]:
    """The action a that minimises ||g(a) - e||, as int32; the lowest index among equals.

    Exact to float32 rounding (see `squared_distances`). Where e is NaN, all actions are equally
    far. Memory is bounded, whatever the number of points.

    Arguments:
        table: g(a) of every action.
        e: any number of points.
        mask: True where an action may be chosen; at least one must be. A masked action is never
            returned while another is allowed.
    """

    def search(e: Array, mask: Array | None) -> Array:
        whole, allowed = filled_up(table, mask, BLOCK)
        return least(squared_distances(whole, e, allowed))[1]

    return in_groups(search, table.shape[0], e, mask)
