"""How often a walk is a slope, a valley or a hill: bars."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from embrl.report.drawing import FAINT, INK, PALETTE, figure

COLOURS = {"slope": PALETTE[0], "valley": PALETTE[1], "hill": PALETTE[2], "none": FAINT}
WIDTH = 3.4
"""Inches of a panel, besides the names."""
NAMES = 1.6
ROW = 0.34
SHOWN = 0.06
"""Smaller shares are drawn without their number: it would not fit."""


def plot_patterns(
    path: str | Path,
    title: str,
    spaces: Sequence[tuple[str, Mapping[str, Mapping[str, int]]]],
) -> None:
    """Draws a panel for each space, in it a bar for each kind of pair, and writes a PNG.

    Arguments:
        spaces: a name, and for each kind of pair how many walks are of each pattern.
    """
    rows = list(dict.fromkeys(name for _, counts in spaces for name in counts))
    height = 1.5 + ROW * len(rows)
    with figure(path, NAMES + WIDTH * len(spaces), height) as drawn:
        drawn.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        grid = drawn.subplots(1, len(spaces), sharey=True, squeeze=False)[0]
        for axes, (space, counts) in zip(grid, spaces, strict=True):
            for row, name in enumerate(rows):
                found = counts.get(name, {})
                total = sum(found.values())
                left = 0.0
                for pattern, colour in COLOURS.items():
                    share = found.get(pattern, 0) / total if total else 0.0
                    axes.barh(row, share, 0.78, left, color=colour)
                    if share >= SHOWN:
                        axes.text(
                            left + share / 2, row, f"{100 * share:.0f}", ha="center", va="center",
                            fontsize=8, color=INK if colour == FAINT else "white",
                        )  # fmt: skip
                    left += share
            axes.set_title(space, loc="left", fontsize=10.5)
            axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5))
            axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
            axes.set_xticks([0, 0.5, 1])
            axes.set_xlabel("share of pairs")
            axes.tick_params(axis="y", length=0)
            for spine in axes.spines.values():
                spine.set_visible(False)
        most = {name: max(sum(c.get(name, {}).values()) for _, c in spaces) for name in rows}
        grid[0].set_yticks(range(len(rows)), [f"{name}  ({most[name]:,})" for name in rows])
        for label in grid[0].get_yticklabels():
            label.set_color(INK)
        drawn.legend(handles=_legend(), loc="outside lower center", ncols=4, labelcolor=INK)


def _legend() -> list:
    from matplotlib.patches import Patch

    return [Patch(color=colour, label=name) for name, colour in COLOURS.items()]
