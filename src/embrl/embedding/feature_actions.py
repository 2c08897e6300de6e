"""Action encoder for discrete actions with features.

The embedding of an action is computed from its features, so actions that were never tried, and
actions that are added later, have one too.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embrl.core.errors import EmbrlError
from embrl.core.nn import MLP
from embrl.core.spaces import array_of
from embrl.core.types import Key
from embrl.embedding.config import SPREAD

TABLE_BATCH = 2**14
"""Actions embedded at a time for `table`: the hidden layers of a million take gigabytes."""

Tree = TypeVar("Tree")


class Fixed(eqx.Module):
    """Constant float32 array in a model.

    It is stored as the integers with the same bits, so that it gets no gradient and an optimiser
    keeps no moments of it, however large it is.
    """

    bits: Int[Array, "..."] | None
    """None where the array is stored elsewhere (`without_features`)."""

    @classmethod
    def of(cls, numbers: Float[Array, "..."]) -> "Fixed":
        """Return the constant with these values."""
        numbers = jnp.asarray(numbers, jnp.float32)
        return cls(jax.lax.bitcast_convert_type(numbers, jnp.int32))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        assert self.bits is not None
        return self.bits.shape

    def __call__(self, part: Any = ...) -> Float[Array, "..."]:
        """Return the array, or the part at an index."""
        assert self.bits is not None
        bits = jnp.asarray(self.bits)
        return jax.lax.bitcast_convert_type(bits[part], jnp.float32)


class FeatureActions(eqx.Module):
    """Action encoder g(a) = tanh(network(features of a) + row of a) in (-1, 1)^d.

    The features are standardised, column by column, over all actions.
    """

    features: Fixed
    """Features of all actions `[n, q]`, in their own units."""
    centre: Fixed
    """Means of the features, `[q]`."""
    width: Fixed
    """Standard deviations of the features, `[q]`; 1 for a constant column."""
    network: MLP
    rows: Float[Array, "n d"] | None
    """Learned rows added to the output of the network; None: there are none."""

    def __init__(
        self,
        features: Float[Array, "n q"],
        d: int,
        hidden: Sequence[int],
        *,
        rows: bool = False,
        spread: float = SPREAD,
        key: Key,
    ) -> None:
        """Initialise the network.

        Args:
            features: features of each action.
            d: dimensions of E.
            hidden: sizes of hidden layers.
            rows: True to add a learned row per action. Rows start at zero, and those of new
                actions are zero.
            spread: initial standard deviation of embeddings, approximately.
            key: random key.
        """
        features = jnp.asarray(features, jnp.float32)
        self.features = Fixed.of(features)
        centre, width = _standard(features)
        self.centre, self.width = Fixed.of(centre), Fixed.of(width)
        self.network = MLP(features.shape[1], hidden, d, last_scale=spread, key=key)
        self.rows = jnp.zeros((features.shape[0], d)) if rows else None

    @property
    def columns(self) -> int:
        """Number q of features of an action."""
        return self.centre.shape[-1]

    @property
    def table(self) -> Float[Array, "n d"]:
        """Embeddings g(a) of all actions, computed in batches to bound memory."""
        assert self.features.bits is not None

        def batch(inputs: tuple[Fixed, Array | None]) -> Float[Array, "k d"]:
            features, rows = inputs
            return self._embed(features(), rows)

        inputs = (Fixed(jnp.asarray(self.features.bits)), self.rows)
        if self.features.shape[0] <= TABLE_BATCH:
            return batch(inputs)
        return jax.lax.map(batch, inputs, batch_size=TABLE_BATCH)

    def __call__(self, action: Int[Array, "*batch"]) -> Float[Array, "*batch d"]:
        rows = None if self.rows is None else self.rows[action]
        return self._embed(self.features(action), rows)

    def embed(self, features: Float[Array, "*batch q"]) -> Float[Array, "*batch d"]:
        """Return the embeddings of actions with these features and no learned row."""
        return self._embed(jnp.asarray(features, jnp.float32), None)

    def _embed(self, features: Array, rows: Array | None) -> Array:
        raw = self.network((features - self.centre()) / self.width())
        return jnp.tanh(raw if rows is None else raw + rows)


def _standard(features: Float[Array, "n q"]) -> tuple[Float[Array, " q"], Float[Array, " q"]]:
    """Return the mean and standard deviation of each column."""
    # Divide by the largest value first, as squares of large values overflow float32.
    largest = jnp.maximum(jnp.abs(features).max(0), jnp.finfo(jnp.float32).tiny)
    scaled = features / largest
    centre = scaled.mean(0)
    width = jnp.sqrt(((scaled - centre) ** 2).mean(0))
    # Variation below rounding error counts as none.
    varies = width > 1e-6
    return centre * largest, jnp.where(varies, width * largest, 1.0)


# Adding and excluding actions


def append_rows(
    table: Float[Array, "n d"], g: FeatureActions, features: Float[Array, "k q"]
) -> Float[Array, "n+k d"]:
    """Return a table of embeddings extended by those of new actions."""
    return jnp.concatenate([table, g.embed(features)])


def extended(g: FeatureActions, features: Float[Array, "k q"]) -> FeatureActions:
    """Return g with new actions appended.

    Their features are standardised like those that g was trained with, and they have no learned
    rows.
    """
    assert g.features.bits is not None
    new = Fixed.of(features)
    bits = jnp.concatenate([jnp.asarray(g.features.bits), jnp.asarray(new.bits)])
    g = eqx.tree_at(lambda g: g.features, g, Fixed(bits))
    if g.rows is None:
        return g
    rows = jnp.concatenate([g.rows, jnp.zeros((len(features), g.rows.shape[1]))])
    return eqx.tree_at(lambda g: g.rows, g, rows)


def extend_mask(allowed: Bool[Array, " n"] | None, count: int) -> Bool[Array, " n+k"] | None:
    """Return a mask of allowed actions extended by `count` allowed ones; None: all are allowed."""
    return None if allowed is None else jnp.concatenate([allowed, jnp.ones(count, bool)])


def without(
    allowed: np.ndarray | None, actions: int, removed: Any, what: str = "removed actions"
) -> np.ndarray:
    """Return a mask of allowed actions, bool `[n]`, with some actions excluded.

    Args:
        allowed: mask before, bool `[n]`; None: all actions are allowed.
        actions: number n of actions.
        removed: indices of the actions to exclude, in any order.
        what: name of the indices in messages.

    Raises:
        EmbrlError: they are not indices of actions, or no action is left.
    """
    indices = checked_indices(removed, actions, what)
    left = np.ones(actions, bool) if allowed is None else np.array(allowed, bool)
    left[indices] = False
    if not left.any():
        raise EmbrlError(f"{what} must leave at least one of {actions} actions, got all of them")
    return left


def checked_indices(indices: Any, actions: int, what: str) -> np.ndarray:
    """Return indices of actions as int32 `[k]`.

    Raises:
        EmbrlError: they are not indices of actions; the message names the first wrong entry.
    """
    values = array_of(indices, what)
    if values.size == 0:
        return np.zeros(0, np.int32)
    if values.ndim > 1 or values.dtype.kind not in "iu":
        raise EmbrlError(
            f"{what} must be a list of integers from 0 to {actions - 1}, got "
            f"{values.dtype}{list(values.shape)}"
        )
    values = np.atleast_1d(values)
    wrong = np.flatnonzero((values < 0) | (values >= actions))
    if len(wrong):
        raise EmbrlError(
            f"{what} must be integers from 0 to {actions - 1}, got {values[wrong[0]]} at entry "
            f"{wrong[0]}"
        )
    return values.astype(np.int32)


def checked_features(
    features: Any, what: str, *, rows: int | None, columns: int | None = None
) -> np.ndarray:
    """Return features of actions as float32 `[n, q]`.

    Args:
        features: table of numbers.
        what: source of the features, for messages.
        rows: required number n of actions; None: any.
        columns: required number q of features; None: any, but at least one.

    Raises:
        EmbrlError: they are not finite numbers of this shape; the message names the first wrong
            entry.
    """
    values = np.asarray(features)
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise EmbrlError(
            f"{what} must be a table of numbers with a row per action, got "
            f"{values.dtype}{list(values.shape)}"
        )
    if rows is not None and values.shape[0] != rows:
        raise EmbrlError(
            f"{what} must have a row for each of {rows} actions, got {values.shape[0]} rows"
        )
    if values.shape[1] == 0 or (columns is not None and values.shape[1] != columns):
        wanted = "at least one" if columns is None else str(columns)
        raise EmbrlError(f"{what} must have {wanted} features per action, got {values.shape[1]}")
    with np.errstate(over="ignore"):  # values beyond float32 become infinite
        values = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if len(bad):
        column = int(np.argmin(np.isfinite(values[bad[0]])))
        raise EmbrlError(
            f"{what} must be finite, got {values[bad[0], column]} in row {bad[0]}, column {column}"
        )
    return values


# On disk, features have a file of their own: checkpoints would repeat them for each seed


def without_features(tree: Tree) -> Tree:
    """Return a pytree with the features of every `FeatureActions` removed."""
    return _each_g(tree, lambda g: eqx.tree_at(lambda g: g.features, g, Fixed(None)))


def with_features(tree: Tree, features: np.ndarray | None) -> Tree:
    """Return a pytree with features `[n, q]` in every `FeatureActions` that lacks them.

    If the pytree has an axis of seeds, all of them share the features.
    """
    if features is None:
        return tree
    bits = np.ascontiguousarray(features, np.float32).view(np.int32)

    def put(g: FeatureActions) -> FeatureActions:
        if g.centre.bits is None:  # in the state of an optimiser, which has no constants
            return g
        shared = np.broadcast_to(bits, (*g.centre.shape[:-1], *bits.shape))
        return eqx.tree_at(lambda g: g.features, g, Fixed(shared))  # type: ignore[arg-type]

    return _each_g(tree, put)


def _each_g(tree: Tree, change: Callable[[FeatureActions], FeatureActions]) -> Tree:
    def is_g(node: object) -> bool:
        return isinstance(node, FeatureActions)

    return jax.tree.map(lambda node: change(node) if is_g(node) else node, tree, is_leaf=is_g)
