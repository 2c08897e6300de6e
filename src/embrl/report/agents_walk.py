"""Walks between two agents: what every point on the way is worth, latent beside weight space."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from embrl.core.statistics import bootstrap_mean
from embrl.report.drawing import INK, MUTED, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 5.2
"""Inches of each panel."""
HEIGHT = 4.3


class WalkCurve(NamedTuple):
    """One line between the two agents."""

    label: str
    pattern: str
    coefficients: Float[np.ndarray, " points"]
    returns: Float[np.ndarray, "points episodes"]


def plot_walk(
    path: str | Path,
    title: str,
    panels: Sequence[tuple[str, Sequence[WalkCurve]]],
    ends: Sequence[tuple[str, float]],
    value: str,
    limit: float | None,
) -> None:
    """Draws a panel for each space and writes a PNG.

    Arguments:
        panels: a space's name and the lines in it.
        ends: the two agents as they were trained: their names, and what they are worth.
        value: what the vertical axis shows.
        limit: the best that can be, drawn as a line.
    """
    with figure(path, WIDTH * len(panels), HEIGHT) as drawn:
        drawn.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        grid = drawn.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        colour = 0
        for axes, (space, curves) in zip(grid, panels, strict=True):
            for curve in curves:
                _draw(axes, curve, PALETTE[colour])
                colour += 1
            _draw_ends(axes, ends, limit)
            patterns = ", ".join(dict.fromkeys(curve.pattern for curve in curves))
            axes.set_title(f"{space}: {patterns}", loc="left", fontsize=11)
            axes.set_xlabel("coefficient c: (1 \N{MINUS SIGN} c) A + c B")
            axes.legend(  # below the axes: it hides no data
                loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, fontsize=8.5
            )
        grid[0].set_ylabel(value)
        if limit is not None:
            grid[0].set_ylim(min(grid[0].get_ylim()[0], 0.0), 1.13 * limit)
            grid[0].set_yticks([tick for tick in grid[0].get_yticks() if 0 <= tick <= limit])


def _draw(axes: "Axes", curve: WalkCurve, colour: str) -> None:
    order = np.argsort(curve.coefficients)
    c = np.asarray(curve.coefficients)[order]
    mean, low, high = bootstrap_mean(np.asarray(curve.returns)[order].T)
    axes.fill_between(c, low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)
    axes.plot(
        c, mean, color=colour, linewidth=2.0, marker="o", markersize=3.5, zorder=4,
        label=f"{curve.label}: {curve.pattern}",
    )  # fmt: skip


def _draw_ends(axes: "Axes", ends: Sequence[tuple[str, float]], limit: float | None) -> None:
    axes.axvspan(0, 1, color="#F3F3F3", zorder=0)
    if limit is not None:
        axes.axhline(
            limit, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1, label="the limit"
        )
    for c, (name, worth) in enumerate(ends):
        axes.plot(
            c, worth, marker="D", markersize=7, markerfacecolor="white", markeredgecolor=INK,
            linestyle="", zorder=5, label="A and B as trained" if c == 0 else None,
        )  # fmt: skip
        axes.annotate(
            f"{'AB'[c]}: {name}", (c, 1.0), (0, -2), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="right" if c == 0 else "left", va="top", fontsize=8.5,
            color=INK,
        )  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.12 * (high - low))  # room for the names
    axes.grid(True, axis="y")
