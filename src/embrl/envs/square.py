"""The continuous square with actuators of Pritz et al. (2021): geometry, dynamics, shortest paths.

`embrl.envs.gridworld` and `embrl.envs.continuous_gridworld` add what is observed of it.
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
from embrl.envs.checks import check_choice, check_whole
from embrl.envs.environment import Environment

Rectangle = tuple[float, float, float, float]
"""Coordinates x_min, y_min, x_max, y_max; bounds inclusive."""

SUBSTEPS = 4
SUBSTEP_LENGTH = 0.045
STEP_COST = 0.01
COLLISION_COST = 0.05
GOAL_REWARD = 1.0

RESOLUTION = 100
"""Cells along each side of the search grid; one position is followed up for each cell."""

BLOCK = 1024
"""Positions expanded at once; the last block is padded, so that only one size is compiled."""


@dataclasses.dataclass(frozen=True)
class SquareConfig:
    """Settings that both gridworlds share (Pritz et al. 2021, A.4.1, and the released code)."""

    actuators: int = 9
    """Number of actuators n, 2 to 12; there are 2^n actions."""
    walls: Literal["released", "swept"] = "released"
    """Collision check. released: only the ends of sub-steps, so that agents jump through thin
    walls, as in the paper's code. swept: the whole path."""
    start: tuple[float, float] = (0.3, 0.1)
    """Position where every episode starts, x y."""
    goal: Rectangle = (0.125, 0.625, 0.175, 0.675)
    """Rectangle of the goal, x_min y_min x_max y_max."""
    obstacles: tuple[Rectangle, ...] = ((0.0, 0.375, 0.5, 0.4), (0.5, 0.375, 0.525, 0.75))
    """Rectangles of the obstacles, any number of them, x_min y_min x_max y_max each."""

    def check(self) -> None:
        """Check the settings.

        Raises:
            EmbrlError: If a setting is out of range; the message names it.
        """
        check_whole("actuators", self.actuators, 2, 12)
        self._check_shapes()
        check_choice("walls", self.walls, ("released", "swept"))
        if not all(0.0 <= c <= 1.0 for c in self.start):
            raise EmbrlError(f"env.start must be in the unit square, got {self.start}")
        for name, box in [("goal", self.goal), *(("obstacles", box) for box in self.obstacles)]:
            x0, y0, x1, y1 = box
            if not (0.0 <= x0 <= x1 <= 1.0 and 0.0 <= y0 <= y1 <= 1.0):
                raise EmbrlError(
                    f"env.{name} must be a rectangle x_min y_min x_max y_max in the unit square, "
                    f"got {box}"
                )
        for box in self.obstacles:
            if _contains(box, self.start):
                raise EmbrlError(f"env.start must be outside obstacles, got {self.start} in {box}")
        if _contains(self.goal, self.start):
            raise EmbrlError(f"env.start must be outside the goal {self.goal}, got {self.start}")

    def _check_shapes(self) -> None:
        """Check types and lengths; the command line has done so, but Python callers have not."""
        numbers = [("start", self.start, 2), ("goal", self.goal, 4)]
        if not isinstance(self.obstacles, Sequence):
            raise EmbrlError(f"env.obstacles must be a tuple of rectangles, got {self.obstacles!r}")
        numbers += [("obstacles", box, 4) for box in self.obstacles]
        for name, value, count in numbers:
            if (
                not isinstance(value, Sequence)
                or len(value) != count
                or not all(isinstance(number, int | float) for number in value)
            ):
                what = "x y" if count == 2 else "x_min y_min x_max y_max"
                raise EmbrlError(f"env.{name} must be {count} numbers {what}, got {value!r}")


class GridworldState(NamedTuple):
    """State of a gridworld: the true position, x and y, and the number of steps taken."""

    position: Float[Array, "2"]
    steps: Int[Array, ""]


