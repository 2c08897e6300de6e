"""The joint actions nearest to a point, without listing all of them.

Each part of an action has distances of its own, and those of a joint action are their sum. So the
nearest ones are found from the parts' sorted distances: a fixed number of them by merging
(`least_of_sums`, in NumPy or JAX), or one after another by a heap (`in_order`), which is what a
function that couples parts needs.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError, SettingError
from embrl.core.masks import library

MOST = 1_000_000
"""Joint actions that a search looks at, at most, for some that a function allows."""

BOUND_SLACK = 1e-4
"""Of sums, for rounding: values a little beyond the bound of the k nearest are kept."""

PRICE_RANGE = 20.0
"""Prices that are tried: 2^-20 to 2^20 times the largest distance of a value by the largest use."""

PRICE_STEPS = 20
"""Halvings of that range, in logarithms: the price is found to 0.003 %."""

Allowed = Callable[[np.ndarray], bool]
"""Returns whether a joint action, int `[k]`, may be chosen: a budget, a capacity, a rule."""


def k_nearest_joint(distances: Any, k: int) -> tuple[Any, Any]:
    """Return the k nearest joint actions of many points at once, exactly.

    Args:
        distances: squared distances of the values of each part, NumPy's or JAX's
            `[..., parts, values]`; inf for values that may not be chosen.
        k: how many.

    Returns:
        The actions in order, int32 `[..., k, parts]`, and their squared distances `[..., k]`, inf
        where there are fewer than k.
    """
    if k < 1:
        raise SettingError("k", "at least 1", k)
    xp = library(distances)
    values, least = _ordered(distances, k)
    ranks, sums = least_of_sums(least, k)
    actions = xp.take_along_axis(values[..., None, :, :], ranks[..., None], -1)[..., 0]
    return actions, sums


def _ordered(distances: Any, k: int) -> tuple[Any, Any]:
    """Return the values of each part in the order of their distances, and these.

    As many as the k nearest joint actions can need; where a part has fewer, value 0, infinitely
    far.
    """
    near, within = min(k, distances.shape[-1]), None
    if isinstance(distances, np.ndarray) and near > 1:
        within = _bound(np.partition(distances, 1), k)
    if within is None:
        order = _first_least(distances, near)
        return order, library(distances).take_along_axis(distances, order, -1)
    # Mostly a few of many: to sort these alone takes less than half of the time.
    few = distances <= distances.min(-1, keepdims=True) + within
    *part, value = np.nonzero(few)
    place = few.cumsum(-1, dtype=np.int32)[few] - 1
    shape = (*few.shape[:-1], int(place.max(initial=0)) + 1)
    values, least = np.zeros(shape, np.int32), np.full(shape, np.inf, distances.dtype)
    values[(*part, place)], least[(*part, place)] = value, distances[few]
    order = _first_least(least, near)
    return np.take_along_axis(values, order, -1), np.take_along_axis(least, order, -1)


def least_of_sums(distances: Any, k: int) -> tuple[Any, Any]:
    """Return the k least sums of one value of each part.

    Of a sum of two parts, the k least need but the k least of each, and of two sorted lists only
    ranks i and j with (i + 1) (j + 1) <= k can be among them. So parts are merged in a tree of
    pairs.

    Args:
        distances: in ascending order, NumPy's or JAX's `[..., parts, near]`, inf where a part has
            fewer values; the first k of each part are enough.
        k: how many.

    Returns:
        Ranks, int32 `[..., k, parts]`, and sums in ascending order, `[..., k]`, inf where there are
        fewer than k.
    """
    xp = library(distances)
    lead, parts = distances.shape[:-2], distances.shape[-2]
    within = _bound(distances, k) if xp is np else None
    width = _needed(distances, k, within)
    sums = distances[..., :width]
    ranks = np.broadcast_to(np.arange(width, dtype=np.int32)[:, None], (parts, width, 1))
    ranks = xp.broadcast_to(xp.asarray(ranks), (*lead, *ranks.shape))
    while (count := sums.shape[-2]) > 1:
        width = sums.shape[-1]
        if count % 2:  # a part that adds nothing
            neutral = np.full((1, width), np.inf, sums.dtype)
            neutral[:, 0] = 0.0
            neutral = xp.broadcast_to(xp.asarray(neutral), (*lead, 1, width))
            sums = xp.concatenate([sums, neutral], -2)
            ranks = xp.concatenate([ranks, ranks[..., -1:, :, :]], -3)
        pairs = [(i, j) for i in range(width) for j in range(width) if (i + 1) * (j + 1) <= k]
        one, other = np.array(pairs, np.int32).T
        candidates = xp.take(sums[..., ::2, :], one, -1) + xp.take(sums[..., 1::2, :], other, -1)
        order = _first_least(candidates, k)
        sums = _rows(candidates[..., None], order)[..., 0]
        width = _needed(sums, k, within)
        sums, order = sums[..., :width], order[..., :width]
        sides = (
            _rows(ranks[..., at::2, :, :], xp.take(xp.asarray(which), order))
            for at, which in ((0, one), (1, other))
        )
        ranks = xp.concatenate(list(sides), -1)
    sums, ranks = sums[..., 0, :], ranks[..., 0, :, :parts]
    if (missing := k - sums.shape[-1]) > 0:
        axes = [(0, 0)] * len(lead)
        sums = xp.pad(sums, [*axes, (0, missing)], constant_values=np.inf)
        ranks = xp.pad(ranks, [*axes, (0, missing), (0, 0)])
    return ranks, sums


def _bound(distances: np.ndarray, k: int) -> np.ndarray | None:
    """Return how far beyond the nearest joint action the k nearest can be; None: not known.

    Where m parts take their nearest value or the second one, there are 2^m joint actions.
    """
    choices = (k - 1).bit_length()
    if not choices or distances.shape[-1] < 2 or distances.shape[-2] < choices:
        return None
    with np.errstate(invalid="ignore"):
        more = distances[..., 1] - distances[..., 0]
    more = np.nan_to_num(more, nan=np.inf, posinf=np.inf)
    least = np.partition(more, choices - 1, axis=-1)[..., :choices].sum(-1)
    scale = distances[..., 0].sum(-1)
    return (least + BOUND_SLACK * (least + scale))[..., None, None]


def _needed(sums: Any, k: int, within: np.ndarray | None) -> int:
    """Return how many of sums in ascending order the k nearest joint actions can need."""
    width = min(sums.shape[-1], k)
    if within is None or not sums.size:
        return width
    return max(1, min(width, int((sums <= sums[..., :1] + within).sum(-1).max())))


def _rows(values: Any, at: Any) -> Any:
    """Return the rows `at`, `[..., k]`, of `[..., width, m]`: `take_along_axis`, but faster."""
    width, m = values.shape[-2:]
    lists = math.prod(values.shape[:-2])
    places = at.reshape(lists, at.shape[-1]) + width * np.arange(lists, dtype=np.int32)[:, None]
    flat = values.reshape(lists * width, m)
    return library(values).take(flat, places, axis=0, mode="clip").reshape(*at.shape, m)


def _first_least(values: Any, k: int) -> Any:
    """Return positions, int32, of the k least values, or of all if there are fewer, in order."""
    if isinstance(values, np.ndarray):
        return np.argsort(values, axis=-1, kind="stable")[..., :k].astype(np.int32)
    from jax.lax import top_k  # sorts four times as fast as `jax.numpy.argsort` on the CPU

    return top_k(-values, min(k, values.shape[-1]))[1]


def in_order(distances: Sequence[np.ndarray]) -> Iterator[tuple[tuple[int, ...], float]]:
    """Yield all joint actions, nearest first, each with its squared distance.

    Best first, by a heap that grows by at most two for each action.

    Args:
        distances: squared distances of the values of each part, `[n]` each; inf for values that
            may not be chosen.
    """
    orders = [np.argsort(part, kind="stable")[: np.isfinite(part).sum()] for part in distances]
    if not all(map(len, orders)):
        return
    ranked = [part[order].tolist() for part, order in zip(distances, orders, strict=True)]
    values = [order.tolist() for order in orders]
    # Parts whose second value costs least come first: then every step to a later part, or from one
    # to the next, makes a sum no smaller, and each action is reached on one way alone.
    free = sorted(
        (part for part in range(len(ranked)) if len(ranked[part]) > 1),
        key=lambda part: ranked[part][1] - ranked[part][0],
    )
    gaps = [[later - ranked[part][0] for later in ranked[part]] for part in free]
    base, count = sum(part[0] for part in ranked), itertools.count()
    nearest = [part[0] for part in values]
    yield tuple(nearest), base
    if not free:
        return
    # An entry: what it costs more than the nearest, the parts moved so far, in order, with ranks.
    heap: list[tuple[float, int, tuple[tuple[int, int], ...]]] = [
        (gaps[0][1], next(count), ((0, 1),))
    ]
    while heap:
        more, _, moved = heapq.heappop(heap)
        action = nearest.copy()
        for at, rank in moved:
            action[free[at]] = values[free[at]][rank]
        yield tuple(action), base + more
        at, rank = moved[-1]
        if rank + 1 < len(gaps[at]):
            cost = more + gaps[at][rank + 1] - gaps[at][rank]
            heapq.heappush(heap, (cost, next(count), (*moved[:-1], (at, rank + 1))))
        if at + 1 < len(gaps):
            cost = more + gaps[at + 1][1]
            heapq.heappush(heap, (cost, next(count), (*moved, (at + 1, 1))))
            if rank == 1:
                cost -= gaps[at][1]
                heapq.heappush(heap, (cost, next(count), (*moved[:-1], (at + 1, 1))))


def nearest_joint(
    distances: Sequence[np.ndarray],
    k: int = 1,
    allowed: Allowed | None = None,
    most: int = MOST,
    use: Sequence[np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest joint actions that a function allows, exactly.

    Where they are beyond the `most` nearest, and it is known what each value uses of something
    scarce, they are those found at a price of it, which need not be the nearest
    (`embrl.decoding.constraint` does the same in JAX).

    Args:
        distances: squared distances of the values of each part, `[n]` each; inf for values that
            may not be chosen.
        k: how many.
        allowed: says whether a joint action may be chosen; None: all may.
        most: joint actions to look at.
        use: what each value uses, `[n]` of each part; with less use, actions come to be allowed.

    Returns:
        The actions in order, int32 `[found, parts]`, and their squared distances `[found]`; fewer
        than k where there are no more.

    Raises:
        EmbrlError: the function allows fewer than k of the nearest `most` joint actions.
    """
    if k < 1:
        raise SettingError("k", "at least 1", k)
    found: list[tuple[tuple[int, ...], float]] = []
    more = False
    for looked, (action, distance) in enumerate(in_order(distances)):
        if looked >= most:
            more = True
            break
        if allowed is None or allowed(np.array(action, np.int32)):
            found.append((action, distance))
            if len(found) == k:
                break
    if more and use is not None and allowed is not None:
        price = _least_price(distances, use, allowed)
        priced = [part + price * own for part, own in zip(distances, use, strict=True)]
        for action, _ in itertools.islice(in_order(priced), most):
            if allowed(np.array(action, np.int32)):
                apart = sum(part[at] for part, at in zip(distances, action, strict=True))
                found.append((action, float(apart)))
        found = sorted(dict(found).items(), key=lambda entry: entry[1])[:k]
    if more and len(found) < k:
        raise EmbrlError(
            f"allowed must allow {k} of the {most:,} joint actions nearest to a point, got "
            f"{len(found)}; raise most, or allow more"
        )
    actions = np.array([action for action, _ in found], np.int32)
    return actions.reshape(-1, len(distances)), np.array([distance for _, distance in found])


def _least_price(
    distances: Sequence[np.ndarray], use: Sequence[np.ndarray], allowed: Allowed
) -> float:
    """Return the least price at which the nearest joint action is allowed, by bisection."""
    spread = max(float(part[np.isfinite(part)].max(initial=0.0)) for part in distances)
    most = max(float(np.abs(own).max()) for own in use)
    unit = max(spread, 1e-20) / max(most, 1e-6)
    low, high = -PRICE_RANGE, PRICE_RANGE
    for _ in range(PRICE_STEPS):
        middle = (low + high) / 2
        price = unit * 2.0**middle
        nearest = [
            int((part + price * own).argmin()) for part, own in zip(distances, use, strict=True)
        ]
        low, high = (low, middle) if allowed(np.array(nearest, np.int32)) else (middle, high)
    return unit * 2.0**high
