"""A map of a population: its embedding's two main directions, coloured by what agents are worth."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from embrl.report.drawing import MUTED, figure
from embrl.report.embedding_figure import plane

WIDTH, HEIGHT = 6.4, 5.2


def plot_map(
    path: str | Path,
    title: str,
    z: Float[np.ndarray, "N k"],
    worth: Float[np.ndarray, " N"],
    value: str,
    note: str = "",
) -> tuple[str, str]:
    """Draws every agent as a dot, the best ones on top, and writes a PNG.

    Arguments:
        worth: each agent's.
        value: what that is.
        note: what else the line under the title says.

    **Returns** what the axes show, and how much of the variance that is.
    """
    points, names = plane(np.asarray(z, np.float64), "z")
    order = np.argsort(worth, kind="stable")
    with figure(path, WIDTH, HEIGHT) as drawn:
        axes = drawn.add_subplot()
        size = float(np.clip(9000 / max(len(z), 1), 3, 40))
        dots = axes.scatter(
            *points[order].T, c=np.asarray(worth)[order], s=size, cmap="viridis", linewidth=0,
            alpha=0.85, rasterized=True,
        )  # fmt: skip
        drawn.colorbar(dots, ax=axes, label=value, pad=0.02).outline.set_visible(False)  # type: ignore[operator]
        axes.set(xlabel=names[0], ylabel=names[1])
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=20)
        axes.annotate(
            f"{len(z):,} agents{note}", (0, 1), (0, 6), xycoords="axes fraction",
            textcoords="offset points", fontsize=8.5, color=MUTED,
        )  # fmt: skip
        axes.grid(True)
    return names
