"""An environment of your own: a shop with five products, ordered for tomorrow, before today's
customers come. docs/tutorial.md begins with it.
"""

import gymnasium
import numpy as np
from gymnasium import spaces

DEMAND = np.array([2.0, 3.0, 4.0, 5.0, 6.0])  # customers a day, on average
HOLDING, LOST = 0.1, np.array([1.0, 0.8, 0.6, 0.5, 0.4])  # a day in stock; a customer sent away
MOST, ROOM, DAYS = 10, 20, 40


class Inventory(gymnasium.Env):
    """Orders arrive a day later: what is seen is the stock, and what is on its way."""

    def __init__(self) -> None:
        high = np.repeat([ROOM, MOST], 5).astype(np.float32)
        self.observation_space = spaces.Box(np.zeros_like(high), high)
        self.action_space = spaces.MultiDiscrete([MOST + 1] * 5)  # 11^5 = 161,051 joint orders

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.stock = self.np_random.integers(0, ROOM + 1, 5)
        self.coming = self.np_random.integers(0, MOST + 1, 5)
        self.day = 0
        return self.seen(), {}

    def step(self, action):
        supply = np.minimum(self.stock + self.coming, ROOM)
        wanted = self.np_random.poisson(DEMAND)
        sold = np.minimum(supply, wanted)
        self.stock, self.coming = supply - sold, np.asarray(action)
        self.day += 1
        cost = HOLDING * self.stock.sum() + LOST @ (wanted - sold)
        return self.seen(), -float(cost), False, self.day == DAYS, {}

    def seen(self):
        return np.concatenate([self.stock, self.coming]).astype(np.float32)
