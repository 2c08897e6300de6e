"""The continuous square with actuators of Pritz et al. (2021), observed through bins."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from gymnasium import spaces
from jaxtyping import Array, Float, Int

from embrl.envs.checks import check_whole
from embrl.envs.square import (
    SUBSTEP_LENGTH,
    SUBSTEPS,
    GridworldState,
    Square,
    SquareConfig,
    motions,
)

__all__ = [
    "SUBSTEPS",
    "SUBSTEP_LENGTH",
    "Gridworld",
    "GridworldConfig",
    "GridworldState",
    "motions",
]


@dataclasses.dataclass(frozen=True)
class GridworldConfig(SquareConfig):
    """The gridworld (Pritz et al. 2021, A.4.1 and the released code's constants).

    A unit square with obstacles. An action is an n-bit mask over n actuators (most significant
    bit first) that point evenly around the agent; it moves by their sum.
    """

    bins: int = 40
    """The observation is the cell of a bins x bins grid."""
    step_limit: int = 150
    """Steps until an episode is truncated."""

    def build(self) -> "Gridworld":
        """Makes the environment.

        Raises:
            EmbrlError: a field is out of range; the message names it.
        """
        self.check()
        check_whole("bins", self.bins, 1)
        check_whole("step_limit", self.step_limit, 1)
        return Gridworld(self)


class Gridworld(Square):
    """See `GridworldConfig`. Observation: `Discrete(bins^2)`, cell `row * bins + column`."""

    bins: int = eqx.field(static=True)

    def __init__(self, config: GridworldConfig) -> None:
        super().__init__(config, config.step_limit)
        self.bins = config.bins

    @property
    def observation_space(self) -> spaces.Discrete:
        """The cells."""
        return spaces.Discrete(self.bins**2)

    def observe(self, position: Float[Array, "2"]) -> Int[Array, ""]:
        """The cell of a position."""
        column, row = jnp.clip((position * self.bins).astype(jnp.int32), 0, self.bins - 1)
        return row * self.bins + column

    def state_coordinates(self, observation: Int[Array, "*batch"]) -> Float[Array, "*batch 2"]:
        """The centre of a cell."""
        cell = jnp.stack([observation % self.bins, observation // self.bins], axis=-1)
        return (cell + 0.5) / self.bins
