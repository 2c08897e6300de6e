"""What agents are worth in an environment, and what it is called."""

from typing import NamedTuple

import numpy as np

from embrl.agents.population import Population
from embrl.envs.cart_pole import CartPoleConfig


class Worth(NamedTuple):
    """Of agents: their mean return."""

    name: str
    limit: float | None
    """The most there can be, where that is known."""
    range: float
    """Between the worst and the best there can be, or else that there are."""
    floor: float
    """What shares of worth are measured from: 0, or, where returns are negative, the lowest of the
    population."""


def worth_of(population: Population) -> Worth:
    """In Cart-Pole a return is survival in steps; elsewhere it is what it is."""
    if isinstance(population.env, CartPoleConfig):
        limit = float(population.env.step_limit)
        return Worth("survival (steps)", limit, limit, 0.0)
    returns = population.table()["return_mean"]
    span = float(np.ptp(returns)) or 1.0
    return Worth("return", None, span, min(0.0, float(returns.min())))
