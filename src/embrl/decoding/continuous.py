"""Decoders without a search: for continuous actions, and for actions that are not embedded."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from embrl.core.errors import EmbrlError
from embrl.core.portable import decoder_chain, original_steps
from embrl.core.scaling import RawBox
from embrl.decoding.base import Decoder, PortableDecoder, PortableScorer, Scorer
from embrl.portable.steps import Beside, Chain, Slice


class Identity(Decoder):
    """The internal action itself, where actions are not embedded."""

    def __call__(
        self,
        table: Array | None,
        u: Array,
        noise: Array | None = None,
        mask: Array | None = None,
        scorer: Scorer | None = None,
    ) -> Array:
        del table, noise, scorer
        del mask  # the actor has already kept to it
        return u

    def log_prob(
        self, table: Any, u: Array, action: Array, mask: Array | None = None
    ) -> Float[Array, "*batch"]:
        del table, u, mask
        return jnp.zeros(action.shape)

    def portable(
        self, table: Any, allowed: Any, critic: Callable[[], PortableScorer]
    ) -> PortableDecoder:
        del table, allowed, critic
        return PortableDecoder()


class Rescaled(Decoder):
    """The internal action, -1 to 1 between an action's bounds, in the action's own units.

    What lies beyond the bounds is clipped. It is for continuous actions that are not embedded.
    """

    raw: RawBox

    continuous: ClassVar[bool] = True

    def __call__(
        self,
        table: Array | None,
        u: Float[Array, "*batch p"],
        noise: Array | None = None,
        mask: Array | None = None,
        scorer: Scorer | None = None,
    ) -> Float[Array, "*batch p"]:
        del table, noise, mask, scorer
        return self.raw.original(u)

    def portable(
        self, table: Any, allowed: Any, critic: Callable[[], PortableScorer]
    ) -> PortableDecoder:
        del table, allowed, critic
        return PortableDecoder(Chain(original_steps(self.raw)))


class OriginalParts(Decoder):
    """The internal action itself, for actions with several parts that are not embedded.

    Numbers come back to their own units and bounds.
    """

    numbers: RawBox | None
    """Scaling of the numbers; None where there are none."""
    parts: int = eqx.field(static=True)
    """Number of discrete parts."""

    of_products: ClassVar[bool] = True

    def __call__(
        self,
        table: Array | None,
        u: Array,
        noise: Array | None = None,
        mask: Array | None = None,
        scorer: Scorer | None = None,
    ) -> Array:
        del table, noise, scorer
        del mask  # the actor has already kept to it
        if self.numbers is None:
            return u
        numbers = self.numbers.original(u[..., self.parts :])
        return jnp.concatenate([u[..., : self.parts], numbers], axis=-1)

    def portable(
        self, table: Any, allowed: Any, critic: Callable[[], PortableScorer]
    ) -> PortableDecoder:
        del table, allowed, critic
        if self.numbers is None:
            return PortableDecoder()
        numbers = Chain((Slice(self.parts), *original_steps(self.numbers)))
        return PortableDecoder(Chain((Beside((Chain((Slice(0, self.parts),)), numbers)),)))


class LearnedAction(Decoder):
    """The output of a network trained to invert g (Pritz et al. 2021, eq. 6).

    The network belongs to the embedding, as the table of discrete actions does, and comes in its
    place.
    """

    continuous: ClassVar[bool] = True

    def __call__(
        self,
        table: Callable[[Array], Array] | Array | None,
        u: Float[Array, "*batch d"],
        noise: Array | None = None,
        mask: Array | None = None,
        scorer: Scorer | None = None,
    ) -> Float[Array, "*batch p"]:
        del noise, mask, scorer
        assert callable(table)
        return table(u)

    def portable(
        self, table: Any, allowed: Any, critic: Callable[[], PortableScorer]
    ) -> PortableDecoder:
        del allowed, critic
        # By its parts, as decoders know nothing of embeddings.
        box = getattr(table, "raw", None)
        if not isinstance(box, RawBox) or not hasattr(table, "network"):
            raise EmbrlError(
                f"{type(table).__name__} has no form outside of JAX; use ActionDecoder"
            )
        return PortableDecoder(decoder_chain(table.network, box))
