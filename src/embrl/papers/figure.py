"""Figure of a panel: published lines on the left, tuned baselines and ours on the right."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embrl.core.statistics import bootstrap_mean
from embrl.papers.panel import Group, Panel
from embrl.papers.summary import PanelResult
from embrl.report.curve_figure import label_learning_axes
from embrl.report.curves import Curve
from embrl.report.drawing import INK, decimals, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDES: tuple[tuple[str, tuple[Group, ...]], ...] = (
    ("as published", ("published",)),
    ("equally tuned baselines, and ours", ("tuned", "ours")),
)
WIDTH = 7.2
"""Width of each side in inches."""
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
"""Colours of methods, from Okabe and Ito (2008)."""
DASHES = ("-", (0, (5, 2)), (0, (1.2, 1.2)), (0, (6, 2, 1.2, 2)))


@dataclasses.dataclass(frozen=True, eq=False)
class StyledCurve:
    """A curve with its style."""

    curve: Curve
    colour: str
    """Key of `COLOURS`."""
    dash: int
    """Index into `DASHES`; larger values start over."""


def draw(panel: Panel, results: Sequence[PanelResult], path: Path) -> None:
    """Draw the learning curves of a panel's results and write a PNG."""
    shown = [result for result in results if result.line.drawn]
    dashes = list(dict.fromkeys(result.line.dash for result in shown))
    sides = [
        (
            heading,
            [
                StyledCurve(_curve(result), result.line.colour, dashes.index(result.line.dash))
                for result in shown
                if result.line.group in groups
            ],
        )
        for heading, groups in SIDES
    ]
    budget = max(result.line.config.total_timesteps for result in shown)
    plot_panel(path, panel.title, sides, budget)


def _curve(result: PanelResult) -> Curve:
    return Curve(
        result.line.label,
        result.timesteps,
        result.returns,
        result.line.config.environment,
        result.random_return,
        result.best_known_return,
    )


def plot_panel(
    path: str | Path, title: str, sides: Sequence[tuple[str, Sequence[StyledCurve]]], budget: float
) -> None:
    """Draw means, 95 % intervals, and the best and the worst seed, and write a PNG.

    All sides have the same axes, which include every mean and interval. If a single seed falls
    below them, a note under the heading says how far.

    Args:
        path: The PNG file to write.
        title: Title of the figure.
        sides: Heading and curves of each side, from left to right.
        budget: Environment steps at which the axes end.
    """
    sides = [(heading, side) for heading, side in sides if side]
    styled = [one for _, side in sides for one in side]
    low, high = _limits(styled)
    rows = max(-(-len(side) // LEGEND_COLUMNS) for _, side in sides)
    with figure(path, WIDTH * len(sides), HEIGHT + LEGEND_ROW * rows + 0.5) as drawn:
        drawn.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
        for at, (heading, side) in enumerate(sides):
            axes = drawn.add_subplot(1, len(sides), at + 1)
            for one in side:
                _draw(axes, one)
            axes.set(xlim=(0, budget), ylim=(low, high))
            label_learning_axes(axes, heading, _note(side, low), title_size=11, note_size=8)
            _draw_references(axes, side)
            axes.legend(  # below the axes, where it hides no data
                loc="upper center",
                bbox_to_anchor=(0.5, -0.13),
                ncols=min(LEGEND_COLUMNS, len(side)),
                fontsize=9,
                handlelength=2.8,
            )


def _limits(styled: Sequence[StyledCurve]) -> tuple[float, float]:
    """Return limits that include means, intervals, references and the best seeds."""
    values = []
    for curve in (one.curve for one in styled):
        values += [np.nanmin(part) for part in _band(curve)]
        values += [np.nanmax(part) for part in (*_band(curve), curve.returns)]
        values += [v for v in (curve.random_return, curve.best_known_return) if v is not None]
    low, high = min(values), max(values)
    margin = 0.05 * max(high - low, 1e-9)
    return float(low - margin), float(high + margin)


def _band(curve: Curve) -> tuple[np.ndarray, ...]:
    """Return mean, lower and upper bound; the mean alone for one seed."""
    mean, low, high = bootstrap_mean(curve.returns)
    return (mean,) if curve.seeds == 1 else (mean, low, high)


def _note(side: Sequence[StyledCurve], low: float) -> str:
    note = "thick: mean over seeds   band: its 95 % interval   thin: worst and best seed (by area)"
    deepest = min(float(_extremes(one.curve).min()) for one in side)
    if deepest < low:
        note += f"; the lowest reaches {deepest:.{min(2, decimals(deepest))}f}"
    return note.replace("-", "\N{MINUS SIGN}")


def _extremes(curve: Curve) -> np.ndarray:
    """Return the returns of the worst and the best seed by their mean over the curve, `[2, E]`."""
    order = curve.returns.mean(axis=1).argsort()
    return curve.returns[order[[0, -1]]]


def _draw(axes: "Axes", one: StyledCurve) -> None:
    curve, colour, dash = one.curve, COLOURS[one.colour], DASHES[one.dash % len(DASHES)]
    mean, low, high = bootstrap_mean(curve.returns)
    if curve.seeds > 1:
        axes.fill_between(
            curve.timesteps, low, high, color=colour, alpha=0.13, linewidth=0, zorder=2
        )
        axes.plot(
            curve.timesteps, _extremes(curve).T, linestyle=dash, color=colour, alpha=0.4,
            linewidth=0.6, zorder=3,
        )  # fmt: skip
    marker = "o" if curve.timesteps.size == 1 else ""
    axes.plot(
        curve.timesteps, mean, linestyle=dash, color=colour, linewidth=2.0, label=curve.label,
        marker=marker, zorder=4,
    )  # fmt: skip


def _draw_references(axes: "Axes", side: Sequence[StyledCurve]) -> None:
    """Draw reference values as dashed lines, named in the right margin."""
    for name, found in [
        ("random", [one.curve.random_return for one in side]),
        ("best known", [one.curve.best_known_return for one in side]),
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
