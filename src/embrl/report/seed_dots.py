"""Figure of the final return of every seed, with a row of dots for each curve."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from embrl.core.errors import EmbrlError
from embrl.core.statistics import bootstrap_mean
from embrl.report.curves import Curve
from embrl.report.drawing import INK, MUTED, PALETTE, decimals, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 8.0
ROW = 0.42
"""Height of a row in inches; a label of two lines fits."""
AROUND = 1.45
"""Height of axis, title and legend in inches."""
HEADING = 0.75
"""Additional height in inches for each environment after the first."""
LABEL = 34
"""Maximum number of characters of a label in one line."""
DOTS, SPREAD = 0.14, 0.34
"""Offset of the dots above the middle of their row, and the height they spread over, in rows."""
BAR = 0.24
"""Offset of the bar below the middle of its row, in rows."""
NO_BREAK = "\N{NO-BREAK SPACE}"
FAR = 3.0
"""Reference values farther from all seeds than this many times their range are not drawn."""
GOLDEN = (5**0.5 - 1) / 2
INTERVAL: dict[str, Any] = {
    "linewidth": 4,
    "solid_capstyle": "butt",
}  # round ends would reach too far
MEAN: dict[str, Any] = {
    "marker": "|",
    "markersize": 10,
    "markeredgewidth": 1.6,
    "markeredgecolor": INK,
}
REFERENCES = {"random": (0, (1, 1.5)), "best known": (0, (5, 2))}


def plot_seeds(curves: Sequence[Curve], path: str | Path, title: str) -> None:
    """Draw the final return of every seed of each curve, and write a PNG.

    Curves have a row each, in their order, and curves of the same environment share an axis. Dots
    are seeds; the bar below them is their mean with its 95 % bootstrap interval. The returns of
    random actions and of the best known policy are lines through the rows they belong to. A line so
    far away that the seeds would shrink to a point is left out and named above the axis.

    Args:
        curves: One or more curves.
        path: The file to write.
        title: Title of the figure.

    Raises:
        EmbrlError: `curves` is empty, or matplotlib is not installed.
    """
    if not curves:
        raise EmbrlError("there is no seed to draw; name at least one run")
    environments = list(dict.fromkeys(curve.environment for curve in curves))
    heights = [sum(c.environment == name for c in curves) for name in environments]
    labels = {id(curve): _label(curve) for curve in curves}
    row = ROW * max(1.0, 0.45 * max(label.count("\n") + 1 for label in labels.values()))
    height = row * len(curves) + AROUND + HEADING * (len(environments) - 1)
    with figure(path, WIDTH, height) as drawn:
        panels = drawn.subplots(
            len(environments), squeeze=False, height_ratios=heights, gridspec_kw={"hspace": 0.0}
        )[:, 0]
        for axes, name in zip(panels, environments, strict=True):
            own = [(at, c) for at, c in enumerate(curves) if c.environment == name]
            _draw(axes, own, [labels[id(curve)] for _, curve in own])
            if len(environments) > 1:
                axes.set_title(name or "unnamed", loc="left", fontsize=10, color=MUTED)
        panels[-1].set_xlabel("final return per episode")
        drawn.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        drawn.legend(handles=_legend(curves), loc="outside lower center", ncols=4, handlelength=2.6)


def jitter(count: int) -> Float[np.ndarray, " count"]:
    """Return heights from -0.5 to 0.5 with neighbours far apart, the same for the same count."""
    return (np.arange(count) * GOLDEN + 0.5) % 1 - 0.5


def _label(curve: Curve) -> str:
    seeds = "1 seed" if curve.seeds == 1 else f"{curve.seeds} seeds"
    # textwrap breaks at plain spaces only, so the number of seeds stays in one line.
    counted = f"{curve.label} ({seeds.replace(' ', NO_BREAK)})"
    return "\n".join(textwrap.wrap(counted, LABEL)).replace(NO_BREAK, " ")


def _draw(axes: "Axes", own: Sequence[tuple[int, Curve]], labels: Sequence[str]) -> None:
    """Draw the rows of one environment, the first on top.

    `own` has each curve with its position among all curves, which sets its colour.
    """
    near, far = _near_and_far([curve for _, curve in own])
    for row, (at, curve) in enumerate(own):
        colour = PALETTE[at % len(PALETTE)]
        final = curve.returns[:, -1]
        axes.scatter(
            final,
            row - DOTS + SPREAD * jitter(curve.seeds),
            s=20,
            color=colour,
            alpha=0.75,
            linewidth=0,
            zorder=3,
        )
        mean, low, high = map(float, bootstrap_mean(final))
        axes.plot([low, high], [row + BAR] * 2, color=colour, zorder=3, **INTERVAL)
        axes.plot(mean, row + BAR, zorder=4, **MEAN)
        for name, value in _references(curve):
            if (name, value) in near:
                ends = [row - 0.5, row + 0.5]
                axes.plot([value] * 2, ends, color=INK, linewidth=1, linestyle=REFERENCES[name])
        if row:
            axes.axhline(row - 0.5, color="#EEEEEE", linewidth=0.8, zorder=1)
    axes.set_yticks(range(len(own)), labels)
    axes.set_ylim(len(own) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(True, axis="x")
    axes.margins(x=0.03)
    if far:
        note = f"out of range: {_named(far)}"
        axes.set_title(note, loc="right", fontsize=8.5, color=MUTED)


def _near_and_far(curves: Sequence[Curve]) -> tuple[set, set]:
    """Return the reference values that are drawn, and those that are too far away."""
    every = {reference for curve in curves for reference in _references(curve)}
    final = np.concatenate([curve.returns[:, -1] for curve in curves])
    final = final[np.isfinite(final)]
    if final.size == 0 or final.min() == final.max():
        return every, set()
    reach = FAR * (final.max() - final.min())
    low, high = final.min() - reach, final.max() + reach
    near = {(name, value) for name, value in every if low <= value <= high}
    return near, every - near


def _named(far: Iterable[tuple[str, float]]) -> str:
    """Return reference values as text, as a range where runs differ: `random -0.51 to -0.49`."""
    far = list(far)
    digits = min(2, decimals(*(value for _, value in far)))
    parts = []
    for name in REFERENCES:
        values = sorted(value for own, value in far if own == name)
        if values:
            ends = dict.fromkeys(f"{value:.{digits}f}" for value in (values[0], values[-1]))
            parts.append(f"{name} {' to '.join(ends)}")
    return ", ".join(parts).replace("-", "\N{MINUS SIGN}")


def _references(curve: Curve) -> list[tuple[str, float]]:
    values = (curve.random_return, curve.best_known_return)
    return [(n, v) for n, v in zip(REFERENCES, values, strict=True) if v is not None]


def _legend(curves: Sequence[Curve]) -> list:
    """Return the handles of the legend, in grey because colours stand for curves."""
    from matplotlib.lines import Line2D

    groups = {
        name: [c for c in curves if c.environment == name]
        for name in {c.environment for c in curves}
    }
    known = {name for own in groups.values() for name, _ in _near_and_far(own)[0]}
    dot = Line2D([], [], color=MUTED, marker="o", linestyle="", label="a seed")
    bar = Line2D([], [], color=MUTED, label="mean and its 95 % interval", **INTERVAL, **MEAN)
    lines = [
        Line2D([], [], color=INK, linewidth=1, linestyle=style, label=name)
        for name, style in REFERENCES.items()
        if name in known
    ]
    return [dot, bar, *lines]
