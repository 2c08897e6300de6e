"""Environments that have a picture: what they look like and where in it each state lies."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from embrl.envs.environment import Environment
from embrl.envs.gridworld import Gridworld
from embrl.report.drawing import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """How to draw an environment whose states have a place in the unit square."""

    draw: "Callable[[Axes], None]"
    """Draws start, goal and obstacles over coordinates 0 to 1; may label what it draws."""
    positions: Float[np.ndarray, "states 2"]
    """Where each state lies, in 0 to 1."""
    reachable: Bool[np.ndarray, " states"]
    """False where no episode can get to, such as inside an obstacle."""
    neighbours: Int[np.ndarray, "pairs 2"]
    """States that lie side by side: lines between them show how an embedding is folded."""
    effects_unit: str = ""
    """What 1 stands for in the environment's `action_effects`."""


def gridworld_picture(environment: Gridworld) -> Picture:
    """The unit square with its start, goal and obstacles; a state's place is its cell's centre."""
    bins = environment.bins
    cells = np.arange(bins**2)
    positions = np.asarray(environment.state_coordinates(jnp.asarray(cells)), np.float64)
    # A cell is out of reach when it lies in one obstacle altogether; a part that sticks out can be
    # entered. The margin is for the float32 of the environment's coordinates.
    low, high = positions - 0.5 / bins, positions + 0.5 / bins
    boxes = np.asarray(environment.obstacles, np.float64)[:, None]
    covered = (boxes[..., :2] <= low + 1e-6) & (high - 1e-6 <= boxes[..., 2:])
    reachable = np.logical_not(np.any(np.all(covered, axis=-1), axis=0))

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

    cells = cells.reshape(bins, bins)
    beside = np.stack([cells[:, :-1], cells[:, 1:]], axis=-1).reshape(-1, 2)
    above = np.stack([cells[:-1], cells[1:]], axis=-1).reshape(-1, 2)
    return Picture(draw, positions, reachable, np.concatenate([beside, above]), "longest step = 1")


PICTURES: dict[type[Environment], Callable[..., Picture]] = {Gridworld: gridworld_picture}
"""Class to picture. An environment that is drawn is one function and one line here."""


def picture_of(environment: Environment) -> Picture | None:
    """The environment's picture; None if it has none."""
    for kind, picture in PICTURES.items():
        if isinstance(environment, kind):
            return picture(environment)
    return None
