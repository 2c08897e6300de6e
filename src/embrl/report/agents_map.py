"""A map of a population: its embedding's two main directions, coloured by what agents are worth."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from embrl.report.drawing import MUTED, figure

WIDTH, HEIGHT = 6.4, 5.2
SEED = 0


def principal(z: Float[np.ndarray, "N k"]) -> tuple[Float[np.ndarray, "N 2"], list[float]]:
    """Coordinates along the two directions of most variance (PCA, of z as they are), and the share
    of variance that each explains. With k = 1 the second is all zeros.
    """
    centred = np.asarray(z, np.float64) - np.mean(z, axis=0, dtype=np.float64)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    total = max(float((lengths**2).sum()), 1e-300)
    points = np.zeros((len(z), 2))
    shares = [0.0, 0.0]
    for at in range(min(2, len(directions))):
        # Of two signs the one with which the longest weight is positive: same picture, same z.
        sign = np.sign(directions[at][np.abs(directions[at]).argmax()]) or 1.0
        points[:, at] = sign * centred @ directions[at]
        shares[at] = float(lengths[at] ** 2) / total
    return points, shares


def plot_map(
    path: str | Path,
    title: str,
    z: Float[np.ndarray, "N k"],
    worth: Float[np.ndarray, " N"],
    value: str,
    note: str = "",
) -> list[float]:
    """Draws every agent as a dot, the best ones on top, and writes a PNG.

    Arguments:
        worth: each agent's.
        value: what that is.
        note: what else the line under the title says.

    **Returns** the shares of variance that the axes explain.
    """
    points, shares = principal(z)
    order = np.argsort(worth, kind="stable")
    with figure(path, WIDTH, HEIGHT) as drawn:
        axes = drawn.add_subplot()
        size = float(np.clip(9000 / max(len(z), 1), 3, 40))
        dots = axes.scatter(
            *points[order].T, c=np.asarray(worth)[order], s=size, cmap="viridis", linewidth=0,
            alpha=0.85, rasterized=True,
        )  # fmt: skip
        drawn.colorbar(dots, ax=axes, label=value, pad=0.02).outline.set_visible(False)  # type: ignore[operator]
        axes.set_xlabel(f"first principal component of z ({shares[0]:.0%} of variance)")
        axes.set_ylabel(f"second ({shares[1]:.0%})")
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=20)
        axes.annotate(
            f"{len(z):,} agents{note}", (0, 1), (0, 6), xycoords="axes fraction",
            textcoords="offset points", fontsize=8.5, color=MUTED,
        )  # fmt: skip
        axes.grid(True)
    return shares
