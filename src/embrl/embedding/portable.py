"""The encoders and decoders of an embedding, phi, g and f, as portable chains."""

from typing import TypeAlias

import numpy as np

from embrl.core.images import LUMINANCE
from embrl.core.portable import decoder_chain, mlp_steps, plain, scaled_steps
from embrl.embedding.encoders import (
    ActionDecoder,
    ActionEncoder,
    ContinuousActions,
    Norm,
    RawStates,
    RowCodes,
    StateEncoder,
)
from embrl.embedding.feature_actions import FeatureActions
from embrl.embedding.product_actions import ProductActions
from embrl.portable.steps import (
    Affine,
    Beside,
    Cast,
    Chain,
    Column,
    Nearest,
    PartRows,
    PortableStep,
    Reshaped,
    Rounded,
    Rows,
    Slice,
    Standardised,
    Tanh,
)

TABLED = 2**16
"""Number of states up to which phi is looked up whole, not computed."""


def phi_chain(phi: StateEncoder | RawStates, norm: Norm | None = None) -> Chain:
    """Return the chain from observations, `[...]`, `[..., k]` or `[..., p]`, to float32 `[..., m]`.

    Args:
        phi: The encoder of states.
        norm: The units in which a policy sees X; None for X itself.
    """
    after: tuple[PortableStep, ...] = () if norm is None else (normed(norm),)
    chain = Chain((*phi_steps(phi), *after))
    count = tabled_states(phi)
    return chain if count is None else Chain((Rows(chain(np.arange(count, dtype=np.int32))),))


def phi_steps(phi: StateEncoder | RawStates) -> tuple[PortableStep, ...]:
    """Return the steps of an encoder of states, with a network computed."""
    if isinstance(phi, RawStates):
        return raw_steps(phi)
    return (*raw_steps(phi.raw), *mlp_steps(phi.network), Tanh())


def tabled_states(phi: StateEncoder | RawStates) -> int | None:
    """Return the number of states, if phi is better looked up for all of them; else None."""
    if isinstance(phi, StateEncoder) and phi.raw.scalar and phi.raw.sizes[0] <= TABLED:
        return phi.raw.sizes[0]
    return None


def normed(norm: Norm) -> Standardised:
    """Return the step to the units in which policies see X."""
    return Standardised(*map(plain, norm))


AnyEncoder: TypeAlias = ActionEncoder | FeatureActions | ContinuousActions | ProductActions
"""An encoder of actions, g."""


def g_chain(g: AnyEncoder) -> Chain:
    """Return the chain from actions, int `[...]` or float32 `[..., p]`, to float32 `[..., d]`.

    Actions with several parts are rows (`embrl.core.products`).
    """
    if isinstance(g, ProductActions):
        numbers = None if g.numbers is None else Chain(scaled_steps(g.numbers))
        return Chain((PartRows(plain(g.points), g.product.offsets, numbers),))
    if isinstance(g, ContinuousActions):
        scaled = scaled_steps(g.raw)
        return Chain(scaled if g.network is None else (*scaled, *mlp_steps(g.network), Tanh()))
    return Chain((Rows(plain(g.table)),))


def f_chain(
    g: AnyEncoder,
    f: ActionDecoder | None,
    allowed: np.ndarray | None = None,
) -> Chain:
    """Return the chain from points, float32 `[..., d]`, to actions.

    Args:
        g: The encoder of actions.
        f: The network that inverts g, for continuous actions; None for the nearest action.
        allowed: True for discrete actions that may be returned, bool `[n]`; None for all.
    """
    if isinstance(g, ProductActions):
        return Chain((g.decoded.portable(),))
    if f is None:
        return Chain((Nearest.of(plain(g.table), allowed),))
    return decoder_chain(f.network, f.raw)


def raw_steps(raw: RawStates) -> tuple[PortableStep, ...]:
    """Return the steps from observations to a network's input."""
    if (image := raw.image) is not None:
        unit = Standardised(np.zeros(1, np.float32), np.full(1, image.levels, np.float32))
        if not image.grey:
            return (Cast("float32"), Reshaped(image.shape, (image.pixels,)), unit)
        given = (*image.shape[:2], 3 * image.channels)
        weights = np.array(LUMINANCE, np.float32)[:, None]
        grey = (Affine(weights, np.zeros(1, np.float32)), Rounded())
        colours = Reshaped(given, (image.pixels, 3))
        flat = Reshaped((image.pixels, 1), (image.pixels,))
        return (Cast("float32"), colours, *grey, flat, unit)
    if raw.box is None:
        return (Column(),) if raw.scalar else ()
    scaled, k = scaled_steps(raw.box), len(raw.sizes)
    if not k:
        return scaled
    return (Beside((Chain((Slice(0, k),)), Chain((Slice(k), *scaled)))),)


def row_code_steps(codes: RowCodes) -> tuple[PortableStep, ...]:
    """Return the steps from rows of factors and numbers to vectors."""
    k = len(codes.raw.sizes)
    assert codes.raw.box is not None
    indices = Chain((Slice(0, k), Cast("int32"), *phi_steps(codes.codes)))
    return (Beside((indices, Chain((Slice(k), *scaled_steps(codes.raw.box))))),)
