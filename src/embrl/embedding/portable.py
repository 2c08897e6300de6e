"""A trained embedding in plain NumPy (`embrl.portable`): phi, g and f as chains of steps."""

import jax
import jax.numpy as jnp
import numpy as np

from embrl.core.errors import EmbrlError
from embrl.core.nn import MLP, FactorLinear
from embrl.core.scaling import FARTHEST, RawBox
from embrl.embedding.encoders import (
    ActionDecoder,
    ActionEncoder,
    ContinuousActions,
    Norm,
    RawStates,
    StateEncoder,
)
from embrl.embedding.feature_actions import FeatureActions
from embrl.portable import Chain, Step
from embrl.portable.layers import Affine, Column, FactorRows, Relu, Rows, Tanh
from embrl.portable.nearest import Nearest
from embrl.portable.scaling import Limits, Original, Scaled, Standardised

ACTIVATIONS: tuple[tuple[object, Step], ...] = ((jnp.tanh, Tanh()), (jax.nn.relu, Relu()))
"""JAX's, and what they are here."""

TABLED = 2**16
"""States up to which phi is looked up whole, not computed."""


def phi_chain(phi: StateEncoder | RawStates, norm: Norm | None = None) -> Chain:
    """From observations, `[...]`, `[..., k]` or `[..., p]`, to float32 `[..., m]`.

    Arguments:
        norm: how a policy sees X (`Standardised`); None: as it is.
    """
    after: tuple[Step, ...] = () if norm is None else (Standardised(*map(_plain, norm)),)
    if isinstance(phi, RawStates):
        return Chain((*raw_steps(phi), *after))
    chain = Chain((*raw_steps(phi.raw), *mlp_steps(phi.network), Tanh(), *after))
    sizes = phi.raw.sizes
    if phi.raw.scalar and sizes[0] <= TABLED:
        return Chain((Rows(chain(np.arange(sizes[0], dtype=np.int32))),))
    return chain


def g_chain(g: ActionEncoder | FeatureActions | ContinuousActions) -> Chain:
    """From actions, int `[...]` or float32 `[..., p]`, to float32 `[..., d]`."""
    if isinstance(g, ContinuousActions):
        scaled = Scaled(limits(g.raw))
        return Chain((scaled,) if g.network is None else (scaled, *mlp_steps(g.network), Tanh()))
    return Chain((Rows(_plain(g.table)),))


def f_chain(
    g: ActionEncoder | FeatureActions | ContinuousActions,
    f: ActionDecoder | None,
    allowed: np.ndarray | None = None,
) -> Chain:
    """From points, float32 `[..., d]`, to actions: the nearest one, or what the network makes of a
    point.

    Arguments:
        allowed: bool `[n]`, the discrete actions that may be returned; None: all.
    """
    if f is None:
        return Chain((Nearest(_plain(g.table), allowed),))
    return undone(f)


def undone(f: ActionDecoder) -> Chain:
    """From points to actions that are numbers."""
    network = () if f.network is None else mlp_steps(f.network)
    return Chain((*network, Original(limits(f.raw))))


def raw_steps(raw: RawStates) -> tuple[Step, ...]:
    """Observations for networks."""
    if raw.box is not None:
        return (Scaled(limits(raw.box)),)
    return (Column(),) if raw.scalar else ()


def mlp_steps(network: MLP) -> tuple[Step, ...]:
    """A network's layers. A second input is not among them.

    Raises:
        EmbrlError: it has an activation of the user's own.
    """
    steps: list[Step] = []
    for index, layer in enumerate(network.layers):
        if index:
            steps.append(_activation(network))
        if isinstance(layer, FactorLinear):
            offsets = np.cumsum((0, *layer.factors[:-1]), dtype=np.int32)
            steps.append(FactorRows(_plain(layer.table), _plain(layer.bias), offsets))
        else:
            steps.append(Affine(_plain(layer.weight), _plain(layer.bias)))
    return tuple(steps)


def limits(box: RawBox) -> Limits:
    """Of a box of observations or actions."""
    low, high = np.array(box.low, np.float32), np.array(box.high, np.float32)
    if box.unchanged:
        largest = float(np.finfo(np.float32).max)
        return Limits(low, high, np.zeros_like(low), np.ones_like(low), largest)
    if box.scale is None:
        return Limits(low, high, None, None, FARTHEST)
    return Limits(low, high, _plain(box.scale.centre), _plain(box.scale.width), FARTHEST)


def _activation(network: MLP) -> Step:
    for known, step in ACTIVATIONS:
        if network.activation is known:
            return step
    raise EmbrlError(f"{network.activation} is known in JAX only: a network here has tanh or relu")


def _plain(array: object) -> np.ndarray:
    return np.asarray(array)
