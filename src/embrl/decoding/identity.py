"""f where there is no embedding."""

from jaxtyping import Array

from embrl.decoding.decoder import Decoder, Judge


class Identity(Decoder):
    """The internal action is the action."""

    def __call__(
        self,
        table: Array | None,
        u: Array,
        noise: Array | None = None,
        mask: Array | None = None,
        judge: Judge | None = None,
    ) -> Array:
        del table, noise, judge
        del mask  # the actor has already kept to it
        return u
