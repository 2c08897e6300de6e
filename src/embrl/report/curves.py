"""Learning curves: read from run folders, drawn with every seed in sight."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from embrl.core.errors import EmbrlError
from embrl.core.statistics import bootstrap_mean
from embrl.report.drawing import INK, MUTED, PALETTE, figure
from embrl.report.numbers import decimals, short_count
from embrl.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

WIDTH = 8.0
AXES_HEIGHT = 4.6
LEGEND_ROW = 0.25
LEGEND_COLUMNS = 2
APART = 0.02
"""Nearer reference values share a line, as a fraction of the range of returns."""
TEXT = 0.11
"""Height of a reference's name, likewise."""
LONG_LABEL = 40
"""Letters; where there are more, the legend has one column."""


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """What a run's evaluations yielded, and what it can be compared with."""

    label: str
    samples: Float[np.ndarray, " E"]
    """Environment steps taken until each evaluation, pre-training included; increasing."""
    returns: Float[np.ndarray, "seeds E"]
    """Mean return of each evaluation."""
    environment: str = ""
    random_return: float | None = None
    best_known_return: float | None = None
    timesteps_per_s: float | None = None
    folder: str = ""
    """Name of the folder it was read from, a run's or a panel's."""

    def __post_init__(self) -> None:
        samples, returns = np.shape(self.samples), np.shape(self.returns)
        if len(samples) != 1 or len(returns) != 2 or returns[1:] != samples or 0 in returns:
            raise EmbrlError(
                f"curve {self.label!r}: samples {samples} and returns {returns} do not fit: "
                "expected (E,) and (seeds, E)"
            )
        if not np.all(np.diff(self.samples) > 0):
            raise EmbrlError(f"curve {self.label!r}: samples do not increase")

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(self.returns)


def read_curve(folder: RunFolder, label: str | None = None) -> Curve:
    """The curve of a run, complete or in progress.

    Arguments:
        folder: the run's.
        label: what to call it; else its algorithm and method.

    Raises:
        EmbrlError: a file is missing or damaged, or the seeds were evaluated at different numbers
            of samples.
    """
    config = folder.config()
    summary = folder.summary() if folder.complete else {}
    samples, returns = by_seed(folder.seed_metrics(), str(folder.path / "metrics.csv"))
    place = str(folder.path / "summary.json")
    return Curve(
        label=label or _label(str(config.get("algorithm", "")), str(config.get("method", ""))),
        samples=samples,
        returns=returns,
        environment=str(config.get("environment", "")),
        random_return=number(summary, "random_return", place),
        best_known_return=number(summary, "best_known_return", place),
        timesteps_per_s=number(summary, "timesteps_per_s", place),
        folder=folder.path.resolve().name,
    )


def by_seed(
    columns: Mapping[str, np.ndarray], place: str
) -> tuple[Float[np.ndarray, " E"], Float[np.ndarray, "seeds E"]]:
    """Samples and mean returns, from the columns `seed`, `samples` and `return_mean`.

    Arguments:
        columns: one value for each seed and evaluation, in any order.
        place: where they were read, for messages.

    Raises:
        EmbrlError: a column is missing, a row is there twice, or the seeds were evaluated at
            different numbers of samples.
    """
    for column in ("seed", "samples", "return_mean"):
        if column not in columns:
            raise EmbrlError(f"{place} has no column {column}")
    seed, samples = columns["seed"], columns["timesteps"]
    order = np.lexsort((samples, seed))
    seeds, starts = np.unique(seed[order], return_index=True)
    points = np.split(samples[order], starts[1:])
    for one, own in zip(seeds, points, strict=True):
        if np.any(np.diff(own) == 0):
            twice = own[:-1][np.diff(own) == 0][0]
            raise EmbrlError(f"{place}: seed {one} has two rows for {twice} samples")
        if not np.array_equal(own, points[0]):
            raise EmbrlError(
                f"{place}: seed {one} was evaluated at other numbers of samples than seed "
                f"{seeds[0]} ({own.size} evaluations up to {own[-1]}, against {points[0].size} "
                f"up to {points[0][-1]})"
            )
    returns = columns["return_mean"][order].reshape(len(seeds), -1)
    return points[0].astype(np.float64), returns


