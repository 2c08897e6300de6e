"""Figures of populations, walks and generated agents, as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from embrl.core.statistics import bootstrap_mean
from embrl.report.drawing import FAINT, INK, MUTED, PALETTE, decimals, figure, short_count
from embrl.report.embedding_figure import plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes


MAP_WIDTH, MAP_HEIGHT = 6.4, 5.2


def plot_map(
    path: str | Path,
    title: str,
    z: Float[np.ndarray, "N k"],
    score: Float[np.ndarray, " N"],
    value: str,
    note: str = "",
) -> tuple[str, str]:
    """Plot a population's embeddings in their two main directions, coloured by score.

    Every agent is a dot, the best ones on top.

    Args:
        path: file to write.
        title: title of the figure.
        z: embeddings.
        score: score of each agent.
        value: name of the score.
        note: appended to the line under the title.

    Returns:
        Labels of the axes, with the explained fraction of the variance.
    """
    points, names, *_ = plane(np.asarray(z, np.float64), "z")
    order = np.argsort(score, kind="stable")
    with figure(path, MAP_WIDTH, MAP_HEIGHT) as drawn:
        axes = drawn.add_subplot()
        size = float(np.clip(9000 / max(len(z), 1), 3, 40))
        dots = axes.scatter(
            *points[order].T, c=np.asarray(score)[order], s=size, cmap="viridis", linewidth=0,
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


BINS = 25
"""Number of bins of a histogram."""
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 2.9, 1.45
"""Inches of a histogram."""


def plot_survival(
    path: str | Path,
    title: str,
    rows: Sequence[tuple[str, Mapping[str, Float[np.ndarray, " agents"]]]],
    value: str,
) -> None:
    """Plot histograms of scores: a row for each group, a column for each kind of agents.

    All have the same horizontal axis; heights are fractions of the agents in the panel.

    Args:
        path: file to write.
        title: title of the figure.
        rows: a group's name, and the scores of the agents of each kind.
        value: name of the score.
    """
    columns = list(dict.fromkeys(name for _, kinds in rows for name in kinds))
    every = np.concatenate([np.asarray(v) for _, kinds in rows for v in kinds.values()])
    low, high = min(0.0, float(every.min())), float(every.max())
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    with figure(
        path, 0.6 + HISTOGRAM_WIDTH * len(columns), 0.9 + HISTOGRAM_HEIGHT * len(rows)
    ) as drawn:
        drawn.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        grid = drawn.subplots(len(rows), len(columns), sharex=True, sharey="row", squeeze=False)
        for row, (line, (group, kinds)) in enumerate(zip(grid, rows, strict=True)):
            for at, (axes, name) in enumerate(zip(line, columns, strict=True)):
                axes.set_ylim(0, 1)
                axes.yaxis.set_major_formatter(lambda fraction, _: f"{100 * fraction:.0f} %")
                axes.grid(True, axis="y")
                if row == 0:
                    axes.set_title(name, fontsize=10.5, loc="left")
                values = np.asarray(kinds.get(name, ()))
                if not values.size:
                    axes.annotate(
                        "no such agents", (0.5, 0.5), xycoords="axes fraction", ha="center",
                        color=MUTED, fontsize=8.5,
                    )  # fmt: skip
                    continue
                fractions = np.histogram(values, edges)[0] / values.size
                axes.stairs(fractions, edges, fill=True, color=PALETTE[at], alpha=0.75)
                axes.axvline(values.mean(), color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
                digits = min(1, decimals(float(values.mean())))
                right = values.mean() < (low + high) / 2  # where the histogram is probably empty
                axes.annotate(
                    f"mean {values.mean():.{digits}f}\n{short_count(values.size)} agents",
                    (0.97 if right else 0.03, 0.94), xycoords="axes fraction", fontsize=8.5,
                    ha="right" if right else "left", va="top",
                )  # fmt: skip
            line[0].set_ylabel(f"{group}\n", fontsize=9.5)
        drawn.supxlabel(f"{value}, mean over an agent's episodes; dashed: mean over agents",
                        fontsize=9.5)  # fmt: skip


NOVELTY_WIDTH, NOVELTY_HEIGHT = 5.2, 4.4
NOVELTY_AXES = {
    "weights": "novelty in weights: distance to the nearest training agent\n"
    "(canonical order; unit: the training agents' root mean square length)",
    "decisions": "novelty in behaviour: fraction of probe states in which\n"
    "the nearest training agent decides otherwise",
}
SHARED_GENERATORS: dict[str, tuple[str, str, str]] = {
    "noise": ("training agents + noise", "#767676", "o"),
    "average": ("averages of two training agents", INK, "s"),
    "held_out": ("held-out agents as trained", PALETTE[5], "D"),
}
"""Name, colour and marker of what is the same for every embedding."""
EMBEDDING_GENERATORS = {
    "embedding": ("generated", "o"),
    "guided": ("generated, guided", "^"),
    "reconstruction": ("reconstructed", "x"),
}
"""Name and marker of what belongs to an embedding."""


def plot_novelty(
    path: str | Path, title: str, planes: Sequence[tuple[str, Mapping[str, Any]]], value: str
) -> None:
    """Plot score against novelty, in weights and in decisions.

    Args:
        path: file to write.
        title: title of the figure.
        planes: an embedding's name, and its report from `embrl.agents.novelty.evaluate_novelty`.
            What is shared by all embeddings is taken from the first.
        value: name of the score.
    """
    with figure(
        path, NOVELTY_WIDTH * len(NOVELTY_AXES), NOVELTY_HEIGHT + 0.24 * (3 + len(planes)) / 2
    ) as drawn:
        drawn.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        grid = drawn.subplots(1, len(NOVELTY_AXES), sharey=True, squeeze=False)[0]
        for axes, (axis, label) in zip(grid, NOVELTY_AXES.items(), strict=True):
            for generator, (name, colour, marker) in SHARED_GENERATORS.items():
                _draw_generator(axes, planes[0][1], generator, axis, name, colour, marker)
            for at, (name, plane) in enumerate(planes):
                colour = PALETTE[at % 5]
                for generator, (words, marker) in EMBEDDING_GENERATORS.items():
                    _draw_generator(
                        axes, plane, generator, axis, f"{name}: {words}", colour, marker
                    )
            axes.set_xlabel(label, fontsize=9)
            axes.set_xlim(left=0.0 - 0.02 * axes.get_xlim()[1])
            if axes.get_ylim()[1] > 0.0:  # returns may be negative
                axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
            axes.grid(True)
        grid[0].set_ylabel(value)
        handles, labels = grid[0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8.5)


def _draw_generator(
    axes: "Axes",
    plane: Mapping[str, Any],
    generator: str,
    axis: str,
    name: str,
    colour: str,
    marker: str,
) -> None:
    """Draw a generator's settings in order, joined by a line, the first and last labelled."""
    points = [point for point in plane["points"] if point["generator"] == generator]
    if not points:
        return
    x = [point[axis] for point in points]
    y = [point["survival"]["mean"] for point in points]
    low = [max(0.0, v - _interval_end(p, "low", v)) for p, v in zip(points, y, strict=True)]
    high = [max(0.0, _interval_end(p, "high", v) - v) for p, v in zip(points, y, strict=True)]
    axes.errorbar(
        x, y, yerr=[low, high], color=colour, marker=marker, markersize=5, linewidth=1.2,
        elinewidth=1.0, label=name, zorder=3 if generator in SHARED_GENERATORS else 4,
        linestyle=("--" if generator == "guided" else "-") if len(points) > 1 else "",
    )  # fmt: skip
    place = (4, 4) if generator in SHARED_GENERATORS else (4, -9)
    for point, at in zip(points, zip(x, y, strict=True), strict=True):
        if point["setting"] is not None and (point is points[0] or point is points[-1]):
            axes.annotate(
                f"{point['setting']:g}", at, place, textcoords="offset points", fontsize=7,
                color=colour,
            )  # fmt: skip