class Square(Environment):
    """The square of `SquareConfig`; subclasses say what is observed of a position."""

    motions: Float[Array, "n 2"]
    start: Float[Array, "2"]
    goal: Float[Array, "4"]
    obstacles: Float[Array, "boxes 4"]
    swept: bool = eqx.field(static=True)
    step_limit: int = eqx.field(static=True)

    def __init__(self, config: SquareConfig, step_limit: int) -> None:
        # NumPy converts them: each conversion by JAX is a program to compile.
        self.motions = jax.device_put(motions(config.actuators).astype(np.float32))
        self.start = jax.device_put(np.array(config.start, np.float32))
        self.goal = jax.device_put(np.array(config.goal, np.float32))
        self.obstacles = jax.device_put(np.array(config.obstacles, np.float32).reshape(-1, 4))
        self.swept = config.walls == "swept"
        self.step_limit = step_limit

    @abc.abstractmethod
    def observe(self, position: Float[Array, "2"]) -> Observation:
        """Return what the agent sees at a position."""

    @property
    def action_space(self) -> spaces.Discrete:
        """All masks of active actuators."""
        return spaces.Discrete(self.motions.shape[0])

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """Names of the coordinates of a position."""
        return ("x", "y")

    def reset(self, key: Key) -> tuple[GridworldState, Observation]:
        """Start an episode at the one place where all start; `key` is not used."""
        del key
        state = GridworldState(self.start, jnp.int32(0))
        return state, self.observe(state.position)

    def step(
        self, key: Key, state: GridworldState, action: Action
    ) -> tuple[GridworldState, TimeStep]:
        """Take four sub-steps; `key` is not used.

        The first sub-step that would hit something is cancelled and ends the step; so does the
        first that ends in the goal.
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
        """Return the displacement of an unobstructed step, as a fraction of the longest one."""
        return self.motions

    def action_features(self) -> np.ndarray:
        """Return the bits of each mask, float32 `[n, actuators]`, 1 for an active actuator."""
        count = self.motions.shape[0]
        return masks(count.bit_length() - 1).astype(np.float32)

    def references(self, key: Key) -> dict[str, float]:
        """Return `best_known_return`, that of the path found by `fewest_steps`."""
        del key
        steps = fewest_steps(self)
        return {} if steps is None else {"best_known_return": GOAL_REWARD - STEP_COST * steps}

    def _blocked(self, position: Array, target: Array) -> Bool[Array, ""]:
        outside = jnp.any((target < 0.0) | (target > 1.0))
        hit = _crosses if self.swept else _ends_in
        return outside | jnp.any(jax.vmap(hit, (0, None, None))(self.obstacles, position, target))


def motions(actuators: int) -> np.ndarray:
    """Return the motion of every action, float64 `[2^actuators, 2]`; the longest has length 1.

    Directions are rounded to thousandths (as released) and summed as integers, so that actions
    with the same sum have the same motion to the last bit.
    """
    angles = 2 * math.pi * np.arange(actuators) / actuators
    directions = np.rint(1000 * np.stack([np.cos(angles), np.sin(angles)], axis=1)).astype(int)
    sums = masks(actuators) @ directions
    return sums / np.sqrt((sums**2).sum(axis=1).max())


def masks(actuators: int) -> np.ndarray:
    """Return the bits of every action, 0 or 1, `[2^actuators, actuators]`."""
    return np.arange(2**actuators)[:, None] >> np.arange(actuators)[::-1] & 1


def fewest_steps(env: Square) -> int | None:
    """Search for the fewest steps from the start to the goal, breadth first.

    Positions are exact; only the choice of which of several nearby ones to follow up is coarse. So
    the result is an upper bound of the true minimum, and the return it stands for can be reached.
    Paths with a collision are not followed.

    Returns:
        The number of steps; None if no path was found within the step limit.
    """
    actions = jnp.asarray(_distinct(np.asarray(env.motions)), jnp.int32)
    key = jax.random.key(0)  # the square is deterministic and does not use it
    origin, _ = env.reset(key)

    @jax.jit
    def expand(positions: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        def one(position: jax.Array, action: jax.Array):
            state, after = env.step(key, origin._replace(position=position), action)
            free = after.terminated | (after.reward > -0.02)  # a collision costs more
            return state.position, after.terminated, free

        return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(positions, actions)

    seen = np.zeros(RESOLUTION**2, bool)
    frontier = np.asarray(env.start)[None]
    for steps in range(1, env.step_limit + 1):
        found = []
        for start in range(0, len(frontier), BLOCK):
            block = frontier[start : start + BLOCK]
            # Padding repeats a position of the block and so adds nothing new.
            padded = np.concatenate([block, np.repeat(block[:1], BLOCK - len(block), axis=0)])
            positions, terminated, free = (np.asarray(part) for part in expand(padded))
            if terminated.any():
                return steps
            found.append(_new(positions[free], seen))
        frontier = np.concatenate(found)
        if not len(frontier):
            return None
    return None


def _contains(box: Rectangle, point: tuple[float, float]) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _inside(box: Array, point: Array) -> Array:
    return jnp.all((box[:2] <= point) & (point <= box[2:]))


def _ends_in(box: Array, position: Array, target: Array) -> Array:
    del position
    return _inside(box, target)


def _crosses(box: Array, position: Array, target: Array) -> Array:
    """Return True if the closed segment meets the closed box (slab method)."""
    delta = target - position
    still = delta == 0.0
    safe = jnp.where(still, 1.0, delta)
    a, b = (box[:2] - position) / safe, (box[2:] - position) / safe
    within = (box[:2] <= position) & (position <= box[2:])
    enter = jnp.where(still, jnp.where(within, -jnp.inf, jnp.inf), jnp.minimum(a, b))
    leave = jnp.where(still, jnp.where(within, jnp.inf, -jnp.inf), jnp.maximum(a, b))
    return jnp.maximum(enter.max(), 0.0) <= jnp.minimum(leave.min(), 1.0)


def _new(positions: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return one position for each cell not seen before, and mark these cells as seen."""
    columns, rows = np.minimum((positions * RESOLUTION).astype(int), RESOLUTION - 1).T
    cells, first = np.unique(rows * RESOLUTION + columns, return_index=True)
    fresh = ~seen[cells]
    seen[cells[fresh]] = True
    return positions[first[fresh]]


def _distinct(motions: np.ndarray) -> np.ndarray:
    """Return the index of one action for each distinct motion."""
    return np.unique(motions, axis=0, return_index=True)[1]
