"""Learned encoders and decoders in plain NumPy (`embrl.portable`): phi, g and f as chains."""

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
from embrl.portable.steps import (
    Affine,
    Chain,
    Clipped,
    Column,
    FactorRows,
    Nearest,
    Original,
    Relu,
    Rows,
    Scaled,
    Squashed,
    Standardised,
    Step,
    Tanh,
    Unstandardised,
)

ACTIVATIONS: tuple[tuple[object, Step], ...] = ((jnp.tanh, Tanh()), (jax.nn.relu, Relu()))
"""Activations in JAX, and their steps."""

LARGEST = np.finfo(np.float32).max
"""Bound of coordinates that are left alone, however far they go."""

TABLED = 2**16
"""Number of states up to which phi is looked up whole, not computed."""


def phi_chain(phi: StateEncoder | RawStates, norm: Norm | None = None) -> Chain:
    """Return the chain from observations, `[...]`, `[..., k]` or `[..., p]`, to float32 `[..., m]`.

    Args:
        phi: The encoder of states.
        norm: The units in which a policy sees X; None for X itself.
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
    """Return the chain from actions, int `[...]` or float32 `[..., p]`, to float32 `[..., d]`."""
    if isinstance(g, ContinuousActions):
        scaled = scaled_steps(g.raw)
        return Chain(scaled if g.network is None else (*scaled, *mlp_steps(g.network), Tanh()))
    return Chain((Rows(_plain(g.table)),))


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
        return Chain((Nearest.of(_plain(g.table), allowed),))
    return decoder_chain(f)


def decoder_chain(f: ActionDecoder) -> Chain:
    """Return the chain from points to continuous actions."""
    network = () if f.network is None else mlp_steps(f.network)
    return Chain((*network, *original_steps(f.raw)))


def raw_steps(raw: RawStates) -> tuple[Step, ...]:
    """Return the steps from observations to a network's input."""
    if raw.box is not None:
        return scaled_steps(raw.box)
    return (Column(),) if raw.scalar else ()


def mlp_steps(network: MLP) -> tuple[Step, ...]:
    """Return the steps of a network's layers, without a second input.

    Raises:
        EmbrlError: If it has another activation than tanh or ReLU.
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


def scaled_steps(box: RawBox) -> tuple[Step, ...]:
    """Return the steps from a box of observations or actions to a network's input."""
    low, high, ranged = _finite(box)
    if ranged.all():
        return (Scaled(low, high, ranged, None),)
    if box.scale is None:
        far = np.full(len(low), LARGEST)
        return (
            Scaled(
                low, high, ranged, Chain((Clipped(-far, far) if box.unchanged else Squashed(),))
            ),
        )
    far = np.full(len(low), FARTHEST, np.float32)
    standardised = Standardised(_plain(box.scale.centre), _plain(box.scale.width))
    return (Scaled(low, high, ranged, Chain((standardised, Clipped(-far, far)))),)


def original_steps(box: RawBox) -> tuple[Step, ...]:
    """Return the steps from a network's output back to the box, and into its bounds."""
    low, high, ranged = _finite(box)
    other = None
    if not ranged.all():
        other = Chain(())
        if box.scale is not None:
            other = Chain((Unstandardised(_plain(box.scale.centre), _plain(box.scale.width)),))
    bounds = (np.array(side, np.float32) for side in (box.low, box.high))
    return (Original(low, high, ranged, other), Clipped(*bounds))


def _finite(box: RawBox) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both bounds, -1 and 1 where the range is not finite, and where it is, `[p]` each."""
    low, high = np.array(box.low, np.float32), np.array(box.high, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        ranged = np.isfinite(high - low)
    one = np.float32(1.0)
    return np.where(ranged, low, -one), np.where(ranged, high, one), ranged


def _activation(network: MLP) -> Step:
    for known, step in ACTIVATIONS:
        if network.activation is known:
            return step
    raise EmbrlError(f"activation must be tanh or relu outside of JAX, got {network.activation}")


def _plain(array: object) -> np.ndarray:
    return np.asarray(array)
