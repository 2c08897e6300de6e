"""g for discrete actions that have features: where an action lies follows from what is known of it.

So actions that were never tried have a place too, and so have new ones.
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
from embrl.core.types import Key
from embrl.embedding.encoders import SPREAD

AT_ONCE = 2**14
"""Actions that are embedded at once where all are: a million's hidden layers take gigabytes."""

Tree = TypeVar("Tree")


class Fixed(eqx.Module):
    """float32 numbers that are part of a model and are not learned.

    They are held as the whole numbers of the same bits: so no gradient is taken of them and no
    optimiser keeps moments of them, however many there are.
    """

    bits: Int[Array, "..."] | None
    """None where the numbers themselves are kept elsewhere (`without_features`)."""

    @classmethod
    def of(cls, numbers: Float[Array, "..."]) -> "Fixed":
        """These numbers."""
        numbers = jnp.asarray(numbers, jnp.float32)
        return cls(jax.lax.bitcast_convert_type(numbers, jnp.int32))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the numbers."""
        assert self.bits is not None
        return self.bits.shape

    def __call__(self, part: Any = ...) -> Float[Array, "..."]:
        """The numbers, or a part of them."""
        assert self.bits is not None
        bits = jnp.asarray(self.bits)
        return jax.lax.bitcast_convert_type(bits[part], jnp.float32)


class FeatureActions(eqx.Module):
    """g(a) = tanh(network(features of a) + row of a) in (-1, 1)^d.

    The network sees features that are standardised, column by column, over all actions.
    """

    features: Fixed
    """`[n, q]`, in their own units."""
    centre: Fixed
    """Their means, `[q]`."""
    width: Fixed
    """Their standard deviations, `[q]`; 1 for a column that does not vary."""
    network: MLP
    rows: Float[Array, "n d"] | None
    """What is particular about an action, beside its features; None: nothing."""

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
        """Arguments:
        features: what is known of each action.
        spread: how wide actions lie apart in the beginning, in each dimension, or about that.
        rows: whether actions have a row of their own beside them; they begin with zeros, which
            are what new actions get.
        """
        features = jnp.asarray(features, jnp.float32)
        self.features = Fixed.of(features)
        centre, width = _standard(features)
        self.centre, self.width = Fixed.of(centre), Fixed.of(width)
        self.network = MLP(features.shape[1], hidden, d, last_scale=spread, key=key)
        self.rows = jnp.zeros((features.shape[0], d)) if rows else None

    @property
    def columns(self) -> int:
        """Features of an action, q."""
        return self.centre.shape[-1]

    @property
    def table(self) -> Float[Array, "n d"]:
        """g(a) of every action; some at a time, so that memory stays bounded."""
        assert self.features.bits is not None

        def some(part: tuple[Fixed, Array | None]) -> Float[Array, "k d"]:
            features, rows = part
            return self._placed(features(), rows)

        parts = (Fixed(jnp.asarray(self.features.bits)), self.rows)
        if self.features.shape[0] <= AT_ONCE:
            return some(parts)
        return jax.lax.map(some, parts, batch_size=AT_ONCE)

    def __call__(self, action: Int[Array, "*batch"]) -> Float[Array, "*batch d"]:
        rows = None if self.rows is None else self.rows[action]
        return self._placed(self.features(action), rows)

    def embed(self, features: Float[Array, "*batch q"]) -> Float[Array, "*batch d"]:
        """Where an action with these features lies that has no row of its own."""
        return self._placed(jnp.asarray(features, jnp.float32), None)

    def _placed(self, features: Array, rows: Array | None) -> Array:
        raw = self.network((features - self.centre()) / self.width())
        return jnp.tanh(raw if rows is None else raw + rows)


def _standard(features: Float[Array, "n q"]) -> tuple[Float[Array, " q"], Float[Array, " q"]]:
    """Mean and standard deviation of each column."""
    # Each column by its largest number first: squares of large ones are beyond float32.
    largest = jnp.maximum(jnp.abs(features).max(0), jnp.finfo(jnp.float32).tiny)
    scaled = features / largest
    centre = scaled.mean(0)
    width = jnp.sqrt(((scaled - centre) ** 2).mean(0))
    # What varies less than rounding does not vary.
    varies = width > 1e-6
    return centre * largest, jnp.where(varies, width * largest, 1.0)


# New actions, and removed ones


def append_rows(
    table: Float[Array, "n d"], g: FeatureActions, features: Float[Array, "k q"]
) -> Float[Array, "n+k d"]:
    """A table of places with those of new actions behind it."""
    return jnp.concatenate([table, g.embed(features)])


def extended(g: FeatureActions, features: Float[Array, "k q"]) -> FeatureActions:
    """The same g with new actions behind the others. Their features are standardised like those
    that it was trained with, and they have no rows of their own.
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
    """Which actions may be chosen, with so many new ones that may; None: all."""
    return None if allowed is None else jnp.concatenate([allowed, jnp.ones(count, bool)])


