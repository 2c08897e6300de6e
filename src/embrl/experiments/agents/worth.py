"""What walks are judged by, and whether embeddings and populations belong together."""

from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.population import Population
from embrl.agents.walk import Rule
from embrl.agents.worth import worth_of
from embrl.core.errors import EmbrlError

MARGIN = 0.1
"""Of a walk's rule, as a share of the range of returns."""


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
