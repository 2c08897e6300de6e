"""A custom Gymnasium environment: a shop that orders today what arrives tomorrow.

The tutorial docs/tutorials/inventory.md begins with it.
"""

import gymnasium
import numpy as np
from gymnasium import spaces

DEMAND = np.array([2.0, 3.0, 4.0, 5.0, 6.0])  # mean number of customers a day
LOST = np.array([1.0, 0.8, 0.6, 0.5, 0.4])  # cost of a customer who finds nothing
HOLDING = 0.1  # cost of an item kept overnight
MOST, ROOM, DAYS = 10, 20, 40


class Inventory(gymnasium.Env):
    """Order 0 to 10 of each product; observe the stock and what arrives tomorrow."""

    def __init__(self, products: int = 5) -> None:
        self.demand, self.lost = DEMAND[:products], LOST[:products]
        high = np.repeat([ROOM, MOST], products).astype(np.float32)
        self.observation_space = spaces.Box(np.zeros_like(high), high)
        self.action_space = spaces.MultiDiscrete([MOST + 1] * products)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed, options=options)
        self.stock = self.np_random.integers(0, ROOM + 1, len(self.demand))
        self.coming = self.np_random.integers(0, MOST + 1, len(self.demand))
        self.day = 0
        return self.seen(), {}

    def step(self, action):
        self.stock = np.minimum(self.stock + self.coming, ROOM)
        wanted = self.np_random.poisson(self.demand)
        missed = np.maximum(wanted - self.stock, 0)
        self.stock, self.coming = np.maximum(self.stock - wanted, 0), np.array(action)
        self.day += 1
        cost = HOLDING * self.stock.sum() + self.lost @ missed
        return self.seen(), -float(cost), False, self.day == DAYS, {}

    def seen(self):
        return np.concatenate([self.stock, self.coming]).astype(np.float32)
