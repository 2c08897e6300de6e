"""Straight lines between agents, in an embedding or in weights, and what becomes of survival."""

import dataclasses
import enum

import numpy as np
from jaxtyping import Float

from embrl.core.errors import EmbrlError

COEFFICIENTS = tuple(np.arange(-4, 9) / 4.0)
"""-1 to 2 by quarters: 0 is the one agent, 1 the other."""


def line(
    one: Float[np.ndarray, "*pairs n"],
    other: Float[np.ndarray, "*pairs n"],
    coefficients: Float[np.ndarray, " points"],
) -> Float[np.ndarray, "*pairs points n"]:
    """`(1 - c) one + c other` for every coefficient c."""
    c = np.asarray(coefficients, one.dtype)[:, None]
    return (1 - c) * one[..., None, :] + c * other[..., None, :]


class Pattern(enum.StrEnum):
    """What a walk from one agent to another looks like (Chang et al. 2018)."""

    SLOPE = "slope"
    """Survival follows the coefficient from the worse agent to the better one."""
    VALLEY = "valley"
    """What lies between is worse than both."""
    HILL = "hill"
    """What lies between is better than both."""
    NONE = "none"
    """None of these: two agents alike with nothing between them, or both up and down."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """When a walk is which pattern. Let lo and hi be the survival of the worse and the better end,
    m the margin:

    - hill: somewhere strictly between the ends it is above hi + m, and nowhere below lo - m;
    - valley: somewhere strictly between it is below lo - m, and nowhere above hi + m;
    - slope: hi - lo > m, and from the worse end to the better one it never falls by more than m
      below what it had reached, nor leaves [lo - m, hi + m];
    - none: everything else.
    """

    margin: float = 50.0
    """Steps: a tenth of Cart-Pole's limit, several standard errors of what is measured."""

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise EmbrlError(f"margin is {self.margin}: choose a number above 0")

    def pattern(
        self, coefficients: Float[np.ndarray, " points"], survival: Float[np.ndarray, " points"]
    ) -> Pattern:
        """Of one walk.

        Raises:
            EmbrlError: 0, 1 or all that lies between them is not among the coefficients.
        """
        c, m = np.asarray(coefficients), self.margin
        if 0.0 not in c or 1.0 not in c or not ((c > 0) & (c < 1)).any():
            raise EmbrlError("the coefficients of a walk need 0, 1 and something between them")
        order = np.argsort(c)
        between = np.asarray(survival)[order][(c[order] >= 0) & (c[order] <= 1)]
        lo, hi = sorted((between[0], between[-1]))
        inside = between[1:-1]
        above, below = (inside > hi + m).any(), (inside < lo - m).any()
        if above != below:
            return Pattern.HILL if above else Pattern.VALLEY
        if above or hi - lo <= m:
            return Pattern.NONE
        upwards = between if between[0] == lo else between[::-1]
        falls = np.maximum.accumulate(upwards) - upwards
        return Pattern.SLOPE if (falls <= m).all() else Pattern.NONE


def best_coefficient(
    coefficients: Float[np.ndarray, " points"], survival: Float[np.ndarray, "*pairs points"]
) -> Float[np.ndarray, "*pairs"]:
    """Where survival is highest; of equals the one nearest to the middle between the agents."""
    c = np.asarray(coefficients)
    order = np.argsort(np.abs(c - 0.5), kind="stable")
    return c[order][np.asarray(survival)[..., order].argmax(-1)]
