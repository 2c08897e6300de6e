"""Optimal and best known policies of joint replenishment, and their exact returns."""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.core.types import Key
from embrl.envs.replenishment.problem import (
    BACKORDER,
    HOLDING,
    INVENTORY,
    MOST_DEMAND,
    UNIT,
    demand_probabilities,
    mean_demands,
)

EPISODES = 4000
"""Episodes that the return of a policy that couples items is averaged over."""

COMPARED = 256
"""Episodes in which such policies are compared, all with the same demands."""


class ReplenishmentProblem(Protocol):
    """The environment, as `embrl.envs.replenishment.environment` has it."""

    @property
    def items(self) -> int:
        """Number of items."""
        ...

    @property
    def joint_cost(self) -> Any:
        """Cost of a step in which anything is ordered."""
        ...

    @property
    def max_level(self) -> int:
        """Highest order-up-to level."""
        ...

    @property
    def capacity(self) -> int:
        """Units that can be ordered in a step; 0: any number."""
        ...

    @property
    def step_limit(self) -> int:
        """Steps of an episode."""
        ...

    @property
    def unit(self) -> float:
        """Costs in a unit of reward."""
        ...

    @property
    def centre(self) -> float:
        """Costs of a step that count as a reward of 0."""
        ...

    def reset(self, key: Key) -> tuple[Any, Array]:
        """Start an episode."""
        ...

    def step(self, key: Key, state: Any, action: Array) -> tuple[Any, Any]:
        """Take a step."""
        ...


class JointPolicy(NamedTuple):
    """A can-order policy: where any item is at most at `must`, those at most at `can` are ordered.

    With `can` equal to `must` and no joint cost it is an (s, S) policy of each item.
    """

    must: Int[np.ndarray, " items"]
    can: Int[np.ndarray, " items"]
    up_to: Int[np.ndarray, " items"]

    def levels(self, inventory: Float[Array, "*batch items"]) -> Int[Array, "*batch items"]:
        """Return order-up-to levels; 0 where nothing is ordered."""
        due = (inventory <= self.must).any(-1, keepdims=True)
        return jnp.where(due & (inventory <= self.can), self.up_to, 0)


def references(env: ReplenishmentProblem, key: Key) -> dict[str, float]:
    """Return the returns of policies of an environment.

    `mean_demand_return` of ordering up to the mean demand. Without a joint cost
    `best_base_stock_return`, the best that ordering up to fixed levels earns, and
    `best_known_return`, the optimum of policies that know the time; with one, `best_known_return`
    is that of the best can-order policy found (`best_joint_policy`). With a capacity, which no
    exact return knows, both are those of episodes.
    """
    means = mean_demands(env.items)
    if env.capacity:
        fixed = JointPolicy(*[means.astype(int)] * 3)
        return {
            "mean_demand_return": joint_policy_return(env, fixed, key),
            "best_known_return": best_joint_policy(env, key)[1],
        }
    found = {"mean_demand_return": base_stock_return(env, means.astype(int))}
    if float(env.joint_cost) == 0.0:
        found["best_base_stock_return"] = base_stock_return(env, best_levels(env))
        found["best_known_return"] = optimal_return(env)
    else:
        found["best_known_return"] = best_joint_policy(env, key)[1]
    return found


def base_stock_return(env: ReplenishmentProblem, levels: np.ndarray) -> float:
    """Return the exact return of ordering every item up to a fixed level in every step."""
    start = np.zeros(MOST_DEMAND + env.max_level + 1)
    start[INVENTORY + MOST_DEMAND] = 1.0
    inventory = np.arange(-MOST_DEMAND, env.max_level + 1)
    chances = {mean: demand_probabilities(mean) for mean in set(mean_demands(env.items))}
    states = dict.fromkeys(range(env.items), start)
    total, kinds = 0.0, list(zip(mean_demands(env.items), levels, strict=True))
    for _ in range(env.step_limit):
        cost, quiet = 0.0, 1.0
        known: dict[tuple[float, int], tuple[float, float, np.ndarray]] = {}
        for item, kind in enumerate(kinds):
            if kind not in known:
                known[kind] = _ordered(states[item], inventory, kind[1], chances[kind[0]])
            own, still, states[item] = known[kind]
            cost, quiet = cost + own, quiet * still
        total += cost + float(env.joint_cost) * (1.0 - quiet)
    return _as_return(env, total)


def _ordered(
    state: np.ndarray, inventory: np.ndarray, level: int, chances: np.ndarray
) -> tuple[float, float, np.ndarray]:
    """Return an item's mean cost of a step, the probability of no order, and its next inventory."""
    after = np.maximum(inventory, level)
    ordered = after - inventory
    stock = np.zeros_like(state)
    np.add.at(stock, after - inventory[0], state)
    following = np.zeros_like(state)
    for demand, chance in enumerate(chances):
        following[: len(state) - demand] += chance * stock[demand:]
    cost = UNIT * state @ ordered + following @ _keeping(inventory)
    return float(cost), float(state[ordered == 0].sum()), following