def number(values: Mapping[str, Any], key: str, place: str) -> float | None:
    """What JSON says under `key`, if anything.

    Raises:
        EmbrlError: it is no number.
    """
    value = values.get(key)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise EmbrlError(f"{place}: {key} is {value!r}, expected a number")


def plot_curves(curves: Sequence[Curve], path: str | Path, title: str) -> None:
    """Draws mean, 95 % interval and every seed of each curve, and writes a PNG.

    The axes hold all seeds, the worst and the best too; the legend stands below and the names of
    the reference lines beside them, where they hide nothing.
    """
    if not curves:
        raise EmbrlError("there is no curve to draw: name at least one run")
    longest = max(len(curve.label) for curve in curves)
    legend_columns = 1 if longest > LONG_LABEL else min(LEGEND_COLUMNS, len(curves))
    legend_rows = -(-len(curves) // legend_columns)
    with figure(path, WIDTH, AXES_HEIGHT + LEGEND_ROW * legend_rows) as drawn:
        axes = drawn.add_subplot()
        handles = [_draw(axes, curve, at) for at, curve in enumerate(curves)]
        axes.margins(x=0.01)
        # From 0: what a method spends before its first evaluation is to be seen.
        axes.set_xlim(left=min(0.0, *(curve.samples[0] for curve in curves)))
        axes.grid(True, axis="y")
        axes.xaxis.set_major_formatter(lambda value, _: short_count(value))
        axes.set_xlabel("samples (environment steps, pre-training included)")
        axes.set_ylabel("return per episode")
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=22)
        axes.annotate(
            "thick: mean over seeds   band: its 95 % bootstrap interval   thin: every seed",
            (0, 1),
            (0, 8),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=8.5,
            color=MUTED,
        )
        _draw_references(axes, curves)
        drawn.legend(handles=handles, loc="outside lower center", ncols=legend_columns)


def _label(algorithm: str, method: str) -> str:
    """VPG + JSAE; VPG, no embedding."""
    algorithm = algorithm.upper()
    if method in ("", "none"):
        return f"{algorithm}, no embedding" if method else algorithm or "run"
    method = method.upper() if len(method) <= len("jsae") else method  # an abbreviation
    return f"{algorithm} + {method}" if algorithm else method


def _draw(axes: "Axes", curve: Curve, at: int) -> "Line2D":
    """One curve, the `at`-th; returns what stands for it in the legend."""
    colour = PALETTE[at % len(PALETTE)]
    dashes = ("-", "--", ":", "-.")[at // len(PALETTE) % 4]
    # A curve of one evaluation has no line to see.
    marker = "o" if curve.samples.size == 1 else ""
    mean, low, high = bootstrap_mean(curve.returns)
    axes.fill_between(curve.samples, low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)
    axes.plot(
        curve.samples,
        curve.returns.T,
        color=colour,
        alpha=0.45,
        linewidth=0.7,
        marker=marker,
        markersize=3,
        zorder=3,
    )
    seeds = "1 seed" if curve.seeds == 1 else f"{curve.seeds} seeds"
    (line,) = axes.plot(
        curve.samples,
        mean,
        dashes,
        color=colour,
        linewidth=2.2,
        marker=marker,
        label=f"{curve.label} ({seeds})",
        zorder=4,
    )
    return line


def _draw_references(axes: "Axes", curves: Sequence[Curve]) -> None:
    """Dashed lines, named in the right margin.

    Runs estimate their random return each for themselves: values that the eye cannot tell apart
    share a line.
    """
    found = [("random", curve.random_return) for curve in curves]
    found += [("best known", curve.best_known_return) for curve in curves]
    values = [value for _, value in found if value is not None]
    if not values:
        return
    low, high = axes.dataLim.intervaly
    span = max(high, *values) - min(low, *values)
    lines: dict[str, list[float]] = {}
    for name, value in found:
        known = lines.setdefault(name, [])
        if value is not None and all(abs(value - other) > APART * span for other in known):
            known.append(value)
    heights = sorted((value, name) for name, known in lines.items() for value in known)
    digits = min(2, decimals(*values))
    text_at = -np.inf
    for value, name in heights:
        axes.axhline(value, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1.5)
        text_at = max(value, text_at + TEXT * span)  # no name is written over another
        axes.annotate(
            f"{name}\n{value:.{digits}f}".replace("-", "\N{MINUS SIGN}"),
            (1.01, text_at),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8.5,
            color=INK,
        )
