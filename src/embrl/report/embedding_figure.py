"""Figure of a state and an action embedding, after Figure 2 of Pritz et al. (2021)."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from embrl.core.errors import EmbrlError
from embrl.envs.environment import Environment
from embrl.report.drawing import MUTED, PALE, PALETTE, figure
from embrl.report.environment_pictures import Picture, picture_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL = 4.4
"""Width of a panel in inches."""
HEADING = 0.25
"""Height of a heading in inches."""
BLUE = 0.5
"""Third channel of the colours that stand for positions and displacements."""


class Plane(NamedTuple):
    """Points in two dimensions, with the labels of their axes."""

    points: Float[np.ndarray, "N 2"]
    names: tuple[str, str]
    """Labels of the two axes; they name the projection and the variance that it explains."""
    centre: Float[np.ndarray, " p"]
    axes: Float[np.ndarray, "2 p"]
    """`points` are `(values - centre) @ axes.T`."""


def plot_embedding(
    path: str | Path,
    *,
    environment: Environment | None,
    phi: Float[np.ndarray, "states m"],
    g: Float[np.ndarray, "n d"],
    visited: Bool[np.ndarray, " states"] | None = None,
    title: str = "",
) -> None:
    """Draw environment, state embedding, displacements and action embedding, and write a PNG.

    Equal colours stand for equal positions and equal displacements in all panels. Panels for which
    the environment has no data (no picture, no `action_effects`) are left out.

    Args:
        path: The PNG file to write.
        environment: The environment of the embedding; None if only phi and g are known.
        phi: Embedding of each state. More than two dimensions are projected on the two principal
            components of the states that are drawn in colour.
        g: Embedding of each action, projected in the same way.
        visited: True for states that the embedding was trained on. The positions of the others have
            no meaning, and they are drawn small and grey. By default all.
        title: Heading of the figure; empty for none.

    Raises:
        EmbrlError: Arrays do not fit the environment or each other, or are not finite.
    """
    phi, g = _matrix("phi", phi), _matrix("g", g)
    picture = None if environment is None else picture_of(environment)
    if picture is not None:
        _check_rows("phi", phi, len(picture.positions), "states")
    known = None if environment is None else environment.action_effects()
    effects = None if known is None else _matrix("action_effects", known)
    if effects is not None:
        _check_rows("g", g, len(effects), "actions")
    visited = np.ones(len(phi), bool) if visited is None else np.asarray(visited, bool)
    if visited.shape != (len(phi),):
        raise EmbrlError(f"visited must have the shape ({len(phi)},) of phi, got {visited.shape}")
    reachable = np.ones(len(phi), bool) if picture is None else picture.reachable

    panels: list[Callable[[Axes], None]] = []
    if picture is not None:
        panels.append(functools.partial(_draw_environment, picture=picture))
    panels.append(
        functools.partial(
            _draw_states, picture=picture, phi=phi, visited=visited, reachable=reachable
        )
    )
    if effects is not None:
        unit = "" if picture is None else picture.effects_unit
        panels.append(functools.partial(_draw_effects, effects=effects, unit=unit))
    panels.append(functools.partial(_draw_actions, g=g, effects=effects))
    _draw(path, panels, title)


def plot_actions(
    path: str | Path,
    *,
    environment: Environment | None,
    g: Float[np.ndarray, "n d"],
    title: str = "",
) -> None:
    """Draw an action embedding alone, with the displacements if they are known, and write a PNG.

    Args:
        path: The PNG file to write.
        environment: The environment of the embedding; None if only g is known.
        g: Embedding of each action.
        title: Heading of the figure; empty for none.

    Raises:
        EmbrlError: `g` does not fit the environment, or is not finite.
    """
    g = _matrix("g", g)
    known = None if environment is None else environment.action_effects()
    effects = None if known is None else _matrix("action_effects", known)
    panels: list[Callable[[Axes], None]] = []
    if effects is not None:
        _check_rows("g", g, len(effects), "actions")
        panels.append(functools.partial(_draw_effects, effects=effects, unit=""))
    panels.append(functools.partial(_draw_actions, g=g, effects=effects))
    _draw(path, panels, title)


def _draw(path: str | Path, panels: "list[Callable[[Axes], None]]", title: str) -> None:
    """Draw lettered panels side by side."""
    columns = 3 if len(panels) == 3 else min(2, len(panels))
    rows = -(-len(panels) // columns)
    height = (PANEL + HEADING) * rows + (HEADING if title else 0)
    with figure(path, PANEL * columns, height) as drawn:
        if title:
            drawn.suptitle(title, fontsize=13, fontweight="bold")
        for at, panel in enumerate(panels):
            axes = drawn.add_subplot(rows, columns, at + 1)
            axes.set_box_aspect(1)
            panel(axes)
            heading = f"({chr(ord('a') + at)}) {axes.get_title()}"
            axes.set_title("")
            axes.set_title(heading, loc="left", fontsize=11)


def plane(values: Float[np.ndarray, "N p"], symbol: str, among: np.ndarray | None = None) -> Plane:
    """Reduce points to two dimensions by their two principal components, if they have more.

    Args:
        values: The points.
        symbol: Name of the point: `x` has the coordinates x₁ and x₂.
        among: True for points that the components are computed from, bool `[N]`. By default all.
    """
    if (p := values.shape[1]) <= 2:
        points = np.pad(values, ((0, 0), (0, 2 - p)))
        names = (f"{symbol}₁", f"{symbol}₂" if p == 2 else "")
        return Plane(points, names, np.zeros(p), np.eye(2, p))
    chosen = values if among is None or not among.any() else values[among]
    centre = chosen.mean(axis=0)
    _, sizes, axes = np.linalg.svd(chosen - centre, full_matrices=False)
    # The sign of a component is arbitrary; a positive largest entry makes it the same everywhere.
    axes = axes[:2]
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.where(axes[np.arange(len(axes)), largest] < 0, -1.0, 1.0)[:, None]
    points = (values - centre) @ axes.T
    fractions = sizes[:2] ** 2 / max(float((sizes**2).sum()), np.finfo(float).tiny)
    if len(axes) < 2:  # a single point has a single component
        points, fractions = np.pad(points, ((0, 0), (0, 1))), np.append(fractions, 0.0)
        axes = np.pad(axes, ((0, 1), (0, 0)))
    first, second = (
        f"principal component {at} of {symbol} ({100 * fraction:.0f} % of variance)"
        for at, fraction in enumerate(fractions, start=1)
    )
    return Plane(points, (first, second), centre, axes)


def colours(points: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 3"]:
    """Return the colours [R = c_1, G = c_2, B = 0.5] of the paper, coordinates scaled to 0 to 1."""
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    return np.column_stack([scaled, np.full(len(points), BLUE)])


def _matrix(name: str, values: object) -> np.ndarray:
    matrix = np.asarray(values, np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise EmbrlError(f"{name} must have two axes and one row or more, got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        bad = int((~np.isfinite(matrix)).any(axis=1).sum())
        raise EmbrlError(f"{name} must be finite, got other values in {bad} of {len(matrix)} rows")
    return matrix


def _check_rows(name: str, matrix: np.ndarray, expected: int, of: str) -> None:
    if len(matrix) != expected:
        raise EmbrlError(f"{name} must have a row for each of {expected} {of}, got {len(matrix)}")


def _size(count: int) -> float:
    """Return the area of a dot in points squared, smaller for larger counts."""
    return float(np.clip(16_000 / count, 2.0, 36.0))


def _frame(axes: "Axes", names: tuple[str, str]) -> None:
    """Set equal scales on both axes, so that distances can be compared, and label them."""
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(True)
    axes.set_xlabel(names[0])
    if names[1]:
        axes.set_ylabel(names[1])
    else:
        axes.set_yticks([])


def _draw_environment(axes: "Axes", *, picture: Picture) -> None:
    axes.set_title("environment")
    inside = picture.positions[picture.reachable]
    axes.scatter(*inside.T, s=_size(len(inside)), c=colours(inside), linewidth=0)
    picture.draw(axes)
    for spine in axes.spines.values():
        spine.set_visible(True)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="c₁", ylabel="c₂")


def _draw_states(
    axes: "Axes",
    *,
    picture: Picture | None,
    phi: np.ndarray,
    visited: np.ndarray,
    reachable: np.ndarray,
) -> None:
    axes.set_title("state embedding")
    shown = visited & reachable
    points, names = plane(phi, "x", shown)[:2]
    colour = PALETTE[0] if picture is None else colours(picture.positions)[shown]
    for left_out, marker, name in [
        (~visited & reachable, "o", "never visited"),
        (~reachable, "x", "unreachable"),
    ]:
        if count := int(left_out.sum()):
            style = {"s": 9, "marker": marker, "linewidth": 0.6, "label": f"{name} ({count})"}
            axes.scatter(*points[left_out].T, c=MUTED if marker == "x" else PALE, **style)
    if picture is not None:
        both = picture.neighbours[shown[picture.neighbours].all(axis=1)]
        # A single line with gaps, because thousands of separate ones would take seconds.
        gaps = np.full((len(both), 1, 2), np.nan)
        mesh = np.concatenate([points[both], gaps], axis=1).reshape(-1, 2)
        axes.plot(*mesh.T, color=MUTED, alpha=0.5, linewidth=0.4, zorder=1, label="neighbours")
    axes.scatter(*points[shown].T, s=_size(len(phi)), c=colour, linewidth=0, zorder=2)
    _frame(axes, names)
    if picture is not None or not shown.all():
        axes.legend(  # below the axes, where it hides no data
            loc="upper center",
            bbox_to_anchor=(0.5, -0.12),
            ncols=3,
            fontsize=8.5,
            handlelength=1.5,
            handletextpad=0.4,
            columnspacing=1.2,
        )


def _draw_effects(axes: "Axes", *, effects: np.ndarray, unit: str) -> None:
    axes.set_title("displacement by each action" if unit else "effect of each action")
    points, (across, up) = plane(effects, "Δc")[:2]
    axes.scatter(*points.T, s=_size(len(points)), c=colours(points), linewidth=0)
    _frame(axes, (f"{across} ({unit})" if unit else across, up))


def _draw_actions(axes: "Axes", *, g: np.ndarray, effects: np.ndarray | None) -> None:
    axes.set_title("action embedding")
    points, names = plane(g, "e")[:2]
    colour = PALETTE[0] if effects is None else colours(plane(effects, "c").points)
    axes.scatter(*points.T, s=_size(len(points)), c=colour, linewidth=0)
    _frame(axes, names)
