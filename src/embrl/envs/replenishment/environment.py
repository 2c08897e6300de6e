"""Joint replenishment: order-up-to levels of many items that share a fixed cost of ordering.

The problem of Akkerman et al. (2024, "Dynamic neighborhood construction", arXiv 2305.19891), with
the costs of their released code.
"""

import dataclasses
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, Int

from embrl.core.errors import check_at_least
from embrl.core.types import Action, Key, TimeStep
from embrl.envs.checks import check_choice, check_whole
from embrl.envs.environment import Environment
from embrl.envs.replenishment import policies
from embrl.envs.replenishment.problem import (
    BACKORDER,
    HOLDING,
    INVENTORY,
    MOST_CAPACITY,
    MOST_DEMAND,
    UNIT,
    demand_probabilities,
    mean_demands,
)


@dataclasses.dataclass(frozen=True)
class JointReplenishmentConfig:
    """Settings of joint replenishment.

    An action is an order-up-to level of each item; mean demands of 20 and 10 alternate. A fixed
    cost is paid in every step in which anything is ordered, so that it pays to order several items
    together.
    """

    items: int = 4
    """Number of items, 1 to 1,000."""
    joint_cost: float = 75.0
    """Cost of a step in which anything is ordered, at least 0. 0: items do not depend on each
    other, and the optimum is known."""
    max_level: int = 66
    """Highest order-up-to level, 25 to 1,000: max_level + 1 levels of each item."""
    capacity: int = 0
    """Units of all items together that can be ordered in a step, at most 1,000,000; 0: any number.
    It couples the items: a larger order is infeasible, and cut in proportion."""
    step_limit: int = 100
    """Steps until an episode is truncated, at least 1."""
    reward: Literal["centred", "cost"] = "centred"
    """Reward of a step. cost: minus its costs. centred: the same, with the mean cost of the units
    demanded, which every policy pays, added, and divided by 10 and the number of items."""

    def build(self) -> "JointReplenishment":
        """Make the environment.

        Raises:
            EmbrlError: If a setting is out of range; the message names it.
        """
        check_whole("items", self.items, 1, 1000)
        check_at_least("env.joint_cost", self.joint_cost, 0)
        check_whole("max_level", self.max_level, INVENTORY, 1000)
        check_whole("capacity", self.capacity, 0, MOST_CAPACITY)
        check_whole("step_limit", self.step_limit, 1)
        check_choice("reward", self.reward, ("centred", "cost"))
        return JointReplenishment(self)


class JointReplenishmentState(NamedTuple):
    """State of joint replenishment: units in stock, negative ones short, and steps taken."""

    inventory: Int[Array, " items"]
    steps: Int[Array, ""]


class JointReplenishment(Environment):
    """Joint replenishment as `JointReplenishmentConfig` describes it."""

    cumulative: Float[Array, "items demands"]
    """Probability of a demand of at most 0, 1, 2, ... of each item."""
    joint_cost: Float[Array, ""]
    unit: float = eqx.field(static=True)
    """Costs in a unit of reward."""
    centre: float = eqx.field(static=True)
    """Costs of a step that count as a reward of 0."""
    max_level: int = eqx.field(static=True)
    capacity: int = eqx.field(static=True)
    """Units that can be ordered in a step; 0: any number."""
    step_limit: int = eqx.field(static=True)

    def __init__(self, config: JointReplenishmentConfig) -> None:
        means = mean_demands(config.items)
        probabilities = np.stack([demand_probabilities(mean) for mean in means])
        cumulative = np.cumsum(probabilities, -1)[:, :-1]
        self.cumulative = jax.device_put(cumulative.astype(np.float32))
        self.joint_cost = jnp.float32(config.joint_cost)
        centred = config.reward == "centred"
        self.unit = UNIT * config.items if centred else 1.0
        self.centre = UNIT * float(means.sum()) if centred else 0.0
        self.max_level = config.max_level
        self.capacity = config.capacity
        self.step_limit = config.step_limit

    @property
    def items(self) -> int:
        """Number of items."""
        return self.cumulative.shape[0]

    @property
    def observation_space(self) -> spaces.Box:
        """Inventory of each item."""
        shape = (self.items,)
        return spaces.Box(float(-MOST_DEMAND), float(self.max_level), shape, np.float32)

    @property
    def action_space(self) -> spaces.MultiDiscrete:
        """Order-up-to level of each item."""
        return spaces.MultiDiscrete([self.max_level + 1] * self.items)

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """Names of the items, counted from 1."""
        return tuple(f"item {item}" for item in range(1, self.items + 1))

    def reset(self, key: Key) -> tuple[JointReplenishmentState, Float[Array, " items"]]:
        """Start an episode with 25 units of each item; `key` is not used."""
        del key
        inventory = jnp.full(self.items, INVENTORY, jnp.int32)
        return JointReplenishmentState(inventory, jnp.int32(0)), inventory.astype(jnp.float32)

    def step(
        self, key: Key, state: JointReplenishmentState, action: Action
    ) -> tuple[JointReplenishmentState, TimeStep]:
        """Order, meet the demand, and pay.

        With a capacity, a larger order is cut in proportion, each item's rounded down; and demand
        of an item beyond 60 units short is paid for once and then lost.
        """
        orders = jnp.maximum(action.astype(jnp.int32) - state.inventory, 0)
        if self.capacity:
            total = orders.sum()
            fits = total <= self.capacity
            orders = jnp.where(fits, orders, orders * self.capacity // jnp.maximum(total, 1))
        uniform = jax.random.uniform(key, (self.items, 1))
        demand = (self.cumulative <= uniform).sum(-1, dtype=jnp.int32)
        inventory = state.inventory + orders - demand
        cost = (
            UNIT * orders.sum()
            + jnp.where(orders.any(), self.joint_cost, 0.0)
            + HOLDING * jnp.maximum(inventory, 0).sum()
            + BACKORDER * jnp.maximum(-inventory, 0).sum()
        )
        if self.capacity:
            inventory = jnp.maximum(inventory, -MOST_DEMAND)
        steps = state.steps + 1
        return JointReplenishmentState(inventory, steps), TimeStep(
            observation=inventory.astype(jnp.float32),
            reward=(self.centre - cost) / self.unit,
            terminated=jnp.bool_(False),
            truncated=steps >= self.step_limit,
        )

    def is_feasible(
        self, observation: Float[Array, " items"], action: Action
    ) -> Bool[Array, ""] | None:
        """Return whether an order is within the capacity, or no more than what is short.

        So ordering up to 0 is always feasible, even where more units are short than can be
        delivered.
        """
        if not self.capacity:
            return None
        short = jnp.maximum(-observation, 0.0).sum()
        ordered = jnp.maximum(action - observation, 0.0).sum()
        return ordered <= jnp.maximum(self.capacity, short)

    def resource_use(self, observation: Float[Array, " items"]) -> Float[Array, " values"] | None:
        """Return the units that each order-up-to level orders of its item."""
        if not self.capacity:
            return None
        levels = jnp.arange(self.max_level + 1, dtype=jnp.float32)
        return jnp.maximum(levels - observation[:, None], 0.0).ravel()

    def state_coordinates(self, observation: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        """Return the inventories."""
        return observation

    def references(self, key: Key) -> dict[str, float]:
        """Return the returns of known policies (`embrl.envs.replenishment.policies`)."""
        return policies.references(self, key)