def _interval_end(point: Mapping[str, Any], side: str, mean: float) -> float:
    end = point["survival"][side]
    return mean if end is None else end


PATTERN_COLOURS = {"slope": PALETTE[0], "valley": PALETTE[1], "hill": PALETTE[2], "none": FAINT}
PATTERN_WIDTH = 3.4
"""Inches of a panel, without the names."""
PATTERN_NAMES = 1.6
PATTERN_ROW = 0.34
LABELLED_FRACTION = 0.06
"""Smaller bars are drawn without their number, which would not fit."""


def plot_patterns(
    path: str | Path,
    title: str,
    spaces: Sequence[tuple[str, Mapping[str, Mapping[str, int]]]],
) -> None:
    """Plot how often walks are slopes, valleys or hills.

    A panel for each space, in it a bar for each kind of pair.

    Args:
        path: file to write.
        title: title of the figure.
        spaces: a name, and for each kind of pair the number of walks of each pattern.
    """
    rows = list(dict.fromkeys(name for _, counts in spaces for name in counts))
    height = 1.5 + PATTERN_ROW * len(rows)
    with figure(path, PATTERN_NAMES + PATTERN_WIDTH * len(spaces), height) as drawn:
        drawn.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        grid = drawn.subplots(1, len(spaces), sharey=True, squeeze=False)[0]
        for axes, (space, counts) in zip(grid, spaces, strict=True):
            for row, name in enumerate(rows):
                found = counts.get(name, {})
                total = sum(found.values())
                left = 0.0
                for pattern, colour in PATTERN_COLOURS.items():
                    fraction = found.get(pattern, 0) / total if total else 0.0
                    axes.barh(row, fraction, 0.78, left, color=colour)
                    if fraction >= LABELLED_FRACTION:
                        axes.text(
                            left + fraction / 2, row, f"{100 * fraction:.0f}", ha="center",
                            va="center", fontsize=8, color=INK if colour == FAINT else "white",
                        )  # fmt: skip
                    left += fraction
            axes.set_title(space, loc="left", fontsize=10.5)
            axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5))
            axes.xaxis.set_major_formatter(lambda fraction, _: f"{100 * fraction:.0f} %")
            axes.set_xticks([0, 0.5, 1])
            axes.set_xlabel("fraction of pairs")
            axes.tick_params(axis="y", length=0)
            for spine in axes.spines.values():
                spine.set_visible(False)
        most = {name: max(sum(c.get(name, {}).values()) for _, c in spaces) for name in rows}
        grid[0].set_yticks(range(len(rows)), [f"{name}  ({most[name]:,})" for name in rows])
        for label in grid[0].get_yticklabels():
            label.set_color(INK)
        drawn.legend(handles=_pattern_legend(), loc="outside lower center", ncols=4, labelcolor=INK)


def _pattern_legend() -> list:
    from matplotlib.patches import Patch

    return [Patch(color=colour, label=name) for name, colour in PATTERN_COLOURS.items()]


WALK_WIDTH = 5.2
"""Inches of a panel."""
WALK_HEIGHT = 4.3


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
    """Plot the scores along walks between two agents, a panel for each space.

    Args:
        path: file to write.
        title: title of the figure.
        panels: a space's name and the lines in it.
        ends: names and scores of the two agents as trained.
        value: name of the score.
        limit: highest possible score, drawn as a line.
    """
    with figure(path, WALK_WIDTH * len(panels), WALK_HEIGHT) as drawn:
        drawn.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        grid = drawn.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        colour = 0
        for axes, (space, curves) in zip(grid, panels, strict=True):
            for curve in curves:
                _draw_curve(axes, curve, PALETTE[colour])
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


def _draw_curve(axes: "Axes", curve: WalkCurve, colour: str) -> None:
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
    for c, (name, score) in enumerate(ends):
        axes.plot(
            c, score, marker="D", markersize=7, markerfacecolor="white", markeredgecolor=INK,
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