def without(
    allowed: np.ndarray | None, actions: int, removed: Any, what: str = "removed actions"
) -> np.ndarray:
    """Which actions may be chosen when these may not, bool `[n]`.

    Arguments:
        allowed: before, bool `[n]`; None: all.
        actions: n.
        removed: indices, in any order.
        what: what messages call these.

    Raises:
        EmbrlError: they are no indices of actions, or no action is left.
    """
    indices = checked_indices(removed, actions, what)
    left = np.ones(actions, bool) if allowed is None else np.array(allowed, bool)
    left[indices] = False
    if not left.any():
        raise EmbrlError(f"{what}: none of {actions} actions is left to choose: keep at least one")
    return left


def checked_indices(indices: Any, actions: int, what: str) -> np.ndarray:
    """Indices of actions as int32 `[k]`.

    Raises:
        EmbrlError: they are something else; the message says what, and where.
    """
    values = np.asarray(indices)
    if values.size == 0:
        return np.zeros(0, np.int32)
    if values.ndim > 1 or values.dtype.kind not in "iu":
        raise EmbrlError(
            f"{what}: {values.dtype}{list(values.shape)} is no list of indices: give whole "
            f"numbers from 0 to {actions - 1}, on one axis"
        )
    values = np.atleast_1d(values)
    wrong = np.flatnonzero((values < 0) | (values >= actions))
    if len(wrong):
        raise EmbrlError(
            f"{what}: entry {wrong[0]} is {values[wrong[0]]}: there are actions 0 to {actions - 1}"
        )
    return values.astype(np.int32)


def checked_features(
    features: Any, what: str, *, rows: int | None, columns: int | None = None
) -> np.ndarray:
    """Features of actions as float32 `[n, q]`.

    Arguments:
        what: where they are from, for messages.
        rows: how many actions there are; None: any number of them.
        columns: how many features each must have; None: any number.

    Raises:
        EmbrlError: they are something else; the message says what, and in which row.
    """
    values = np.asarray(features)
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise EmbrlError(
            f"{what}: {values.dtype}{list(values.shape)} is no table of features: give numbers, "
            "a row for each action"
        )
    if rows is not None and values.shape[0] != rows:
        raise EmbrlError(
            f"{what}: {values.shape[0]} rows for {rows} actions: give a row for each action"
        )
    if values.shape[1] == 0 or (columns is not None and values.shape[1] != columns):
        wanted = "at least one" if columns is None else str(columns)
        raise EmbrlError(f"{what}: {values.shape[1]} features an action, and {wanted} are needed")
    with np.errstate(over="ignore"):  # beyond float32 is infinite
        values = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if len(bad):
        column = int(np.argmin(np.isfinite(values[bad[0]])))
        raise EmbrlError(
            f"{what}: row {bad[0]}, column {column} is {values[bad[0], column]}: features must be "
            "finite"
        )
    return values


# On disk features are a file of their own: every checkpoint would repeat them, for each seed


def without_features(tree: Tree) -> Tree:
    """The same, with the features of all g left out."""
    return _each_g(tree, lambda g: eqx.tree_at(lambda g: g.features, g, Fixed(None)))


def with_features(tree: Tree, features: np.ndarray | None) -> Tree:
    """The same with these features, `[n, q]`, where they were left out; for all seeds alike, if the
    rest has an axis of them.
    """
    if features is None:
        return tree
    bits = np.ascontiguousarray(features, np.float32).view(np.int32)

    def put(g: FeatureActions) -> FeatureActions:
        if g.centre.bits is None:  # an optimiser's, which has nothing there
            return g
        like = np.broadcast_to(bits, (*g.centre.shape[:-1], *bits.shape))
        return eqx.tree_at(lambda g: g.features, g, Fixed(like))  # type: ignore[arg-type]

    return _each_g(tree, put)


def _each_g(tree: Tree, change: Callable[[FeatureActions], FeatureActions]) -> Tree:
    def is_g(node: object) -> bool:
        return isinstance(node, FeatureActions)

    return jax.tree.map(lambda node: change(node) if is_g(node) else node, tree, is_leaf=is_g)
