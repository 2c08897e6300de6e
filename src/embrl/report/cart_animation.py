"""Animation of several agents balancing Cart-Pole side by side, as a GIF."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from embrl.core.errors import require
from embrl.envs.cart_pole import CartPoleConfig
from embrl.report.drawing import FAINT, INK, MUTED, PALE, PALETTE, blank
from embrl.report.film import write_gif

if TYPE_CHECKING:
    from matplotlib.axes import Axes


EVERY = 4
"""Environment steps per frame."""
WIDTH, HEIGHT = 2.35, 1.9
"""Inches of a panel."""
DPI = 80
COLOURS = 64
"""Colours of a frame."""
CART = (0.7, 0.3)
"""Width and height of a cart in metres, for drawing only."""


class AnimatedAgent(NamedTuple):
    """Episode of one agent, to be animated."""

    label: str
    observations: Float[np.ndarray, "steps 4"]
    length: int
    """Number of steps in this episode."""


def animate(
    path: str | Path, title: str, actors: Sequence[AnimatedAgent], config: CartPoleConfig
) -> None:
    """Draw episodes in real time and write a GIF; carts that have fallen stand still and grey.

    It ends when all have fallen, or at the step limit, 10 seconds by default.

    Args:
        path: file to write.
        title: title of the animation.
        actors: episodes, from left to right.
        config: settings of the environment.

    Raises:
        EmbrlError: matplotlib is not installed.
    """
    canvas_of = require("matplotlib.backends.backend_agg", "plot").FigureCanvasAgg
    pillow = require("PIL.Image", "plot")
    longest = max(actor.length for actor in actors)
    steps = [*range(0, longest, EVERY), longest]
    images = []
    with blank(WIDTH * len(actors), HEIGHT + 0.3, DPI) as drawn:
        drawn.suptitle(title, fontsize=10, fontweight="bold", x=0.01, ha="left")
        grid = drawn.subplots(1, len(actors), squeeze=False)[0]
        stages = [
            _Stage(axes, actor, PALETTE[at % len(PALETTE)], config)
            for at, (axes, actor) in enumerate(zip(grid, actors, strict=True))
        ]
        # Static parts are drawn once: a frame takes milliseconds instead of tenths of a second.
        canvas = canvas_of(drawn)
        canvas.draw()
        still = canvas.copy_from_bbox(drawn.bbox)
        for step in steps:
            canvas.restore_region(still)
            for stage in stages:
                stage.show(step)
            image = pillow.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
            images.append(image.quantize(COLOURS, dither=pillow.Dither.NONE))
    write_gif(path, images, config.tau * EVERY)


class _Stage:
    """Track with its cart and pole."""

    def __init__(
        self, axes: "Axes", actor: AnimatedAgent, colour: str, config: CartPoleConfig
    ) -> None:
        patches = require("matplotlib.patches", "plot")
        self.actor, self.colour, self.config = actor, colour, config
        reach = config.most_position + CART[0] / 2 + 0.15
        axes.set(xlim=(-reach, reach), ylim=(-0.75, 2 * config.half_length + 0.45))
        axes.set_aspect("equal")
        axes.axis("off")
        axes.set_title(actor.label, fontsize=8.5)
        ends = (-config.most_position, config.most_position)
        axes.plot(ends, (0, 0), color=MUTED, linewidth=1.2, zorder=1)
        for end in ends:
            axes.plot((end, end), (-0.12, 0.12), color=MUTED, linewidth=1.2, zorder=1)
        cart = patches.Rectangle((0, 0), *CART, facecolor=colour, edgecolor="none", animated=True)
        self.axes, self.cart = axes, axes.add_patch(cart)
        (self.pole,) = axes.plot(
            [], [], color=INK, linewidth=4, solid_capstyle="round", animated=True
        )
        self.counter = axes.text(
            0, -0.5, "", ha="center", va="center", fontsize=9, family="monospace", animated=True
        )

    def show(self, step: int) -> None:
        at = min(step, self.actor.length)
        position, _, angle, _ = map(float, self.actor.observations[at])
        fallen = step >= self.actor.length < self.config.step_limit
        self.cart.set(xy=(position - CART[0] / 2, 0), facecolor=PALE if fallen else self.colour)
        top, length = CART[1], 2 * self.config.half_length
        tip = (position + length * math.sin(angle), top + length * math.cos(angle))
        self.pole.set_data([position, tip[0]], [top, tip[1]])
        self.pole.set_color(FAINT if fallen else INK)
        self.counter.set_color(MUTED if fallen else INK)
        self.counter.set_text(self._said(position, at, fallen))
        for artist in (self.cart, self.pole, self.counter):
            self.axes.draw_artist(artist)

    def _said(self, position: float, at: int, fallen: bool) -> str:
        if not fallen:
            return f"step {at:3d}"
        why: Any = "left the track" if abs(position) > self.config.most_position else "fell"
        return f"{why} at step {at}"
