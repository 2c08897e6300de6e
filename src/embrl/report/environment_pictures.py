"""Pictures of environments, and the position of each state in them."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from embrl.envs.continuous_gridworld import ContinuousGridworld
from embrl.envs.environment import Environment
from embrl.envs.gridworld import Gridworld
from embrl.envs.square import Square
from embrl.report.drawing import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes


PROBES = 40
"""Number of positions drawn along each side of a square without cells."""


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """Drawing of an environment whose states have a position in the unit square.

    In a continuous environment, `states` is a grid of positions.
    """

    draw: "Callable[[Axes], None]"
    """Function that draws start, goal and obstacles over coordinates 0 to 1."""
    positions: Float[np.ndarray, "states 2"]
    """Position of each state, from 0 to 1."""
    observations: np.ndarray
    """Observation in each state, `[states]` or `[states, p]`: the input of a state encoder."""
    reachable: Bool[np.ndarray, " states"]
    """False for states that no episode can reach, such as those inside an obstacle."""
    neighbours: Int[np.ndarray, "pairs 2"]
    """Pairs of adjacent states; lines between them show how an embedding is folded."""
    effects_unit: str = ""
    """Meaning of the value 1 in the environment's `action_effects`."""


def gridworld_picture(environment: Gridworld) -> Picture:
    """Return the picture of a gridworld, in which a state's position is the centre of its cell."""
    bins = environment.bins
    cells = np.arange(bins**2, dtype=np.int32)
    positions = np.asarray(environment.state_coordinates(jnp.asarray(cells)), np.float64)
    # A cell is unreachable if it lies within one obstacle; otherwise its free part can be entered.
    reachable = ~_covered(environment, positions - 0.5 / bins, positions + 0.5 / bins)
    return _square_picture(environment, bins, positions, cells, reachable)


def continuous_gridworld_picture(environment: ContinuousGridworld) -> Picture:
    """Return the picture of a continuous gridworld, with the centres of PROBES x PROBES cells."""
    along = (np.arange(PROBES) + 0.5) / PROBES
    positions = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    reachable = ~_covered(environment, positions, positions)
    seen = positions.astype(np.float32)
    return _square_picture(environment, PROBES, positions, seen, reachable)


def _covered(environment: Square, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return True for rectangles, given by their corners, that lie within one obstacle."""
    # The margin allows for the float32 precision of the environment's coordinates.
    boxes = np.asarray(environment.obstacles, np.float64)[:, None]
    covered = (boxes[..., :2] <= low + 1e-6) & (high - 1e-6 <= boxes[..., 2:])
    return np.any(np.all(covered, axis=-1), axis=0)


def _square_picture(
    environment: Square,
    bins: int,
    positions: np.ndarray,
    observations: np.ndarray,
    reachable: np.ndarray,
) -> Picture:
    """Return the picture of a square whose states are in rows of `bins`, from the bottom up."""

    def draw(axes: "Axes") -> None:
        for x0, y0, x1, y1 in np.asarray(environment.obstacles):
            axes.fill([x0, x1, x1, x0], [y0, y0, y1, y1], color=INK, linewidth=0, zorder=3)
        x0, y0, x1, y1 = np.asarray(environment.goal)
        style = {"edgecolor": "white", "linewidth": 1.2, "zorder": 4}
        axes.fill([x0, x1, x1, x0], [y0, y0, y1, y1], facecolor="#0033CC", **style)
        x, y = np.asarray(environment.start)
        axes.scatter(x, y, s=60, c="#E00000", **style)
        for name, at in [("start", (x, y)), ("goal", ((x0 + x1) / 2, y1))]:
            axes.annotate(
                name,
                at,
                (0, 9),
                textcoords="offset points",
                ha="center",
                bbox={"facecolor": "white", "linewidth": 0, "boxstyle": "round,pad=0.15"},
                zorder=5,
            )

    cells = np.arange(bins**2).reshape(bins, bins)
    beside = np.stack([cells[:, :-1], cells[:, 1:]], axis=-1).reshape(-1, 2)
    above = np.stack([cells[:-1], cells[1:]], axis=-1).reshape(-1, 2)
    neighbours = np.concatenate([beside, above])
    return Picture(draw, positions, observations, reachable, neighbours, "longest step = 1")


PICTURES: dict[type[Environment], Callable[..., Picture]] = {
    Gridworld: gridworld_picture,
    ContinuousGridworld: continuous_gridworld_picture,
}
"""Function that makes the picture, by class of environment. To add a picture, write a function and
add one line here. The slot machine has none, because four reels have no position in a plane."""


def picture_of(environment: Environment) -> Picture | None:
    """Return the environment's picture; None if it has none."""
    for kind, picture in PICTURES.items():
        if isinstance(environment, kind):
            return picture(environment)
    return None
