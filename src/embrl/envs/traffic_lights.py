"""A car at traffic lights, seen as pixels: only colour tells when to go."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, Int, UInt8

from embrl.core.errors import check_fraction, check_positive
from embrl.core.types import Action, Key, Observation, TimeStep
from embrl.envs.checks import check_whole
from embrl.envs.environment import Environment

LENGTH, WIDTH = 12, 12
"""Cells of the road, and width of the image."""

LINE = 7
"""Cell of the stop line: a step from before it to it or beyond passes the lights."""

SPEEDS = 4
"""Actions: cells per step, from 0."""

RED, GREEN = (255, 0, 0), (0, 130, 0)
"""Colours of the lamp; both are the same grey, 76."""

ROAD, CAR, LINES = 60, 255, 120
"""Greys of the road, the car and the stop line."""


@dataclasses.dataclass(frozen=True)
class TrafficLightsConfig:
    """Settings of traffic lights: pass as many crossings as possible, at green.

    The observation is an image of 12 x 12 pixels in colour: a road, a car on it, a stop line, and a
    lamp, which is red or green. An action is how many cells the car drives, 0 to 3. Passing the
    line at green is worth 1; at red it is an accident, which ends the episode. The road goes on
    behind its end, with another lamp.
    """

    switching: float = 0.15
    """Probability that the lamp changes after a step, 0 to 1."""
    accident: float = 5.0
    """What an accident costs, above 0."""
    step_limit: int = 60
    """Steps until an episode is truncated, at least 1."""

    def build(self) -> "TrafficLights":
        """Make the environment.

        Raises:
            EmbrlError: If a setting is out of range; the message names it.
        """
        check_fraction("env.switching", self.switching)
        check_positive("env.accident", self.accident)
        check_whole("step_limit", self.step_limit, 1)
        return TrafficLights(self)


class TrafficState(NamedTuple):
    """State of the car and its lamp, and the number of steps taken."""

    cell: Int[Array, ""]
    green: Bool[Array, ""]
    steps: Int[Array, ""]


class TrafficLights(Environment):
    """Traffic lights as `TrafficLightsConfig` describes them."""

    switching: Float[Array, ""]
    accident: Float[Array, ""]
    step_limit: int = eqx.field(static=True)

    def __init__(self, config: TrafficLightsConfig) -> None:
        self.switching = jnp.float32(config.switching)
        self.accident = jnp.float32(config.accident)
        self.step_limit = config.step_limit

    @property
    def observation_space(self) -> spaces.Box:
        """Images in colour."""
        return spaces.Box(0, 255, (LENGTH, WIDTH, 3), np.uint8)

    @property
    def action_space(self) -> spaces.Discrete:
        """Cells to drive."""
        return spaces.Discrete(SPEEDS)

    def reset(self, key: Key) -> tuple[TrafficState, UInt8[Array, "h w 3"]]:
        """Start an episode at the beginning of the road, with a random lamp."""
        state = TrafficState(jnp.int32(0), jax.random.bernoulli(key), jnp.int32(0))
        return state, self._observe(state)

    def step(self, key: Key, state: TrafficState, action: Action) -> tuple[TrafficState, TimeStep]:
        """Drive, and judge by the lamp that was seen; it may change afterwards."""
        ahead = state.cell + action
        passes = (state.cell < LINE) & (ahead >= LINE)
        crash = passes & ~state.green
        reward = jnp.where(crash, -self.accident, passes.astype(jnp.float32))
        onwards = ahead >= LENGTH
        key_change, key_new = jax.random.split(key)
        changed = state.green ^ (jax.random.uniform(key_change) < self.switching)
        green = jnp.where(onwards, jax.random.bernoulli(key_new), changed)
        after = TrafficState(ahead % LENGTH, green, state.steps + 1)
        return after, TimeStep(
            observation=self._observe(after),
            reward=reward,
            terminated=crash,
            truncated=(after.steps >= self.step_limit) & ~crash,
        )

    def state_coordinates(self, observation: Observation) -> Float[Array, "*batch 2"]:
        """Return the car's cell, and 1 where the lamp is green."""
        image = jnp.asarray(observation)
        cell = (image[..., WIDTH // 2, 0] == CAR).argmax(-1)
        green = image[..., 0, 0, 0] == GREEN[0]
        return jnp.stack([cell, green], -1).astype(jnp.float32)

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """Names of the columns of `state_coordinates`."""
        return ("cell", "lamp")

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions."""
        return ("wait", *(f"drive {cells}" for cells in range(1, SPEEDS)))

    def references(self, key: Key) -> dict[str, float]:
        """Return `best_known_return`, the optimum, and `colour_blind_return`."""
        del key
        return {
            "best_known_return": self.optimum(),
            "colour_blind_return": self.optimum(colour_blind=True),
        }

    def optimum(self, colour_blind: bool = False) -> float:
        """Return the mean return of the best policy, by backward induction.

        Args:
            colour_blind: of policies that do not know the lamp. In a fresh state both colours are
                equally likely for them, and so they are at every line: it changes symmetrically.
        """
        switching, accident = float(self.switching), float(self.accident)
        value = np.zeros((LENGTH, 2))
        cells, speeds = np.arange(LENGTH)[:, None], np.arange(SPEEDS)
        ahead = cells + speeds
        passes, onwards = (cells < LINE) & (ahead >= LINE), ahead >= LENGTH
        for _ in range(self.step_limit):
            either = value.mean(1)[ahead % LENGTH]
            worth = []
            for green in range(2):
                kept = value[ahead % LENGTH, green]
                changed = value[ahead % LENGTH, 1 - green]
                later = np.where(onwards, either, (1 - switching) * kept + switching * changed)
                crash = passes & (green == 0)
                worth.append(np.where(crash, -accident, passes + later))
            action_values = np.stack(worth, -1)
            if colour_blind:
                action_values = np.repeat(action_values.mean(-1, keepdims=True), 2, -1)
            value = action_values.max(1)
        return float(value[0].mean())

    def _observe(self, state: TrafficState) -> UInt8[Array, "h w 3"]:
        image = np.zeros((LENGTH, WIDTH, 3), np.uint8)
        image[:, 4:8] = ROAD
        image[LINE, 4:8] = LINES
        car = (jnp.arange(LENGTH) == state.cell)[:, None, None]
        lane = ((np.arange(WIDTH) >= 5) & (np.arange(WIDTH) < 7))[None, :, None]
        found = jnp.where(car & lane, jnp.uint8(CAR), jnp.asarray(image))
        lamp = jnp.where(state.green, jnp.array(GREEN, jnp.uint8), jnp.array(RED, jnp.uint8))
        return found.at[:3, :3].set(lamp)
