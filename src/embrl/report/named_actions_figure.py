"""Figure of an action embedding with the actions' names, or texts, at their points."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from embrl.report.drawing import INK, MUTED, PALE, PALETTE, apart, figure
from embrl.report.embedding_figure import plane

SIDE = 10.0
"""Width and height of the figure in inches."""
FONT = 6.5
"""Size of names in points."""
LONGEST = 36
"""Characters of a name, beyond which it is cut."""


def plot_named_actions(
    path: str | Path,
    *,
    g: Float[np.ndarray, "n d"],
    names: Sequence[str],
    title: str = "",
) -> None:
    """Draw all actions, with the names of as many as fit beside each other, and write a PNG.

    Args:
        path: The PNG file to write.
        g: Embedding of each action. More than two dimensions are projected on the two principal
            components.
        names: Name of each action.
        title: Heading of the figure; empty for none.
    """
    points, (across, up) = plane(np.asarray(g, np.float64), "e")[:2]
    with figure(path, SIDE, SIDE) as drawn:
        axes = drawn.add_subplot()
        axes.set_aspect("equal", adjustable="datalim")
        axes.scatter(*points.T, s=6, c=PALE, linewidth=0)
        axes.set(xlabel=across, ylabel=up)
        axes.set_title(title, loc="left", fontsize=12)
        drawn.draw_without_rendering()  # so that places on the page are known
        at = axes.transData.transform(points)
        order = np.random.default_rng(0).permutation(len(points))
        texts = [shortened(names[int(action)]) for action in order]
        dot = drawn.dpi / 72
        sizes = np.array([[0.55 * FONT * dot * len(text), 1.25 * FONT * dot] for text in texts])
        corners = at[order] - [0.0, 0.5] * sizes + [3 * dot, 0]
        shown = apart(np.concatenate([corners, corners + sizes], 1), axes.bbox.extents)
        axes.scatter(*points[order[shown]].T, s=10, c=PALETTE[0], linewidth=0)
        for place in shown:
            axes.annotate(
                texts[place],
                tuple(points[order[place]].tolist()),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=FONT,
                color=INK,
            )
        count = f"{len(shown):,} of {len(points):,} actions have their names"
        axes.annotate(count, (1, 1.005), xycoords="axes fraction", ha="right", color=MUTED)


def shortened(name: str, most: int = LONGEST) -> str:
    """Return a name on one line, with an ellipsis where it was cut."""
    line = " ".join(name.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
