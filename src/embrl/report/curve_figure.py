"""Figure of learning curves that shows every seed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embrl.core.errors import EmbrlError
from embrl.core.statistics import bootstrap_mean
from embrl.report.curves import Curve
from embrl.report.drawing import INK, MUTED, PALETTE, decimals, figure, short_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

WIDTH = 8.0
AXES_HEIGHT = 4.6
LEGEND_ROW = 0.25
LEGEND_COLUMNS = 2
APART = 0.02
"""Reference values closer than this fraction of the range of returns share a line."""
TEXT = 0.11
"""Height of a reference's name, as a fraction of the range of returns."""
LONG_LABEL = 40
"""Number of characters of a label above which the legend has one column."""


def plot_curves(curves: Sequence[Curve], path: str | Path, title: str) -> None:
    """Draw the mean, the 95 % interval and every seed of each curve, and write a PNG.

    The axes include all seeds, even the worst and the best. The legend stands below the axes and
    the names of the reference lines beside them, where they hide no data.

    Args:
        curves: One or more curves.
        path: The file to write.
        title: Title of the figure.

    Raises:
        EmbrlError: `curves` is empty, or matplotlib is not installed.
    """
    if not curves:
        raise EmbrlError("there is no curve to draw; name at least one run")
    longest = max(len(curve.label) for curve in curves)
    legend_columns = 1 if longest > LONG_LABEL else min(LEGEND_COLUMNS, len(curves))
    legend_rows = -(-len(curves) // legend_columns)
    with figure(path, WIDTH, AXES_HEIGHT + LEGEND_ROW * legend_rows) as drawn:
        axes = drawn.add_subplot()
        handles = [_draw(axes, curve, at) for at, curve in enumerate(curves)]
        axes.margins(x=0.01)
        # Start at 0, so that the steps spent before the first evaluation show.
        axes.set_xlim(left=min(0.0, *(curve.timesteps[0] for curve in curves)))
        label_learning_axes(
            axes,
            title,
            "thick: mean over seeds   band: its 95 % bootstrap interval   thin: every seed",
            title_size=12,
            title_weight="bold",
            note_size=8.5,
        )
        _draw_references(axes, curves)
        drawn.legend(handles=handles, loc="outside lower center", ncols=legend_columns)


def label_learning_axes(
    axes: "Axes",
    title: str,
    note: str,
    *,
    title_size: float,
    note_size: float,
    title_weight: str = "normal",
) -> None:
    """Label axes of returns over environment steps, with a title and a note below it."""
    axes.grid(True, axis="y")
    axes.xaxis.set_major_formatter(lambda value, _: short_count(value))
    axes.set_xlabel("environment steps (pre-training included)")
    axes.set_ylabel("return per episode")
    axes.set_title(title, loc="left", fontsize=title_size, fontweight=title_weight, pad=22)
    axes.annotate(
        note,
        (0, 1),
        (0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=note_size,
        color=MUTED,
    )


def _draw(axes: "Axes", curve: Curve, at: int) -> "Line2D":
    """Draw the curve at position `at` and return its handle for the legend."""
    colour = PALETTE[at % len(PALETTE)]
    dashes = ("-", "--", ":", "-.")[at // len(PALETTE) % 4]
    # A curve of a single evaluation has no visible line.
    marker = "o" if curve.timesteps.size == 1 else ""
    mean, low, high = bootstrap_mean(curve.returns)
    axes.fill_between(curve.timesteps, low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)
    axes.plot(
        curve.timesteps,
        curve.returns.T,
        color=colour,
        alpha=0.45,
        linewidth=0.7,
        marker=marker,
        markersize=3,
        zorder=3,
    )
    seeds = "1 seed" if curve.seeds == 1 else f"{curve.seeds} seeds"
    (line,) = axes.plot(
        curve.timesteps,
        mean,
        dashes,
        color=colour,
        linewidth=2.2,
        marker=marker,
        label=f"{curve.label} ({seeds})",
        zorder=4,
    )
    return line


def _draw_references(axes: "Axes", curves: Sequence[Curve]) -> None:
    """Draw reference values as dashed lines, named in the right margin.

    Each run estimates its random return from its own episodes, so values that the eye cannot tell
    apart share a line.
    """
    found = [("random", curve.random_return) for curve in curves]
    found += [("best known", curve.best_known_return) for curve in curves]
    values = [value for _, value in found if value is not None]
    if not values:
        return
    low, high = axes.dataLim.intervaly
    span = max(high, *values) - min(low, *values)
    lines: dict[str, list[float]] = {}
    for name, value in found:
        known = lines.setdefault(name, [])
        if value is not None and all(abs(value - other) > APART * span for other in known):
            known.append(value)
    heights = sorted((value, name) for name, known in lines.items() for value in known)
    digits = min(2, decimals(*values))
    text_at = -np.inf
    for value, name in heights:
        axes.axhline(value, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1.5)
        text_at = max(value, text_at + TEXT * span)  # names must not overlap
        axes.annotate(
            f"{name}\n{value:.{digits}f}".replace("-", "\N{MINUS SIGN}"),
            (1.01, text_at),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8.5,
            color=INK,
        )
