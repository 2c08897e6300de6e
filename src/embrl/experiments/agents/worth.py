"""What agents are worth in an environment, and what it is called."""

from typing import NamedTuple

import numpy as np

from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.population import Population
from embrl.agents.walk import Rule
from embrl.envs.cart_pole import CartPoleConfig
from embrl.errors import EmbrlError

MARGIN = 0.1
"""Of a walk's rule, as a share of the range of returns."""


class Worth(NamedTuple):
    """Of agents: their mean return."""

    name: str
    limit: float | None
    """The most there can be, where that is known."""
    range: float
    """Between the worst and the best there can be, or else that there are."""


def worth_of(population: Population) -> Worth:
    """In Cart-Pole a return is survival in steps; elsewhere it is what it is."""
    if isinstance(population.env, CartPoleConfig):
        limit = float(population.env.step_limit)
        return Worth("survival (steps)", limit, limit)
    returns = population.table()["return_mean"]
    return Worth("mean return", None, float(np.ptp(returns)) or 1.0)


def rule_of(population: Population, margin: float | None) -> Rule:
    """The rule with that margin, or with a tenth of the range of returns."""
    return Rule(MARGIN * worth_of(population).range if margin is None else margin)


def check_fits(embedding: AgentEmbedding, population: Population, name: str) -> None:
    """
    Raises:
        EmbrlError: the embedding is of other agents than the population's.
    """
    for what, mine, its in [
        ("agents", embedding.architecture, population.architecture),
        ("environment", embedding.environment, population.environment),
        ("settings of the environment", embedding.env, population.env),
    ]:
        if mine != its:
            raise EmbrlError(
                f"{name} was fitted to other {what} ({mine}) than those of {population.path} "
                f"({its}): choose an embedding of this population"
            )
    if embedding.k > population.count:
        raise EmbrlError(
            f"{name} has k = {embedding.k} numbers for each agent, more than the "
            f"{population.count} agents of {population.path}: choose a larger population"
        )


def check_count(population: Population, wanted: int, what: str) -> None:
    """
    Raises:
        EmbrlError: the population has fewer agents than `wanted`.
    """
    if population.count < wanted:
        raise EmbrlError(f"{population.path} has {population.count} agents, {what} needs {wanted}")
