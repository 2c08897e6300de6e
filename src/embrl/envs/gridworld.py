"""The gridworld of Pritz et al. (2021): a continuous square, observed as the cells of a grid."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from gymnasium import spaces
from jaxtyping import Array, Float, Int

from embrl.envs.checks import check_whole
from embrl.envs.square import Square, SquareConfig


@dataclasses.dataclass(frozen=True)
class GridworldConfig(SquareConfig):
    """Settings of the gridworld (Pritz et al. 2021, A.4.1 and the released code's constants).

    A unit square with obstacles. An action is an n-bit mask over n actuators (most significant
    bit first), evenly spaced around the agent, which moves by their sum.
    """

    bins: int = 40
    """Number of grid cells along each side, at least 1; the observation is a cell."""
    step_limit: int = 150
    """Steps until an episode is truncated, at least 1."""

    def build(self) -> "Gridworld":
        """Make the environment.

        Raises:
            EmbrlError: If a setting is out of range; the message names it.
        """
        self.check()
        check_whole("bins", self.bins, 1)
        check_whole("step_limit", self.step_limit, 1)
        return Gridworld(self)


class Gridworld(Square):
    """The gridworld of `GridworldConfig`.

    Observation: `Discrete(bins^2)`, the cell `row * bins + column`.
    """

    bins: int = eqx.field(static=True)

    def __init__(self, config: GridworldConfig) -> None:
        super().__init__(config, config.step_limit)
        self.bins = config.bins

    @property
    def observation_space(self) -> spaces.Discrete:
        """All cells."""
        return spaces.Discrete(self.bins**2)

    def observe(self, position: Float[Array, "2"]) -> Int[Array, ""]:
        """Return the cell of a position."""
        column, row = jnp.clip((position * self.bins).astype(jnp.int32), 0, self.bins - 1)
        return row * self.bins + column

    def state_coordinates(self, observation: Int[Array, "*batch"]) -> Float[Array, "*batch 2"]:
        """Return the centre of a cell, x and y."""
        cell = jnp.stack([observation % self.bins, observation // self.bins], axis=-1)
        return (cell + 0.5) / self.bins
