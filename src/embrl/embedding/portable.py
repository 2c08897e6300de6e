"""The encoders and decoders of an embedding, phi, g and f, as portable chains."""

import numpy as np

from embrl.core.portable import decoder_chain, mlp_steps, plain, scaled_steps
from embrl.embedding.encoders import (
    ActionDecoder,
    ActionEncoder,
    ContinuousActions,
    Norm,
    RawStates,
    StateEncoder,
)
from embrl.embedding.feature_actions import FeatureActions
from embrl.portable.steps import Chain, Column, Nearest, PortableStep, Rows, Standardised, Tanh

TABLED = 2**16
"""Number of states up to which phi is looked up whole, not computed."""


def phi_chain(phi: StateEncoder | RawStates, norm: Norm | None = None) -> Chain:
    """Return the chain from observations, `[...]`, `[..., k]` or `[..., p]`, to float32 `[..., m]`.

    Args:
        phi: The encoder of states.
        norm: The units in which a policy sees X; None for X itself.
    """
    after: tuple[PortableStep, ...] = () if norm is None else (Standardised(*map(plain, norm)),)
    if isinstance(phi, RawStates):
        return Chain((*raw_steps(phi), *after))
    chain = Chain((*raw_steps(phi.raw), *mlp_steps(phi.network), Tanh(), *after))
    sizes = phi.raw.sizes
    if phi.raw.scalar and sizes[0] <= TABLED:
        return Chain((Rows(chain(np.arange(sizes[0], dtype=np.int32))),))
    return chain


def g_chain(g: ActionEncoder | FeatureActions | ContinuousActions) -> Chain:
    """Return the chain from actions, int `[...]` or float32 `[..., p]`, to float32 `[..., d]`."""
    if isinstance(g, ContinuousActions):
        scaled = scaled_steps(g.raw)
        return Chain(scaled if g.network is None else (*scaled, *mlp_steps(g.network), Tanh()))
    return Chain((Rows(plain(g.table)),))


def f_chain(
    g: ActionEncoder | FeatureActions | ContinuousActions,
    f: ActionDecoder | None,
    allowed: np.ndarray | None = None,
) -> Chain:
    """Return the chain from points, float32 `[..., d]`, to actions.

    Args:
        g: The encoder of actions.
        f: The network that inverts g, for continuous actions; None for the nearest action.
        allowed: True for discrete actions that may be returned, bool `[n]`; None for all.
    """
    if f is None:
        return Chain((Nearest.of(plain(g.table), allowed),))
    return decoder_chain(f.network, f.raw)


def raw_steps(raw: RawStates) -> tuple[PortableStep, ...]:
    """Return the steps from observations to a network's input."""
    if raw.box is not None:
        return scaled_steps(raw.box)
    return (Column(),) if raw.scalar else ()
