"""A panel of many curves: what was published on the left, what it is held against on the right."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embrl.core.statistics import bootstrap_mean
from embrl.report.curves import Curve
from embrl.report.drawing import INK, MUTED, figure
from embrl.report.numbers import decimals, short_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 7.2
"""Inches, of each side."""
HEIGHT = 4.4
LEGEND_ROW = 0.22
LEGEND_COLUMNS = 3

COLOURS = {
    "none": "#D55E00",
    "ra": "#009E73",
    "jsae": "#0072B2",
    "ours": "#CC79A7",
    "transferred": "#E69F00",
}
"""Of methods, from Okabe and Ito (2008)."""
DASHES = ("-", (0, (5, 2)), (0, (1.2, 1.2)), (0, (6, 2, 1.2, 2)))


@dataclasses.dataclass(frozen=True, eq=False)
class Strand:
    """A curve with its look."""

    curve: Curve
    colour: str
    """In `COLOURS`."""
    dash: int
    """In `DASHES`."""


def plot_panel(
    path: str | Path, title: str, sides: Sequence[tuple[str, Sequence[Strand]]], budget: float
) -> None:
    """Draws means, 95 % intervals, and the best and the worst seed, and writes a PNG.

    All sides have the same axes, which hold every mean and interval. Where a single seed goes
    below them, a line under the heading says how far.

    Arguments:
        sides: a heading and its curves, from left to right.
        budget: samples, where the axes end.
    """
    sides = [(heading, strands) for heading, strands in sides if strands]
    strands = [strand for _, side in sides for strand in side]
    low, high = _limits(strands)
    rows = max(-(-len(side) // LEGEND_COLUMNS) for _, side in sides)
    with figure(path, WIDTH * len(sides), HEIGHT + LEGEND_ROW * rows + 0.5) as drawn:
        drawn.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
        for at, (heading, side) in enumerate(sides):
            axes = drawn.add_subplot(1, len(sides), at + 1)
            for strand in side:
                _draw(axes, strand)
            axes.set(xlim=(0, budget), ylim=(low, high), ylabel="return per episode")
            axes.set_xlabel("samples (environment steps, pre-training included)")
            axes.xaxis.set_major_formatter(lambda value, _: short_count(value))
            axes.grid(True, axis="y")
            axes.set_title(heading, loc="left", fontsize=11, pad=22)
            axes.annotate(
                _note(side, low),
                (0, 1),
                (0, 8),
                xycoords="axes fraction",
                textcoords="offset points",
                fontsize=8,
                color=MUTED,
            )
            _draw_references(axes, side)
            axes.legend(  # below the axes: it hides no data
                loc="upper center",
                bbox_to_anchor=(0.5, -0.13),
                ncols=min(LEGEND_COLUMNS, len(side)),
                fontsize=9,
                handlelength=2.8,
            )


def _limits(strands: Sequence[Strand]) -> tuple[float, float]:
    """Of the axes: means, intervals and references, and the best seeds."""
    values = []
    for curve in (strand.curve for strand in strands):
        values += [np.nanmin(part) for part in _band(curve)]
        values += [np.nanmax(part) for part in (*_band(curve), curve.returns)]
        values += [v for v in (curve.random_return, curve.best_known_return) if v is not None]
    low, high = min(values), max(values)
    margin = 0.05 * max(high - low, 1e-9)
    return float(low - margin), float(high + margin)


def _band(curve: Curve) -> tuple[np.ndarray, ...]:
    """Mean, low and high; the mean alone where there is one seed."""
    mean, low, high = bootstrap_mean(curve.returns)
    return (mean,) if curve.seeds == 1 else (mean, low, high)


def _note(side: Sequence[Strand], low: float) -> str:
    note = "thick: mean over seeds   band: its 95 % interval   thin: worst and best seed (by area)"
    deepest = min(float(_extremes(strand.curve).min()) for strand in side)
    if deepest < low:
        note += f"; the lowest reaches {deepest:.{min(2, decimals(deepest))}f}"
    return note.replace("-", "\N{MINUS SIGN}")


def _extremes(curve: Curve) -> np.ndarray:
    """The worst and the best seed's returns, by the mean over the curve, `[2, E]`."""
    order = curve.returns.mean(axis=1).argsort()
    return curve.returns[order[[0, -1]]]


def _draw(axes: "Axes", strand: Strand) -> None:
    curve, colour, dash = strand.curve, COLOURS[strand.colour], DASHES[strand.dash % len(DASHES)]
    mean, low, high = bootstrap_mean(curve.returns)
    if curve.seeds > 1:
        axes.fill_between(curve.samples, low, high, color=colour, alpha=0.13, linewidth=0, zorder=2)
        axes.plot(
            curve.samples, _extremes(curve).T, linestyle=dash, color=colour, alpha=0.4,
            linewidth=0.6, zorder=3,
        )  # fmt: skip
    marker = "o" if curve.samples.size == 1 else ""
    axes.plot(
        curve.samples, mean, linestyle=dash, color=colour, linewidth=2.0, label=curve.label,
        marker=marker, zorder=4,
    )  # fmt: skip


def _draw_references(axes: "Axes", side: Sequence[Strand]) -> None:
    """The lines that all curves are held against, each named at its own right end."""
    for name, found in [
        ("random", [strand.curve.random_return for strand in side]),
        ("best known", [strand.curve.best_known_return for strand in side]),
    ]:
        values = sorted(value for value in found if value is not None)
        if not values:
            continue
        digits = min(2, decimals(*values))
        for value in dict.fromkeys(round(value, digits) for value in values):
            axes.axhline(value, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.5)
        ends = dict.fromkeys(f"{value:.{digits}f}" for value in (values[0], values[-1]))
        axes.annotate(
            f"{name}\n{' to '.join(ends)}".replace("-", "\N{MINUS SIGN}"),
            (1.01, float(np.mean([values[0], values[-1]]))),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
            color=INK,
        )
