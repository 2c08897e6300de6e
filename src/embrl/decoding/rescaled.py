"""f where actions are numbers and not embedded."""

from jaxtyping import Array, Float

from embrl.core.scaling import RawBox
from embrl.decoding.decoder import Judge
from embrl.decoding.numbers import NumberDecoder


class Rescaled(NumberDecoder):
    """The internal action, -1 to 1 between an action's bounds, in the action's own units. What lies
    beyond the bounds counts as there.
    """

    raw: RawBox

    def __call__(
        self,
        table: Array | None,
        u: Float[Array, "*batch p"],
        noise: Array | None = None,
        mask: Array | None = None,
        judge: Judge | None = None,
    ) -> Float[Array, "*batch p"]:
        del table, noise, mask, judge
        return self.raw.original(u)
