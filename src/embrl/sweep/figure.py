"""Figure of a sweep: a line, heat maps, or a panel for each setting."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embrl.core.statistics import bootstrap_mean
from embrl.report.drawing import FAINT, INK, MUTED, PALETTE, decimals, figure
from embrl.sweep.runs import CHOICES, PointResult, SweepResult
from embrl.sweep.table import TITLES, value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "cividis"
"""A perceptually uniform colour map that is safe for colour-blind readers."""

SHOWN = 4.0
"""Length of the colour scale below the best score, in distances from the median to the best score,
so that one bad point does not make all others look alike."""

LEFT = 0.02
"""Left edge of titles, as a fraction of the width."""

PANELS = 4
"""Maximum number of panels side by side."""


def draw(result: SweepResult, path: str | Path) -> None:
    """Draw the score at every point and write a PNG."""
    axes = [name for name, values in result.sweep.grid.items() if len(values) > 1]
    axes = [*axes, *result.sweep.ranges] or [*result.sweep.names[:1]]
    if result.sweep.search is not None:
        _strips(result, axes, path)
    elif len(axes) == 1:
        _line(result, axes[0], path)
    elif len(axes) <= 3:
        _heat_maps(result, axes, path)
    else:
        _strips(result, axes, path)


def _line(result: SweepResult, axis: str, path: str | Path) -> None:
    """Draw every seed of each value, their mean and its interval."""
    with figure(path, 6.4, 4.4) as drawn:
        panel = drawn.add_subplot()
        values = result.sweep.grid[axis]
        means = np.full(len(values), np.nan)
        for outcome in result.outcomes:
            at = values.index(outcome.settings[axis])
            scores = getattr(outcome, result.sweep.by)
            panel.plot([at] * len(scores), scores, "o", color=PALETTE[0], alpha=0.4, markersize=4)
            if outcome.diverged:
                _diverged(panel, at)
                continue
            means[at], low, high = bootstrap_mean(scores)
            panel.plot([at, at], [low, high], color=PALETTE[0], linewidth=2.2)
        panel.plot(means, "-D", color=PALETTE[0], linewidth=1.5, markersize=6)
        _categories(panel, axis, values)
        panel.set_ylabel(TITLES[result.sweep.by])
        panel.grid(True, axis="y")
        _title(
            drawn, result, "diamond: mean over seeds   bar: its 95 % interval   dots: every seed"
        )


def _heat_maps(result: SweepResult, axes: list[str], path: str | Path) -> None:
    """Draw a heat map of two axes for each value of a third one, which has the fewest values."""
    grid = result.sweep.grid
    # The longest axis goes down, where there is room for the names of its values.
    *across, down = sorted(axes, key=lambda name: len(grid[name]))
    between, column = across if len(across) == 2 else (None, across[0])
    panels: Sequence[Any] = grid[between] if between else (None,)
    rows, columns = grid[down], grid[column]
    wide = min(PANELS, len(panels))
    high = -(-len(panels) // wide)
    limits, digits = _scale(result)
    size = (1.5 + wide * (0.5 + 0.85 * len(columns)), 1.3 + high * (0.8 + 0.5 * len(rows)))
    with figure(path, max(size[0], 5.0), size[1]) as drawn:
        shared = drawn.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
        image = None
        for index, panel in enumerate(shared.flat):
            if index >= len(panels):
                panel.set_axis_off()
                continue
            here = [
                o for o in result.outcomes if not between or o.settings[between] == panels[index]
            ]
            scores = np.full((len(rows), len(columns)), np.nan)
            for outcome in here:
                at = rows.index(outcome.settings[down]), columns.index(outcome.settings[column])
                scores[at] = outcome.score(result.sweep.by)
            finite = np.ma.masked_invalid(scores)
            image = panel.imshow(finite, COLOURS, vmin=limits[0], vmax=limits[1], aspect="auto")
            panel.set_facecolor(FAINT)
            _write_cells(panel, scores, limits, digits)
            if between:
                panel.set_title(f"{between} = {value_text(panels[index])}", fontsize=10)
            panel.set_xticks(range(len(columns)), [value_text(v) for v in columns])
            panel.set_yticks(range(len(rows)), [value_text(v) for v in rows])
            panel.tick_params(length=0)
            panel.spines[:].set_visible(False)
            if index % wide == 0:
                panel.set_ylabel(down)
            if index + wide >= len(panels):
                panel.set_xlabel(column)
                panel.tick_params(labelbottom=True)
        assert image is not None
        extend = "min" if _worst(result) < limits[0] else "neither"
        bar = drawn.colorbar(image, ax=shared, extend=extend)
        bar.outline.set_visible(False)  # type: ignore[attr-defined]
        _title(drawn, result, "mean over seeds   frame: the best point")
        best = result.best
        if not best.diverged:
            index = panels.index(best.settings[between]) if between else 0
            _frame(
                shared.flat[index],
                columns.index(best.settings[column]),
                rows.index(best.settings[down]),
            )


def _strips(result: SweepResult, axes: list[str], path: str | Path) -> None:
    """Draw a panel for each axis: all points by their value, and the median of each value."""
    wide = min(2, len(axes))
    high = -(-len(axes) // wide)
    limits, _ = _scale(result)
    span = limits[1] - limits[0]
    lowest = limits[0] - 0.05 * span
    jitter = np.random.default_rng(0)
    with figure(path, 4.4 * wide, 0.7 + 2.9 * high) as drawn:
        panels = drawn.subplots(high, wide, squeeze=False, sharey=True)
        for panel in panels.flat[len(axes) :]:
            panel.set_axis_off()
        for axis, panel in zip(axes, panels.flat, strict=False):
            scale = result.sweep.ranges.get(axis)
            values = result.sweep.grid.get(axis, ())
            for at, mine in _columns(result, axis):
                scores = np.array([o.score(result.sweep.by) for o in mine])
                below = ~(scores >= lowest)
                x = at + (0 if scale else jitter.uniform(-0.15, 0.15, len(scores)))
                panel.plot(
                    x[~below], scores[~below], "o", color=PALETTE[0], alpha=0.5, markersize=4
                )
                panel.plot(
                    x[below], np.full(below.sum(), lowest), "v", color=PALETTE[1], markersize=5
                )
                if not scale:
                    median = np.median(np.maximum(scores, lowest))
                    panel.plot(at[0] + np.array([-0.28, 0.28]), [median] * 2, color=INK, lw=2)
            best = result.best
            if not best.diverged:
                value = best.settings[axis]
                panel.plot(
                    value if scale else values.index(value),
                    best.score(result.sweep.by),
                    "*",
                    color=PALETTE[4],
                    markeredgecolor=INK,
                    markersize=13,
                )
            if scale:
                panel.set_xlabel(axis)
                panel.set_xscale("log" if scale.log else "linear")
            else:
                _categories(panel, axis, values)
            panel.grid(True, axis="y")
        for row in panels:
            row[0].set_ylabel(result.sweep.by)
        _title(
            drawn,
            result,
            "dot: a point   line: median   star: the best   triangle: below the axis, or diverged",
        )


def _columns(result: SweepResult, axis: str) -> Iterator[tuple[np.ndarray, Sequence[PointResult]]]:
    """Yield places on the axis of a setting, and the points there: those of a range at once."""
    if axis in result.sweep.ranges:
        yield np.array([o.settings[axis] for o in result.outcomes]), result.outcomes
        return
    for at, value in enumerate(result.sweep.grid[axis]):
        mine = [o for o in result.outcomes if o.settings[axis] == value]
        if mine:  # else all are missing
            yield np.full(len(mine), at), mine


def _scale(result: SweepResult) -> tuple[tuple[float, float], int]:
    """Return the limits of the colour scale, and the number of decimals of scores."""
    scores = _scores(result)
    if not scores.size:
        return (0.0, 1.0), 0
    best = float(scores.max())
    low = max(float(scores.min()), best - SHOWN * (best - float(np.median(scores))))
    if low == best:
        low = best - max(abs(best), 1.0) * 1e-3
    return (low, best), min(2, decimals(*scores))


def _scores(result: SweepResult) -> np.ndarray:
    scores = np.array([outcome.score(result.sweep.by) for outcome in result.outcomes])
    return scores[np.isfinite(scores)]


def _worst(result: SweepResult) -> float:
    return min(_scores(result), default=0.0)


def _write_cells(
    panel: "Axes", scores: np.ndarray, limits: tuple[float, float], digits: int
) -> None:
    middle = sum(limits) / 2
    for (row, column), score in np.ndenumerate(scores):
        if np.isnan(score):
            continue
        known = np.isfinite(score)
        text = f"{score:.{digits}f}".replace("-", "\N{MINUS SIGN}") if known else "diverged"
        colour = MUTED if not known else (INK if score > middle else "white")
        panel.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)


def _frame(panel: "Axes", column: int, row: int) -> None:
    from matplotlib.patches import Rectangle

    panel.add_patch(
        Rectangle(
            (column - 0.47, row - 0.47), 0.94, 0.94, fill=False, edgecolor=PALETTE[1], linewidth=2.5
        )
    )


def _categories(panel: "Axes", axis: str, values: Sequence[Any]) -> None:
    panel.set_xticks(range(len(values)), [value_text(value) for value in values])
    panel.set_xlim(-0.5, len(values) - 0.5)
    panel.set_xlabel(axis)


def _diverged(panel: "Axes", at: int) -> None:
    panel.annotate(
        "diverged",
        (at, 0.97),
        xycoords=("data", "axes fraction"),
        ha="center",
        va="top",
        color=MUTED,
        fontsize=9,
    )


def _title(drawn: "Figure", result: SweepResult, legend: str) -> None:
    config = result.sweep.config
    seeds = "1 seed" if config.seeds == 1 else f"{config.seeds} seeds"
    # Reserve space for three lines; constrained layout only knows of the first.
    drawn.suptitle(f"{TITLES[result.sweep.by]}\n\n", x=LEFT, ha="left", fontsize=11, weight="bold")
    names = {
        name: f"each {name}" if name in result.sweep.grid else getattr(config, name)
        for name in CHOICES
    }
    setting = "{method} + {algorithm} on {environment}".format(**names) + f", {seeds} each"
    for line, text in enumerate((setting, legend), start=1):
        height = 1.0 - (0.1 + 0.19 * line) / drawn.get_figheight()
        drawn.text(LEFT, height, text, va="top", fontsize=8.5, color=MUTED)
