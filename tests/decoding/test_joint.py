"""The nearest joint actions of a product, against listing all of them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.core.errors import EmbrlError
from embrl.core.products import as_space, product_of
from embrl.core.scaling import RawBox
from embrl.decoding import ProductTable, in_order, k_nearest_joint, nearest_joint
from embrl.decoding.joint import least_of_sums
from embrl.decoding.products import k_nearest, nearest

# Few different numbers, so that there are ties; inf for values that are masked.
distance = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.5, np.inf])
products = st.lists(st.lists(distance, min_size=1, max_size=5), min_size=1, max_size=4)


def brute(parts: list[list[float]]) -> list[float]:
    sums = sorted(map(sum, itertools.product(*parts)))
    return [total for total in sums if np.isfinite(total)]


@settings(max_examples=200, deadline=None)
@given(products)
def test_the_heap_yields_every_joint_action_once_in_order(parts: list[list[float]]) -> None:
    found = list(in_order([np.array(part) for part in parts]))
    assert [total for _, total in found] == pytest.approx(brute(parts))
    assert len({action for action, _ in found}) == len(found)
    for action, total in found:
        assert sum(part[at] for part, at in zip(parts, action, strict=True)) == total


@settings(max_examples=200, deadline=None)
@given(products, st.integers(1, 12))
def test_merging_pairs_finds_the_k_least(parts: list[list[float]], k: int) -> None:
    widest = max(map(len, parts))
    ordered = np.array([sorted(part) + [np.inf] * (widest - len(part)) for part in parts])
    ranks, sums = least_of_sums(ordered, k)
    assert sums == pytest.approx((brute(parts) + [np.inf] * k)[:k])
    real = np.isfinite(sums)
    at = np.take_along_axis(ordered[None], ranks[..., None], -1)[..., 0]
    assert at.sum(-1)[real] == pytest.approx(sums[real])
    assert len({tuple(row) for row in ranks[real].tolist()}) == real.sum()


@pytest.mark.parametrize("parts", [1, 2, 5, 7])
def test_many_points_at_once_are_as_one_by_one(parts: int) -> None:
    rng = np.random.default_rng(parts)
    distances = rng.random((6, 2, parts, 9)).astype(np.float32) ** 3
    distances[:, :, 0, 4:] = np.inf
    actions, sums = k_nearest_joint(distances, 12)
    compiled = jax.jit(k_nearest_joint, static_argnums=1)(jnp.asarray(distances), 12)
    np.testing.assert_array_equal(actions, compiled[0])
    np.testing.assert_array_equal(sums, compiled[1])
    for at in np.ndindex(6, 2):
        wanted, apart = nearest_joint(list(distances[at]), 12)
        np.testing.assert_array_equal(actions[at][: len(wanted)], wanted)
        assert sums[at][: len(wanted)] == pytest.approx(apart, rel=1e-5)
        assert np.isinf(sums[at][len(wanted) :]).all()
    assert k_nearest_joint(distances[:0], 12)[0].shape == (0, 2, 12, parts)
    with pytest.raises(EmbrlError, match=r"^k must be at least 1, got 0"):
        k_nearest_joint(distances, 0)


@settings(max_examples=100, deadline=None)
@given(products, st.integers(1, 4), st.integers(0, 8))
def test_a_function_couples_parts(parts: list[list[float]], k: int, budget: int) -> None:
    actions, sums = nearest_joint(
        [np.array(part) for part in parts], k, lambda action: action.sum() <= budget
    )
    ways = itertools.product(*[range(len(part)) for part in parts])
    kept = [
        sum(part[at] for part, at in zip(parts, way, strict=True))
        for way in ways
        if sum(way) <= budget
    ]
    wanted = sorted(total for total in kept if np.isfinite(total))[:k]
    assert sums.tolist() == pytest.approx(wanted)
    assert (actions.sum(-1) <= budget).all()


def test_a_function_that_allows_nothing_is_one_line() -> None:
    with pytest.raises(EmbrlError, match=r"allowed .*1.* 50 .*got 0"):
        nearest_joint([np.arange(20.0)] * 20, 1, lambda _: False, most=50)


@pytest.fixture
def table() -> ProductTable:
    space = as_space((3, 2, 4), spaces.Box(-1.0, 3.0, (2,), np.float32))
    product = product_of(space)
    assert product is not None
    assert product.box is not None
    points = jax.random.normal(jax.random.key(0), (9, 2))
    return ProductTable(points, product, RawBox(product.box, scaled=True))


def test_f_and_the_k_nearest_of_a_hybrid_are_exact(table: ProductTable) -> None:
    ways = np.array(list(itertools.product(range(3), range(2), range(4))))
    e = jax.random.normal(jax.random.key(1), (50, 8))
    flags = np.array([True, True, True, True, False, False, True, True, True])
    masks = jnp.asarray(flags)
    possible = ways[(ways[:, 1] != 1) & (ways[:, 2] != 0)]
    points = np.asarray(table.embedded(jnp.asarray(np.pad(possible, ((0, 0), (0, 2))))))[:, :6]
    apart = ((np.asarray(e)[:, None, :6] - points) ** 2).sum(-1)
    order = np.argsort(apart, -1)
    found = np.asarray(nearest(table, e, masks))
    assert (found[:, :3] == possible[order[:, 0]]).all()
    assert found[:, 3:] == pytest.approx(np.clip(1.0 + 2.0 * np.asarray(e)[:, 6:], -1.0, 3.0))
    rows, sums = jax.jit(k_nearest, static_argnums=2)(table, e, 5, masks)
    assert np.asarray(sums) == pytest.approx(np.sort(apart, -1)[:, :5], rel=1e-4)
    assert (np.asarray(rows)[:, 0] == found).all()
    assert (np.asarray(rows)[..., :3] == possible[order[:, :5]]).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 5), st.integers(0, 12), st.integers(0, 999))
def test_a_price_leads_to_a_budget_beyond_the_nearest(parts: int, budget: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    apart = [rng.random(4).cumsum()[::-1] for _ in range(parts)]  # the dearest value is nearest
    use = [np.arange(4)] * parts
    (action,), (total,) = nearest_joint(
        apart, 1, lambda action: action.sum() <= budget, most=8, use=use
    )
    assert action.sum() <= budget
    ways = np.array(list(itertools.product(range(4), repeat=parts)))
    sums = np.sum([part[ways[:, at]] for at, part in enumerate(apart)], axis=0)
    assert total == pytest.approx(sum(part[at] for part, at in zip(apart, action, strict=True)))
    best = sums[ways.sum(-1) <= budget].min()
    assert best <= total + 1e-9
    if best <= np.sort(sums)[7]:
        assert total == pytest.approx(best)
