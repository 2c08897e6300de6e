"""The numbers of joint replenishment: costs and demands."""

import math

import numpy as np

DEMANDS = (20.0, 10.0)
"""Mean demands, which items have by turns."""
MOST_DEMAND = 60
"""Largest demand of a step: a higher one has a probability below 1e-11."""
MOST_CAPACITY = 1_000_000
"""Largest capacity: int32 holds its product with the largest order of an item."""
INVENTORY = 25
"""Inventory of each item at the beginning."""
HOLDING, BACKORDER, UNIT = 1.0, 19.0, 10.0
"""Costs of a unit in stock, of a unit short, and of a unit ordered, in each step."""


def mean_demands(items: int) -> np.ndarray:
    """Return the mean demand of each item, float64 `[items]`."""
    return np.resize(DEMANDS, items)


def demand_probabilities(mean: float) -> np.ndarray:
    """Return the probabilities of demands of 0, 1, ... `MOST_DEMAND`: Poisson, cut off there."""
    # scipy.stats has the same, and takes longer to import than everything else here.
    count = np.arange(MOST_DEMAND + 1)
    log_factorial = np.array([math.lgamma(each + 1) for each in count])
    found = np.exp(count * math.log(mean) - mean - log_factorial)
    return found / found.sum()
