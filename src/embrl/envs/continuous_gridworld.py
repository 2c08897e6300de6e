"""The continuous gridworld of Pritz et al. (2021): a square, observed as the exact position."""

import dataclasses

import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Float

from embrl.envs.checks import check_whole
from embrl.envs.square import Square, SquareConfig


@dataclasses.dataclass(frozen=True)
class ContinuousGridworldConfig(SquareConfig):
    """Settings of the gridworld whose position is observed (Pritz et al. 2021, A.4.1).

    A unit square with obstacles. An action is an n-bit mask over n actuators (most significant
    bit first), evenly spaced around the agent, which moves by their sum.
    """

    step_limit: int = 150
    """Steps until an episode is truncated, at least 1."""

    def build(self) -> "ContinuousGridworld":
        """Make the environment.

        Raises:
            EmbrlError: If a setting is out of range; the message names it.
        """
        self.check()
        check_whole("step_limit", self.step_limit, 1)
        return ContinuousGridworld(self)


class ContinuousGridworld(Square):
    """The gridworld of `ContinuousGridworldConfig`.

    Observation: the position, x and y, each from 0 to 1.
    """

    def __init__(self, config: ContinuousGridworldConfig) -> None:
        super().__init__(config, config.step_limit)

    @property
    def observation_space(self) -> spaces.Box:
        """The unit square."""
        return spaces.Box(0.0, 1.0, (2,), np.float32)

    def observe(self, position: Float[Array, "2"]) -> Float[Array, "2"]:
        """Return the position."""
        return position

    def state_coordinates(self, observation: Float[Array, "*batch 2"]) -> Float[Array, "*batch 2"]:
        """Return the observation, which is the position."""
        return observation