def _keeping(inventory: np.ndarray) -> np.ndarray:
    """Return the costs of inventories at the end of a step."""
    return HOLDING * np.maximum(inventory, 0) + BACKORDER * np.maximum(-inventory, 0)


def best_levels(env: ReplenishmentProblem) -> np.ndarray:
    """Return the order-up-to levels with the highest return without a joint cost, `[items]`."""
    found = {}
    for mean in set(mean_demands(env.items)):
        costs = [_cost_of_level(env, mean, level) for level in range(env.max_level + 1)]
        found[mean] = int(np.argmin(costs))
    return np.array([found[mean] for mean in mean_demands(env.items)])


def _cost_of_level(env: ReplenishmentProblem, mean: float, level: int) -> float:
    """Return the mean cost of an episode of one item that is ordered up to a level."""
    inventory = np.arange(-MOST_DEMAND, env.max_level + 1)
    state, chances, total = np.zeros(len(inventory)), demand_probabilities(mean), 0.0
    state[INVENTORY + MOST_DEMAND] = 1.0
    for _ in range(env.step_limit):
        cost, _, state = _ordered(state, inventory, level, chances)
        total += cost
    return total


def optimal_return(env: ReplenishmentProblem) -> float:
    """Return the optimum without a joint cost, by backward induction of each item.

    The optimal policy knows the time: it orders less in the last steps.
    """
    inventory = np.arange(-MOST_DEMAND, env.max_level + 1)
    total, known = 0.0, {}
    for mean in mean_demands(env.items):
        if mean not in known:
            known[mean] = _optimal_cost(env, demand_probabilities(mean), inventory)
        total += known[mean]
    return _as_return(env, total)


def _optimal_cost(env: ReplenishmentProblem, chances: np.ndarray, inventory: np.ndarray) -> float:
    levels, value = np.arange(env.max_level + 1), np.zeros(len(inventory))
    for _ in range(env.step_limit):
        ahead = value + _keeping(inventory)
        # Of levels after ordering, all at least 0, as backorders are always delivered.
        after = np.array(
            [chances @ ahead[level + MOST_DEMAND - np.arange(len(chances))] for level in levels]
        )
        paid = UNIT * (levels - inventory[:, None]) + after
        value = np.where(levels >= inventory[:, None], paid, np.inf).min(-1)
    return float(value[INVENTORY + MOST_DEMAND])


def best_joint_policy(
    env: ReplenishmentProblem, key: Key, compared: int = COMPARED
) -> tuple[JointPolicy, float]:
    """Search for the best can-order policy, with the same levels for items of the same demand.

    Coordinate descent over its six levels, all compared on the same demands; the return of the
    best one is measured on others.
    """
    start = np.array(best_levels(env)[:2]) if env.items > 1 else best_levels(env)
    kinds = len(start)
    policy = np.stack([start - 6, start - 1, start + 2])
    key_search, key_test = jax.random.split(key)
    mean_return = jax.jit(_mean_return, static_argnums=3)

    def score(levels: np.ndarray) -> float:
        return float(mean_return(env, jnp.asarray(levels), key_search, compared))

    best = score(policy)
    for reach in (4, 2, 1, 1):
        improved = True
        while improved:
            improved = False
            for row in range(3):
                for kind in range(kinds):
                    for change in (-reach, reach):
                        other = policy.copy()
                        other[row, kind] += change
                        other = np.clip(other, -MOST_DEMAND, env.max_level)
                        found = score(other)
                        if found > best:
                            policy, best, improved = other, found, True
    found = JointPolicy(*(np.resize(row, env.items) for row in policy))
    return found, joint_policy_return(env, found, key_test)


def joint_policy_return(
    env: ReplenishmentProblem, policy: JointPolicy, key: Key, episodes: int = EPISODES
) -> float:
    """Return the mean return of a can-order policy over episodes."""
    numbers = jnp.asarray(np.stack([row[:2] for row in policy]))
    return float(_mean_return(env, numbers, key, episodes))


def _mean_return(
    env: ReplenishmentProblem, numbers: Array, key: Key, episodes: int
) -> Float[Array, ""]:
    """Return the mean return of a policy `[3, kinds]` over episodes side by side."""
    policy = JointPolicy(*(jnp.resize(row, env.items) for row in numbers))  # type: ignore[arg-type]
    states, seen = jax.vmap(env.reset)(jax.random.split(key, episodes))

    def step(carry: tuple, key: Key) -> tuple[tuple, Array]:
        states, seen = carry
        keys = jax.random.split(key, episodes)
        states, after = jax.vmap(env.step)(keys, states, policy.levels(seen))
        return (states, after.observation), after.reward.mean()

    _, rewards = jax.lax.scan(step, (states, seen), jax.random.split(key, env.step_limit))
    return rewards.sum()


def _as_return(env: ReplenishmentProblem, cost: float) -> float:
    """Return costs of an episode as a return."""
    return (env.step_limit * env.centre - cost) / env.unit


def cost_of(env: ReplenishmentProblem, returned: float) -> float:
    """Return the costs of an episode with a return: minus the return with `reward` cost."""
    return env.step_limit * env.centre - env.unit * returned
