"""f as a network, where actions are numbers."""

from collections.abc import Callable

from jaxtyping import Array, Float

from embrl.decoding.decoder import Judge
from embrl.decoding.numbers import NumberDecoder


class LearnedAction(NumberDecoder):
    """f(e): what a network trained to undo g makes of e (Pritz et al. 2021, eq. 6). The network
    belongs to the embedding, as the table of discrete actions does, and comes in its place.
    """

    def __call__(
        self,
        table: Callable[[Array], Array] | Array | None,
        u: Float[Array, "*batch d"],
        noise: Array | None = None,
        mask: Array | None = None,
        judge: Judge | None = None,
    ) -> Float[Array, "*batch p"]:
        """
        Arguments:
            table: the network.
        """
        del noise, mask, judge
        assert callable(table)
        return table(u)
