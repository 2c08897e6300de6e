"""What new agents are worth against how new they are, beside two trivial generators."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embrl.report.drawing import INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 5.2, 4.4
AXES = {
    "weights": "novelty in weights: distance to the nearest training agent\n"
    "(canonical order; unit: the training agents' root mean square length)",
    "decisions": "novelty in behaviour: share of probe states in which\n"
    "the nearest training agent decides otherwise",
}
LOOKS: dict[str, tuple[str, str, str]] = {
    "noise": ("training agents + noise", "#767676", "o"),
    "average": ("averages of two training agents", INK, "s"),
    "held_out": ("held-out agents as trained", PALETTE[5], "D"),
}
"""Of what is the same for every embedding: name, colour, marker."""
OWN = {
    "embedding": ("generated", "o"),
    "guided": ("generated, guided", "^"),
    "reconstruction": ("reconstructed", "x"),
}
"""Of an embedding: name, marker."""


def plot_novelty(
    path: str | Path, title: str, planes: Sequence[tuple[str, Mapping[str, Any]]], value: str
) -> None:
    """Draws both planes and writes a PNG.

    Arguments:
        planes: an embedding's name, and what `embrl.agents.plane.plane` says of it. What is no
            embedding's own is drawn of the first.
        value: what the vertical axis shows.
    """
    with figure(path, WIDTH * len(AXES), HEIGHT + 0.24 * (3 + len(planes)) / 2) as drawn:
        drawn.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        grid = drawn.subplots(1, len(AXES), sharey=True, squeeze=False)[0]
        for axes, (axis, label) in zip(grid, AXES.items(), strict=True):
            for generator, (name, colour, marker) in LOOKS.items():
                _draw(axes, planes[0][1], generator, axis, name, colour, marker)
            for at, (name, plane) in enumerate(planes):
                colour = PALETTE[at % 5]
                for generator, (words, marker) in OWN.items():
                    _draw(axes, plane, generator, axis, f"{name}: {words}", colour, marker)
            axes.set_xlabel(label, fontsize=9)
            axes.set_xlim(left=0.0 - 0.02 * axes.get_xlim()[1])
            if axes.get_ylim()[1] > 0.0:  # returns may be negative
                axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
            axes.grid(True)
        grid[0].set_ylabel(value)
        handles, labels = grid[0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8.5)


def _draw(
    axes: "Axes",
    plane: Mapping[str, Any],
    generator: str,
    axis: str,
    name: str,
    colour: str,
    marker: str,
) -> None:
    """A generator's settings in their order, joined by a line; the first and last are named."""
    points = [point for point in plane["points"] if point["generator"] == generator]
    if not points:
        return
    x = [point[axis] for point in points]
    y = [point["survival"]["mean"] for point in points]
    low = [max(0.0, v - _end(p, "low", v)) for p, v in zip(points, y, strict=True)]
    high = [max(0.0, _end(p, "high", v) - v) for p, v in zip(points, y, strict=True)]
    axes.errorbar(
        x, y, yerr=[low, high], color=colour, marker=marker, markersize=5, linewidth=1.2,
        elinewidth=1.0, label=name, zorder=3 if generator in LOOKS else 4,
        linestyle=("--" if generator == "guided" else "-") if len(points) > 1 else "",
    )  # fmt: skip
    place = (4, 4) if generator in LOOKS else (4, -9)
    for point, at in zip(points, zip(x, y, strict=True), strict=True):
        if point["setting"] is not None and (point is points[0] or point is points[-1]):
            axes.annotate(
                f"{point['setting']:g}", at, place, textcoords="offset points", fontsize=7,
                color=colour,
            )  # fmt: skip


def _end(point: Mapping[str, Any], side: str, mean: float) -> float:
    end = point["survival"][side]
    return mean if end is None else end
