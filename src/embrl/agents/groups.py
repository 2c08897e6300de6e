"""Groups of agents by their mean return, and the split that no lineage crosses."""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Bool, Float, Int

from embrl.core.errors import EmbrlError


@dataclasses.dataclass(frozen=True)
class Groups:
    """Ranges of mean return: group i begins at bound i - 1, the first has no lower end.

    The default is Cart-Pole's: 195 and 475 are what counts as solved in CartPole-v0 and v1, and 50
    is about twice what random play gets.

    Raises:
        EmbrlError: the bounds are not finite, or not each greater than the one before.
    """

    bounds: tuple[float, ...] = (50.0, 195.0, 475.0)

    def __post_init__(self) -> None:
        bounds = np.asarray(self.bounds, np.float64)
        if bounds.ndim != 1 or not np.isfinite(bounds).all() or not (np.diff(bounds) > 0).all():
            raise EmbrlError(
                f"groups with bounds {self.bounds}: expected finite numbers, each greater than "
                "the one before"
            )

    @classmethod
    def quartiles(cls, returns: Float[np.ndarray, " N"]) -> "Groups":
        """Quarters of a population, as nearly as equal returns allow: fewer than four groups
        where many share one return.

        Raises:
            EmbrlError: there are none, or they are not finite.
        """
        returns = _finite(returns)
        if not returns.size:
            raise EmbrlError("groups: no agents, so no quartiles of their returns")
        # Returns that agents have, above the least: no group is empty.
        bounds = np.unique(np.quantile(returns, (0.25, 0.5, 0.75), method="higher"))
        return cls(tuple(float(bound) for bound in bounds if bound > returns.min()))

    @classmethod
    def default(cls, environment: str, returns: Float[np.ndarray, " N"]) -> "Groups":
        """Cart-Pole's own groups; in other environments the population's quartiles."""
        return cls() if environment == "cart_pole" else cls.quartiles(returns)

    @property
    def names(self) -> tuple[str, ...]:
        """For people, lowest first: `below 50`, `50 to 195`, `475 and more`."""
        if not self.bounds:
            return ("all",)
        words = [f"{bound:g}" for bound in self.bounds]
        between = (f"{a} to {b}" for a, b in itertools.pairwise(words))
        return (f"below {words[0]}", *between, f"{words[-1]} and more")

    @property
    def count(self) -> int:
        """Of groups."""
        return len(self.bounds) + 1

    def of(self, return_mean: Float[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
        """Each agent's group, 0 the lowest.

        Raises:
            EmbrlError: a return is not finite.
        """
        return np.searchsorted(np.asarray(self.bounds), _finite(return_mean), side="right")


def split(
    lineage: Int[np.ndarray, " N"], held_out: float = 0.2, seed: int = 0
) -> tuple[Bool[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Which agents to train on and which to hold out: all agents of a lineage go together.

    Arguments:
        held_out: the share of lineages, at least one on either side.

    Raises:
        EmbrlError: the share is not between 0 and 1, or there are fewer than two lineages.
    """
    if not 0 < held_out < 1:
        raise EmbrlError(f"held_out {held_out}: expected a share between 0 and 1")
    lineages = np.unique(lineage)
    if len(lineages) < 2:
        raise EmbrlError(
            f"{len(lineages)} lineages: to hold some out there must be two or more, as agents of "
            "one training run are too much alike"
        )
    count = min(max(round(held_out * len(lineages)), 1), len(lineages) - 1)
    chosen = np.random.default_rng(seed).permutation(lineages)[:count]
    out = np.isin(lineage, chosen)
    return ~out, out


def _finite(returns: np.ndarray) -> np.ndarray:
    returns = np.asarray(returns)
    if not np.isfinite(returns).all():
        raise EmbrlError("groups: some returns are not finite numbers")
    return returns
