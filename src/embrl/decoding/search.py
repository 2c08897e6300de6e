"""Exact search for the nearest points: by a tree where there is one, else among all of them.

XLA's `argmin` and `top_k` are slow on the CPU (docs/decoders.md). Here values stand in blocks:
only the minima of the blocks are compared with one another, and positions are looked for inside one
block.
"""

import functools
import math
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from embrl.decoding import filtered, products, tree
from embrl.decoding.indexed import FewActions, IndexedTable, embedded
from embrl.decoding.products import ProductTable

BLOCK = 32
"""Width of a block, the fastest from 512 to 4,096 values; as many as a uint32 has bits."""

AT_ONCE = 2**21
"""Number of distances in memory at once, for each seed. More are slower on the CPU: they leave the
cache, and every call begins with thousands of page faults."""

MOST_AXES, AXES = 64, 32
"""Dimensions of E up to which all are added up in one pass, and those of a pass where there are
more: compiling one pass of 256 takes minutes."""

FEW = 64
"""Actions that masks may allow at most for `nearest` to compute the distances of these alone."""

MANY = 16
"""Multiple of `FEW` from which number of actions on it looks for masks that allow so few."""

Found = TypeVar("Found", bound=PyTree[Array])


def nearest(
    table: Float[Array, "n d"] | IndexedTable | ProductTable,
    e: Float[Array, "*batch d"],
    mask: Bool[Array, "*#batch n"] | None = None,
) -> Int[Array, "*batch"]:
    """Return the action a that minimises ||g(a) - e||, as int32; the lowest index among equals.

    By a tree it is exact (`tree.search`); among all it is exact to float32 rounding (see
    `squared_distances`), and where e is NaN, all actions are equally far. Memory is bounded,
    whatever the number of points.

    Args:
        table: g(a) of every action, `[n, d]`, with a tree or without; or of every part's values:
            then rows are returned, as by `products.nearest`.
        e: Points, `[*batch, d]`.
        mask: True where an action may be chosen; at least one must be. A masked action is never
            returned while another is allowed; where none of an index is, the first that is allowed.
    """
    if isinstance(table, ProductTable):
        return products.nearest(table, e, mask)
    if isinstance(table, IndexedTable):
        index = table.index
        if isinstance(index, FewActions):
            allowed = None if mask is None else index.allowed_by(mask)
            found = index.actions[nearest(index.points, e, allowed)]
            return found if allowed is None else or_masks_first(found, allowed.any(-1), mask)
        found = tree.search(index, e, 1, mask, table.max_visits)[..., 0]
        return or_masks_first(found, found < tree.NONE, mask)

    def search(e: Array, mask: Array | None) -> Array:
        whole, allowed = filled_up(table, mask, BLOCK)
        return first_least(whole, e, allowed)

    def first_least(whole: Array, e: Array, allowed: Array | None) -> Array:
        return argmin(squared_distances(whole, e, allowed))[1]

    def search_few(e: Array, mask: Array | None) -> Array:
        assert mask is not None
        actions, allowed = few_allowed(mask)
        squares = _capped(((e[..., None, :] - table[actions]) ** 2).sum(-1))
        place = argmin(jnp.where(allowed, squares, jnp.inf))[1]
        return jnp.take_along_axis(actions, place[..., None], axis=-1)[..., 0]

    def search_all() -> Array:
        if not filtered.pays(*table.shape):
            return in_groups(search, n, e, mask)
        whole, allowed = filled_up(table, mask, filtered.BLOCK)
        compare_all = functools.partial(first_least, whole)
        return filtered.nearest(whole, e, allowed, compare_all, AT_ONCE)

    n = table.shape[0]
    if not masks_may_be_few(mask):
        return search_all()
    assert mask is not None
    return jax.lax.cond(
        all_allow_few(mask),
        lambda: in_groups(search_few, n, e, jnp.broadcast_to(mask, (*e.shape[:-1], n))),
        search_all,
    )


