"""The continuous square with actuators of Pritz et al. (2021): its geometry and its dynamics.

What is observed of it is up to `embrl.envs.gridworld` and `embrl.envs.continuous_gridworld`.
"""

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, Int

from embrl.core.errors import EmbrlError
from embrl.core.types import Action, Key, Observation, TimeStep
from embrl.envs.checks import check_whole
from embrl.envs.environment import Environment

Rectangle = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max; bounds inclusive."""

SUBSTEPS = 4
SUBSTEP_LENGTH = 0.045
STEP_COST = 0.01
COLLISION_COST = 0.05
GOAL_REWARD = 1.0


@dataclasses.dataclass(frozen=True)
class SquareConfig:
    """The world of both gridworlds (Pritz et al. 2021, A.4.1 and the released code's constants)."""

    actuators: int = 9
    """Number of actuators n, 2 to 12: there are 2^n actions."""
    walls: Literal["released", "swept"] = "released"
    """released: only the ends of sub-steps are checked, so that agents jump through thin walls,
    as in the paper's code. swept: the whole path is checked."""
    start: tuple[float, float] = (0.3, 0.1)
    """Where every episode starts (x, y)."""
    goal: Rectangle = (0.125, 0.625, 0.175, 0.675)
    """The goal's x_min y_min x_max y_max."""
    obstacles: tuple[Rectangle, ...] = ((0.0, 0.375, 0.5, 0.4), (0.5, 0.375, 0.525, 0.75))
    """Any number of rectangles, x_min y_min x_max y_max each."""

    def check(self) -> None:
        """Refuses what makes no world.

        Raises:
            EmbrlError: a field is out of range; the message names it.
        """
        check_whole("actuators", self.actuators, 2, 12)
        self._check_shapes()
        if self.walls not in ("released", "swept"):
            raise EmbrlError(f"env.walls is {self.walls!r}: choose released or swept")
        if not all(0.0 <= c <= 1.0 for c in self.start):
            raise EmbrlError(f"env.start {self.start} is outside the unit square")
        for name, box in [("goal", self.goal), *(("obstacles", box) for box in self.obstacles)]:
            x0, y0, x1, y1 = box
            if not (0.0 <= x0 <= x1 <= 1.0 and 0.0 <= y0 <= y1 <= 1.0):
                raise EmbrlError(
                    f"env.{name} {box} is no rectangle in the unit square: "
                    "give x_min y_min x_max y_max"
                )
        for box in self.obstacles:
            if _contains(box, self.start):
                raise EmbrlError(f"env.start {self.start} lies in obstacle {box}: move one")
        if _contains(self.goal, self.start):
            raise EmbrlError(f"env.start {self.start} lies in the goal {self.goal}: move one")

    def _check_shapes(self) -> None:
        """The command line has done this already; Python callers can pass anything."""
        numbers = [("start", self.start, 2), ("goal", self.goal, 4)]
        if not isinstance(self.obstacles, Sequence):
            raise EmbrlError(f"env.obstacles is {self.obstacles!r}: give a tuple of rectangles")
        numbers += [("obstacles", box, 4) for box in self.obstacles]
        for name, value, count in numbers:
            if (
                not isinstance(value, Sequence)
                or len(value) != count
                or not all(isinstance(number, int | float) for number in value)
            ):
                what = "x y" if count == 2 else "x_min y_min x_max y_max"
                raise EmbrlError(f"env.{name} {value!r} should be {count} numbers: {what}")


class GridworldState(NamedTuple):
    """The true position, x and y in the unit square, and the steps taken."""

    position: Float[Array, "2"]
    steps: Int[Array, ""]


class Square(Environment):
    """See `SquareConfig`. What is observed of a position is left open."""

    motions: Float[Array, "n 2"]
    start: Float[Array, "2"]
    goal: Float[Array, "4"]
    obstacles: Float[Array, "boxes 4"]
    swept: bool = eqx.field(static=True)
    step_limit: int = eqx.field(static=True)

    def __init__(self, config: SquareConfig, step_limit: int) -> None:
        self.motions = jnp.asarray(motions(config.actuators), jnp.float32)
        self.start = jnp.asarray(config.start, jnp.float32)
        self.goal = jnp.asarray(config.goal, jnp.float32)
        self.obstacles = jnp.asarray(config.obstacles, jnp.float32).reshape(-1, 4)
        self.swept = config.walls == "swept"
        self.step_limit = step_limit

    @abc.abstractmethod
    def observe(self, position: Float[Array, "2"]) -> Observation:
        """What the agent sees at a position."""

    @property
    def action_space(self) -> spaces.Discrete:
        """The masks of active actuators."""
        return spaces.Discrete(self.motions.shape[0])

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """Those of a position."""
        return ("x", "y")

    def reset(self, key: Key) -> tuple[GridworldState, Observation]:
        """Every episode starts at the same place; `key` is not used."""
        del key
        state = GridworldState(self.start, jnp.int32(0))
        return state, self.observe(state.position)

    def step(
        self, key: Key, state: GridworldState, action: Action
    ) -> tuple[GridworldState, TimeStep]:
        """Four sub-steps. The first that would hit something is cancelled and ends the step; so
        does the first that ends in the goal.
        """
        del key
        delta = SUBSTEP_LENGTH * self.motions[action]
        position = state.position
        terminated = collided = jnp.bool_(False)
        for _ in range(SUBSTEPS):
            target = position + delta
            moving = ~(terminated | collided)
            collided |= moving & self._blocked(position, target)
            position = jnp.where(moving & ~collided, target, position)
            terminated |= _inside(self.goal, position)
        steps = state.steps + 1
        reward = GOAL_REWARD * terminated - COLLISION_COST * collided - STEP_COST
        return GridworldState(position, steps), TimeStep(
            observation=self.observe(position),
            reward=reward.astype(jnp.float32),
            terminated=terminated,
            truncated=(steps >= self.step_limit) & ~terminated,
        )

    def action_effects(self) -> Float[Array, "n 2"]:
        """The displacement of a free step, as a fraction of the longest one."""
        return self.motions

    def action_features(self) -> np.ndarray:
        """The bits of the mask: which actuators are active, float32 `[n, actuators]`."""
        count = self.motions.shape[0]
        return masks(count.bit_length() - 1).astype(np.float32)

    def references(self, key: Key) -> dict[str, float]:
        """`best_known_return`, from a search (see `embrl.envs.gridworld_search`)."""
        del key
        from embrl.envs.gridworld_search import fewest_steps

        steps = fewest_steps(self)
        return {} if steps is None else {"best_known_return": GOAL_REWARD - STEP_COST * steps}

    def _blocked(self, position: Array, target: Array) -> Bool[Array, ""]:
        outside = jnp.any((target < 0.0) | (target > 1.0))
        hit = _crosses if self.swept else _ends_in
        return outside | jnp.any(jax.vmap(hit, (0, None, None))(self.obstacles, position, target))


def motions(actuators: int) -> np.ndarray:
    """The motion of every action, float64 `[2^actuators, 2]`; the longest has length 1.

    Directions are rounded to thousandths (as released) and summed as integers, so that actions
    with the same sum have the same motion to the last bit.
    """
    angles = 2 * math.pi * np.arange(actuators) / actuators
    directions = np.rint(1000 * np.stack([np.cos(angles), np.sin(angles)], axis=1)).astype(int)
    sums = masks(actuators) @ directions
    return sums / np.sqrt((sums**2).sum(axis=1).max())


def masks(actuators: int) -> np.ndarray:
    """The bits of every action, 0 or 1, `[2^actuators, actuators]`."""
    return np.arange(2**actuators)[:, None] >> np.arange(actuators)[::-1] & 1


def _contains(box: Rectangle, point: tuple[float, float]) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _inside(box: Array, point: Array) -> Array:
    return jnp.all((box[:2] <= point) & (point <= box[2:]))


def _ends_in(box: Array, position: Array, target: Array) -> Array:
    del position
    return _inside(box, target)


def _crosses(box: Array, position: Array, target: Array) -> Array:
    """Whether the closed segment meets the closed box (slab method)."""
    delta = target - position
    still = delta == 0.0
    safe = jnp.where(still, 1.0, delta)
    a, b = (box[:2] - position) / safe, (box[2:] - position) / safe
    within = (box[:2] <= position) & (position <= box[2:])
    enter = jnp.where(still, jnp.where(within, -jnp.inf, jnp.inf), jnp.minimum(a, b))
    leave = jnp.where(still, jnp.where(within, jnp.inf, -jnp.inf), jnp.maximum(a, b))
    return jnp.maximum(enter.max(), 0.0) <= jnp.minimum(leave.min(), 1.0)
