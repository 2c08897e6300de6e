"""The nearest feasible joint actions, against listing all of them."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.core.products import as_space, product_of
from embrl.core.scaling import RawBox
from embrl.decoding import Constraint, ProductTable, Wolpertinger, nearest_feasible
from embrl.decoding.nearest import NearestAction
from embrl.decoding.products import k_nearest
from embrl.envs import Environment

SIZES = (3, 2, 4)
WAYS = np.array(list(itertools.product(*map(range, SIZES))))


class Listed(Environment):
    """Feasible actions are those with a flag; an observation is the number of a list of flags."""

    flags: jax.Array
    uses: jax.Array | None = None

    @property
    def observation_space(self) -> spaces.Space:
        return spaces.Discrete(len(self.flags))

    @property
    def action_space(self) -> spaces.Space:
        return as_space(SIZES, None)

    def reset(self, key: Any) -> Any:
        raise NotImplementedError

    def step(self, key: Any, state: Any, action: Any) -> Any:
        raise NotImplementedError

    def is_feasible(self, observation: Any, action: Any) -> Any:
        first, second, third = (action[part].astype(int) for part in range(3))
        return self.flags[observation, (first * 2 + second) * 4 + third]

    def resource_use(self, observation: Any) -> Any:
        return None if self.uses is None else self.uses


def table(space: Any, seed: int = 0) -> ProductTable:
    product = product_of(space)
    assert product is not None
    numbers = None if product.box is None else RawBox(product.box, scaled=True)
    return ProductTable(
        jax.random.normal(jax.random.key(seed), (product.values, 2)), product, numbers
    )


PLAIN = table(as_space(SIZES, None))
APART = np.asarray(PLAIN.embedded(jnp.asarray(WAYS)))


def distances_to(e: Any) -> np.ndarray:
    return ((np.asarray(e)[..., None, :] - APART) ** 2).sum(-1)


@jax.jit
def found_by(flags: jax.Array, e: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    seen = jnp.arange(len(flags))
    return nearest_feasible(PLAIN, e, Constraint(Listed(flags), seen), 12, 3, mask)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.booleans(), min_size=24, max_size=24), min_size=4, max_size=4),
    st.integers(0, 2**20),
)
def test_it_is_the_nearest_feasible_one_wherever_that_is_among_the_candidates(
    flags: list[list[bool]], seed: int
) -> None:
    allowed = np.array(flags)
    e = jax.random.normal(jax.random.key(seed), (4, 6))
    mask = np.ones(9, bool)
    mask[seed % 9] = False
    rows, apart = map(np.asarray, found_by(jnp.asarray(allowed), e, jnp.asarray(mask)))
    possible = mask[:3][WAYS[:, 0]] & mask[3:5][WAYS[:, 1]] & mask[5:][WAYS[:, 2]]
    for at, all_apart in enumerate(distances_to(e)):
        order = np.argsort(np.where(possible, all_apart, np.inf))[:12]
        order = order[possible[order]]
        wanted = order[allowed[at][order]][:3]
        count = len(wanted)
        assert (rows[at, :count] == WAYS[wanted]).all()
        assert apart[at, :count] == pytest.approx(all_apart[wanted], rel=1e-4, abs=1e-5)
        assert np.isinf(apart[at, count:]).all()
        if not count:  # the nearest joint action, feasible or not
            assert (rows[at, 0] == WAYS[order[0]]).all()


def budget_of(uses: np.ndarray, limit: float) -> Listed:
    total = uses[:3][WAYS[:, 0]] + uses[3:5][WAYS[:, 1]] + uses[5:][WAYS[:, 2]]
    return Listed(jnp.asarray(total <= limit)[None], jnp.asarray(uses, jnp.float32))


@jax.jit
def feasible_of_four(env: Listed, e: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Search with few candidates; compiled once for all examples."""
    return nearest_feasible(PLAIN, e, Constraint(env, jnp.zeros(len(e), jnp.int32)), 4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=9, max_size=9), st.integers(0, 20), st.integers(0, 99))
