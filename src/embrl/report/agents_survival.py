"""Histograms of survival: agents as trained, reconstructed and generated, group by group."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from embrl.report.drawing import INK, MUTED, PALETTE, decimals, figure, short_count

BINS = 25
COLUMN, ROW = 2.9, 1.45
"""Inches of a histogram."""


def plot_survival(
    path: str | Path,
    title: str,
    rows: Sequence[tuple[str, Mapping[str, Float[np.ndarray, " agents"]]]],
    value: str,
) -> None:
    """Draws a row for each group and a column for each kind of agents, and writes a PNG.

    All have the same horizontal axis; heights are shares of the agents there.

    Arguments:
        rows: a group's name, and what the agents of each kind are worth.
        value: what that is.
    """
    columns = list(dict.fromkeys(name for _, kinds in rows for name in kinds))
    every = np.concatenate([np.asarray(v) for _, kinds in rows for v in kinds.values()])
    low, high = min(0.0, float(every.min())), float(every.max())
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    with figure(path, 0.6 + COLUMN * len(columns), 0.9 + ROW * len(rows)) as drawn:
        drawn.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        grid = drawn.subplots(len(rows), len(columns), sharex=True, sharey="row", squeeze=False)
        for row, (line, (group, kinds)) in enumerate(zip(grid, rows, strict=True)):
            for at, (axes, name) in enumerate(zip(line, columns, strict=True)):
                axes.set_ylim(0, 1)
                axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
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
                shares = np.histogram(values, edges)[0] / values.size
                axes.stairs(shares, edges, fill=True, color=PALETTE[at], alpha=0.75)
                axes.axvline(values.mean(), color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
                digits = min(1, decimals(float(values.mean())))
                right = values.mean() < (low + high) / 2  # where the histogram is likely empty
                axes.annotate(
                    f"mean {values.mean():.{digits}f}\n{short_count(values.size)} agents",
                    (0.97 if right else 0.03, 0.94), xycoords="axes fraction", fontsize=8.5,
                    ha="right" if right else "left", va="top",
                )  # fmt: skip
            line[0].set_ylabel(f"{group}\n", fontsize=9.5)
        drawn.supxlabel(f"{value}, mean over an agent's episodes; dashed: mean over agents",
                        fontsize=9.5)  # fmt: skip