def _capped(distance: Array) -> Array:
    """Return distances with those that overflow or are NaN as far away as any allowed action."""
    far = jnp.asarray(jnp.finfo(distance.dtype).max / 2, distance.dtype)
    return jnp.where(distance <= far, distance, far)


def masks_may_be_few(mask: Array | None) -> bool:
    """Return whether it is worth while to look whether masks allow but `FEW` actions."""
    return mask is not None and mask.ndim > 1 and mask.shape[-1] >= MANY * FEW


def all_allow_few(mask: Bool[Array, "*batch n"]) -> Bool[Array, ""]:
    """Return whether every mask allows at most `FEW` actions."""
    return (mask.sum(-1, dtype=jnp.int32) <= FEW).all()


def few_allowed(
    mask: Bool[Array, "*batch n"],
) -> tuple[Int[Array, "*batch few"], Bool[Array, "*batch few"]]:
    """Return the first `FEW` actions that masks allow, in order, and which places are filled.

    Flags become bits of words, in which ranks are found by counting: a running sum over all flags,
    or a sort, takes longer than the distances that this saves.
    """
    lacking = -mask.shape[-1] % BLOCK
    mask = jnp.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, lacking)])
    bits = mask.reshape(*mask.shape[:-1], -1, BLOCK).astype(jnp.uint32)
    words = (bits << jnp.arange(BLOCK, dtype=jnp.uint32)).sum(-1, dtype=jnp.uint32)
    counts = jax.lax.population_count(words).astype(jnp.int32)
    ends = counts.cumsum(-1)
    rank = jnp.arange(FEW, dtype=jnp.int32)
    # The first word that ends beyond the rank.
    first = functools.partial(jnp.searchsorted, side="right", method="scan_unrolled")
    rows = jax.vmap(lambda row: first(row, rank))(ends.reshape(-1, ends.shape[-1]))
    word = rows.reshape(*ends.shape[:-1], FEW).astype(jnp.int32)
    filled = word < words.shape[-1]
    word = jnp.minimum(word, words.shape[-1] - 1)
    left = rank - jnp.take_along_axis(ends - counts, word, axis=-1)
    rest, place = jnp.take_along_axis(words, word, axis=-1), jnp.zeros_like(word)
    for width in (16, 8, 4, 2, 1):
        low = jax.lax.population_count(rest & jnp.uint32(2**width - 1)).astype(jnp.int32)
        beyond = left >= low
        left = jnp.where(beyond, left - low, left)
        rest = jnp.where(beyond, rest >> width, rest)
        place = jnp.where(beyond, place + width, place)
    return jnp.where(filled, word * BLOCK + place, 0), filled


def k_nearest(
    table: Float[Array, "n d"] | IndexedTable,
    e: Float[Array, "*batch d"],
    k: int,
    mask: Bool[Array, "*#batch n"] | None = None,
) -> tuple[Int[Array, "*batch k"], Float[Array, "*batch k"]]:
    """Return the k nearest actions to e and their distances ||g(a) - e||, nearest first.

    Among equals the lower index comes first. Masked actions come last, at distance inf (with a
    tree, action 0 stands for each of them). Where none of an index is allowed, the first action
    that is allowed stands in the first place. The last axis is shorter than k where there are fewer
    actions. Exact to float32 rounding and bounded in memory, as `nearest` is.
    """
    if isinstance(table, IndexedTable):
        index = table.index
        if isinstance(index, FewActions):
            allowed = index.exists if mask is None else index.allowed_by(mask)
            at, distances = k_nearest(index.points, e, k, allowed)
            actions = index.actions[at]
        else:
            found = tree.search(index, e, k, mask, table.max_visits)
            known = found < tree.NONE
            actions = jnp.where(known, found, 0)
            distances = jnp.linalg.norm(embedded(table, actions) - e[..., None, :], axis=-1)
            distances = jnp.where(known, distances, jnp.inf)
        if mask is None:
            return actions, distances
        least, found = distances[..., 0], distances[..., 0] < jnp.inf
        first = or_masks_first(actions[..., 0], found, mask)
        least = jnp.where(found, least, jnp.linalg.norm(embedded(table, first) - e, axis=-1))
        return actions.at[..., 0].set(first), distances.at[..., 0].set(least)
    n = table.shape[0]
    # A finite square for masked actions, beyond that of any allowed one. Those that fill up the
    # table have it as well, and stand behind all others.
    masked = jnp.asarray(jnp.finfo(e.dtype).max, e.dtype)

    def search(e: Array, mask: Array | None) -> tuple[Array, Array]:
        whole, allowed = filled_up(table, mask, BLOCK)
        squares, indices = k_argmin(
            jnp.minimum(squared_distances(whole, e, allowed), masked), min(k, n)
        )
        return indices, jnp.where(squares < masked, jnp.sqrt(squares), jnp.inf)

    return in_groups(search, n, e, mask)


