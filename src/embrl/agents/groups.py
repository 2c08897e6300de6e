"""Groups of agents by mean return, the split by lineage, and the scale of returns."""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from embrl.agents.population import Population
from embrl.core.errors import EmbrlError
from embrl.envs.cart_pole import CartPoleConfig


@dataclasses.dataclass(frozen=True)
class Groups:
    """Ranges of mean return; group i starts at bound i - 1, the first has no lower end.

    The default is Cart-Pole's: 195 and 475 count as solved in CartPole-v0 and v1, and 50 is about
    twice what random play gets.

    Raises:
        EmbrlError: the bounds are not finite, or not increasing.
    """

    bounds: tuple[float, ...] = (50.0, 195.0, 475.0)

    def __post_init__(self) -> None:
        bounds = np.asarray(self.bounds, np.float64)
        if bounds.ndim != 1 or not np.isfinite(bounds).all() or not (np.diff(bounds) > 0).all():
            raise EmbrlError(f"bounds of groups must be finite and increasing, got {self.bounds}")

    @classmethod
    def quartiles(cls, returns: Float[np.ndarray, " N"]) -> "Groups":
        """Return the quarters of a population, as nearly as equal returns allow.

        There are fewer than four groups where many agents share one return.

        Raises:
            EmbrlError: there are no returns, or they are not finite.
        """
        returns = _finite(returns)
        if not returns.size:
            raise EmbrlError("returns must not be empty, got no agents")
        # Returns that occur, above the lowest, so that no group is empty.
        bounds = np.unique(np.quantile(returns, (0.25, 0.5, 0.75), method="higher"))
        return cls(tuple(float(bound) for bound in bounds if bound > returns.min()))

    @classmethod
    def default(cls, environment: str, returns: Float[np.ndarray, " N"]) -> "Groups":
        """Return Cart-Pole's own groups, or the population's quartiles elsewhere."""
        return cls() if environment == "cart_pole" else cls.quartiles(returns)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups, lowest first: `below 50`, `50 to 195`, `475 and more`."""
        if not self.bounds:
            return ("all",)
        words = [f"{bound:g}" for bound in self.bounds]
        between = (f"{a} to {b}" for a, b in itertools.pairwise(words))
        return (f"below {words[0]}", *between, f"{words[-1]} and more")

    @property
    def count(self) -> int:
        """Number of groups."""
        return len(self.bounds) + 1

    def of(self, return_mean: Float[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
        """Return each agent's group; 0 is the lowest.

        Raises:
            EmbrlError: a return is not finite.
        """
        return np.searchsorted(np.asarray(self.bounds), _finite(return_mean), side="right")


def split(
    lineage: Int[np.ndarray, " N"], held_out: float = 0.2, seed: int = 0
) -> tuple[Bool[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Split agents into training and held-out ones; all agents of a lineage stay together.

    Args:
        lineage: lineage of each agent.
        held_out: fraction of lineages held out; at least one lineage is on either side.
        seed: random seed of the split.

    Returns:
        Two masks `[N]`: training agents and held-out agents.

    Raises:
        EmbrlError: the fraction is not between 0 and 1, or there are fewer than two lineages.
    """
    if not 0 < held_out < 1:
        raise EmbrlError(f"held_out must be between 0 and 1, got {held_out}")
    lineages = np.unique(lineage)
    if len(lineages) < 2:
        raise EmbrlError(
            f"lineages must be 2 or more to hold some out, got {len(lineages)}; agents of one "
            "training run are too similar to be split"
        )
    count = min(max(round(held_out * len(lineages)), 1), len(lineages) - 1)
    chosen = np.random.default_rng(seed).permutation(lineages)[:count]
    out = np.isin(lineage, chosen)
    return ~out, out


def _finite(returns: np.ndarray) -> np.ndarray:
    returns = np.asarray(returns)
    if not np.isfinite(returns).all():
        raise EmbrlError("returns must be finite, got some that are not")
    return returns


class ScoreScale(NamedTuple):
    """Scale of the agents' score, which is their mean return."""

    name: str
    """Name of the score in figures and tables."""
    limit: float | None
    """Highest possible score, where known."""
    range: float
    """Difference of the best and worst possible score, or else of those in the population."""
    floor: float
    """Score from which fractions are measured.

    0, or, where returns are negative, the lowest of the population.
    """


def score_scale(population: Population) -> ScoreScale:
    """Return the scale of a population's scores; in Cart-Pole a return is survival in steps."""
    if isinstance(population.env, CartPoleConfig):
        limit = float(population.env.step_limit)
        return ScoreScale("survival (steps)", limit, limit, 0.0)
    returns = population.table()["return_mean"]
    span = float(np.ptp(returns)) or 1.0
    return ScoreScale("return", None, span, min(0.0, float(returns.min())))