def test_a_budget_is_met_from_any_distance_and_exactly_where_it_is_near(
    uses: list[int], slack: int, seed: int
) -> None:
    use = np.array(uses)
    least = use[:3].min() + use[3:5].min() + use[5:].min()
    env = budget_of(use, least + slack)
    flags = np.asarray(env.flags)[0]
    e = 3.0 * jax.random.normal(jax.random.key(seed), (50, 6))
    rows, apart = feasible_of_four(env, e)
    names = (np.asarray(rows)[:, 0] @ [8, 4, 1]).astype(int)
    assert flags[names].all()  # although the 4 nearest of 24 may all be too dear
    all_apart = distances_to(e)
    best = np.where(flags, all_apart, np.inf).min(-1)
    near = np.sort(all_apart, -1)[:, 3] >= best
    assert np.asarray(apart)[near, 0] == pytest.approx(best[near], rel=1e-4, abs=1e-5)


def test_a_budget_of_eight_parts_is_met_nearly_at_the_optimum() -> None:
    count, limit = 8, 30
    space = as_space((11,) * count, None)

    class Budget(Listed):
        def is_feasible(self, observation: Any, action: Any) -> Any:
            return action.sum() <= limit

        def resource_use(self, observation: Any) -> Any:
            return jnp.tile(jnp.arange(11), count)

    line = jnp.tile(jnp.arange(11.0)[:, None], (count, 1))
    product = product_of(space)
    assert product is not None
    levels = ProductTable(line, product, None)
    e = jax.random.uniform(jax.random.key(3), (40, count), maxval=10.0)
    constraint = Constraint(Budget(jnp.ones((1, 1), bool)), jnp.zeros(40))
    rows, apart = nearest_feasible(levels, e, constraint, 32)
    assert (rows.sum(-1) <= limit).all()
    # The least cost of spending at most a budget, part after part, which is exact.
    best = np.full((40, limit + 1), 0.0)
    for part in range(count):
        ways = [
            np.pad(best[:, : limit + 1 - v], ((0, 0), (v, 0)), constant_values=np.inf)
            + ((np.asarray(e)[:, part] - v) ** 2)[:, None]
            for v in range(11)
        ]
        best = np.min(ways, axis=0)
    optimum = best.min(-1)
    assert (np.asarray(apart)[:, 0] >= optimum - 1e-3).all()
    assert np.mean(np.isclose(np.asarray(apart)[:, 0], optimum, rtol=1e-4)) > 0.9


def test_compiled_or_not_one_or_many_and_with_numbers_it_is_the_same() -> None:
    space = as_space((3, 2), spaces.Box(0.0, 1.0, (1,), np.float32))
    hybrid = table(space)

    class Rule(Listed):
        def is_feasible(self, observation: Any, action: Any) -> Any:
            return (action[0] + action[1] + action[2] <= 2.0) & (observation[0] > 0)

    env = Rule(jnp.ones((1, 1), bool))
    e = jax.random.normal(jax.random.key(5), (2, 3, 5))
    seen = jnp.ones((2, 3, 4))

    def search(e: Any, seen: Any) -> Any:
        return nearest_feasible(hybrid, e, Constraint(env, seen), 6)

    rows, apart = search(e, seen)
    assert jnp.array_equal(jax.jit(search)(e, seen)[0], rows)
    assert jnp.array_equal(search(e[1, 2], seen[1, 2])[0], rows[1, 2])
    assert (rows.sum(-1) <= 2.0).all()
    assert jnp.isfinite(apart).all()
    none, _ = search(e, -seen)
    assert jnp.array_equal(none, k_nearest(hybrid, e, 1)[0])


def test_decoders_take_feasible_actions_alone() -> None:
    allowed = np.zeros((1, 24), bool)
    allowed[0, [3, 9, 17, 20]] = True
    env, e = Listed(jnp.asarray(allowed)), jax.random.normal(jax.random.key(7), (200, 6))
    constraint = Constraint(env, jnp.zeros(200, jnp.int32))
    apart = np.where(allowed[0], distances_to(e), np.inf)
    taken = NearestAction(24)(PLAIN, e, constraint=constraint)
    assert (np.asarray(taken) == WAYS[apart.argmin(-1)]).all()
    two = Wolpertinger(2, 24)

    def farther_is_better(points: Any, actions: Any) -> Any:
        return ((points - e[:, None]) ** 2).sum(-1)

    best = two(PLAIN, e, scorer=farther_is_better, constraint=constraint)
    assert (np.asarray(best) == WAYS[np.argsort(apart, -1)[:, 1]]).all()