def or_masks_first(
    actions: Int[Array, "*batch"], found: Bool[Array, "*batch"], mask: Array | None
) -> Int[Array, "*batch"]:
    """Return actions of an index, and where none was found the first that a mask allows."""
    if mask is None:
        return jnp.where(found, actions, 0)

    def with_others() -> Array:
        return jnp.where(found, actions, mask.argmax(-1).astype(actions.dtype))

    return jax.lax.cond(found.all(), lambda: actions, with_others)


def squared_distances(
    table: Float[Array, "n d"],
    e: Float[Array, "*batch d"],
    mask: Bool[Array, "*#batch n"] | None = None,
) -> Float[Array, "*batch n"]:
    """Return ||g(a) - e||^2 of every action a; inf where it is masked, and only there.

    Differences are squared as they are: the expanded form |g|^2 - 2 g.e + |e|^2 cancels, and in
    float32 picks a wrong nearest action about once in a hundred times. Where a distance overflows
    or is NaN, the action is as far away as an allowed one can be.
    """

    # One coordinate at a time: XLA fuses this into a single pass without a [.., n, d] array.
    def added(distance: Array, e: Array, columns: Array) -> Array:
        for axis in range(columns.shape[0]):
            distance += (e[..., axis, None] - columns[axis]) ** 2
        return distance

    distance = jnp.zeros((*e.shape[:-1], table.shape[0]), e.dtype)
    d = table.shape[1]
    looped = d // AXES * AXES if d > MOST_AXES else 0
    if looped:

        def some(at: Int[Array, ""], distance: Array) -> Array:
            part = jax.lax.dynamic_slice_in_dim(e, at * AXES, AXES, -1)
            return added(distance, part, jax.lax.dynamic_slice_in_dim(table.T, at * AXES, AXES))

        distance = jax.lax.fori_loop(0, looped // AXES, some, distance)
    distance = _capped(added(distance, e[..., looped:], table.T[looped:]))
    return distance if mask is None else jnp.where(mask, distance, jnp.inf)


def filled_up(table: Array, mask: Array | None, width: int) -> tuple[Array, Array | None]:
    """Return the table and mask of a multiple of `width` actions; those added are masked.

    Padding distances instead would leave their whole computation scalar on the CPU.
    """
    n = table.shape[0]
    lacking = -n % width
    if not lacking:
        return table, mask
    table = jnp.pad(table, ((0, lacking), (0, 0)))
    if mask is None:
        return table, jnp.arange(n + lacking, dtype=jnp.int32) < n
    padding = [(0, 0)] * (mask.ndim - 1) + [(0, lacking)]
    # Behind a barrier, for the same reason.
    return table, jax.lax.optimization_barrier(jnp.pad(mask, padding))


def in_groups(
    search: Callable[[Array, Array | None], Found],
    n: int,
    e: Float[Array, "*batch d"],
    mask: Bool[Array, "*#batch n"] | None,
) -> Found:
    """Return `search(e, mask)`, a function of each point alone, applied to groups of points."""
    batch = e.shape[:-1]
    size = max(1, AT_ONCE // n)
    if math.prod(batch) <= size:
        return search(e, mask)
    points = e.reshape(-1, e.shape[-1])
    if mask is None or mask.ndim == 1:
        found = jax.lax.map(lambda point: search(point, mask), points, batch_size=size)
    else:
        masks = jnp.broadcast_to(mask, (*batch, n)).reshape(-1, n)
        found = jax.lax.map(lambda pair: search(*pair), (points, masks), batch_size=size)
    return jax.tree.map(lambda part: part.reshape(*batch, *part.shape[1:]), found)


def argmin(
    values: Float[Array, "*batch n"],
) -> tuple[Float[Array, "*batch"], Int[Array, "*batch"]]:
    """Return the least value and its first position; no value may be NaN."""
    blocks = _blocks(values)
    smallest, block = _first(blocks.min(-1))
    inside = jnp.take_along_axis(blocks, block[..., None], axis=-2)[..., 0, :]
    return smallest[..., 0], (block * BLOCK + _first(inside)[1])[..., 0]


def k_argmin(
    values: Float[Array, "*batch n"], k: int
) -> tuple[Float[Array, "*batch k"], Int[Array, "*batch k"]]:
    """Return the k least values, in order, and their positions; among equals the first comes first.

    There must be at least k values, all of them finite.
    """
    blocks = _blocks(values)
    names = jnp.arange(blocks.shape[-2], dtype=jnp.int32)
    places = jnp.arange(BLOCK, dtype=jnp.uint32)

    # A merge: each block offers its least value, and after that was taken, its next one. What was
    # taken is a bit for each place, not known by value: values computed twice, in two fusions, may
    # differ in the last bit.
    def take(state: tuple[Array, Array], _: None):
        offers, taken = state
        block = _first(offers)[1]
        inside = jnp.take_along_axis(blocks, block[..., None], axis=-2)[..., 0, :]
        bits = jnp.take_along_axis(taken, block, axis=-1)
        left = jnp.where((bits >> places) & 1, jnp.inf, inside)
        value, place = _first(left)
        offer = jnp.where(places == place, jnp.inf, left).min(-1, keepdims=True)
        bits |= jnp.uint32(1) << place.astype(jnp.uint32)
        chosen = names == block
        state = jnp.where(chosen, offer, offers), jnp.where(chosen, bits, taken)
        return state, (value[..., 0], (block * BLOCK + place)[..., 0])

    offers = blocks.min(-1)
    nothing = jnp.zeros(offers.shape, jnp.uint32)
    _, (least, at) = jax.lax.scan(take, (offers, nothing), length=k)
    return jnp.moveaxis(least, 0, -1), jnp.moveaxis(at, 0, -1)


def _blocks(values: Array) -> Array:
    """Return `[*batch, n]` as `[*batch, blocks, BLOCK]`, filled up with inf."""
    n = values.shape[-1]
    count = -(-n // BLOCK)
    padding = [(0, 0)] * (values.ndim - 1) + [(0, count * BLOCK - n)]
    values = jnp.pad(values, padding, constant_values=jnp.inf)
    # Behind a barrier, so that all that is done with the values does not compute them again.
    return jax.lax.optimization_barrier(values.reshape(*values.shape[:-1], count, BLOCK))


def _first(values: Array) -> tuple[Array, Array]:
    """Return the least value and its first position, both with a last axis of length 1."""
    # Two plain minima, because XLA does not vectorise an argmin on the CPU.
    smallest = values.min(-1, keepdims=True)
    positions = jnp.arange(values.shape[-1], dtype=jnp.int32)
    here = jnp.where(values == smallest, positions, values.shape[-1] - 1)
    return smallest, here.min(-1, keepdims=True)
