"""Learning curves, read from run folders and from the panels that `embrl reproduce` writes."""

import csv
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from embrl.core.errors import EmbrlError
from embrl.storage import files
from embrl.storage.run_folder import RunFolder

PANEL_CURVES = "curves.csv"
"""File of a panel with one row for each curve, seed and evaluation."""
PANEL_COLUMNS = {"label": str, "seed": int, "timesteps": int, "return_mean": float}
PANEL_SUMMARY = "summary.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """Returns of a run at each of its evaluations, with the values it can be compared with."""

    label: str
    timesteps: Float[np.ndarray, " E"]
    """Environment steps taken until each evaluation, pre-training included; increasing."""
    returns: Float[np.ndarray, "seeds E"]
    """Mean return of each evaluation."""
    environment: str = ""
    random_return: float | None = None
    """Mean return of random actions, if known."""
    best_known_return: float | None = None
    """Return of the best known policy, if known."""
    timesteps_per_s: float | None = None
    """Environment steps per second of all seeds together, if known."""
    folder: str = ""
    """Name of the folder that the curve was read from, of a run or a panel."""

    def __post_init__(self) -> None:
        timesteps, returns = np.shape(self.timesteps), np.shape(self.returns)
        if len(timesteps) != 1 or len(returns) != 2 or returns[1:] != timesteps or 0 in returns:
            raise EmbrlError(
                f"curve {self.label!r}: timesteps and returns must have the shapes (E,) and "
                f"(seeds, E), got {timesteps} and {returns}"
            )
        if not np.all(np.diff(self.timesteps) > 0):
            raise EmbrlError(f"curve {self.label!r}: timesteps must increase")

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len(self.returns)


def read_curves(paths: Sequence[str | Path]) -> list[Curve]:
    """Read the curves of several runs and panels, in the order of `paths`, with unique labels.

    Runs of the same method get the name of their folder: `VPG + JSAE (first)`. Labels of a panel
    get the name of the panel's folder, `fig3: VPG`, if there are several panels or another curve
    has the same label.

    Raises:
        EmbrlError: A path holds neither a run nor a panel, or one of its files is damaged.
    """
    read = [(path, is_panel(path), _read(path)) for path in paths]
    names = [Path(path).resolve().name for path in paths]
    places = names if len(set(names)) == len(names) else [str(path) for path in paths]
    panels = sum(panel for _, panel, _ in read)
    times = Counter(curve.label for _, _, curves in read for curve in curves)

    def label(curve: Curve, panel: bool, place: str) -> str:
        if panel and (panels > 1 or times[curve.label] > 1):
            return f"{place}: {curve.label}"
        return curve.label if panel or times[curve.label] == 1 else f"{curve.label} ({place})"

    return [
        dataclasses.replace(curve, label=label(curve, panel, place))
        for (_, panel, curves), place in zip(read, places, strict=True)
        for curve in curves
    ]


def _read(path: str | Path) -> list[Curve]:
    if is_panel(path):
        return read_panel(path)
    folder = RunFolder(path)
    if not folder.holds_run:
        raise EmbrlError(
            f"{path} holds no run and no panel: it has neither config.json nor {PANEL_CURVES}; "
            "name a folder of embrl train or embrl reproduce"
        )
    return [read_curve(folder)]


# Runs


def read_curve(folder: RunFolder, label: str | None = None) -> Curve:
    """Read the curve of a run, complete or in progress.

    Args:
        folder: The run's folder.
        label: Label of the curve; by default the run's algorithm and method.

    Raises:
        EmbrlError: A file is missing or damaged, or the seeds were evaluated after different
            numbers of environment steps.
    """
    config = folder.config()
    summary = folder.summary() if folder.complete else {}
    timesteps, returns = by_seed(folder.seed_metrics(), str(folder.path / "metrics.csv"))
    place = str(folder.path / "summary.json")
    return Curve(
        label=label or _label(str(config.get("algorithm", "")), str(config.get("method", ""))),
        timesteps=timesteps,
        returns=returns,
        environment=str(config.get("environment", "")),
        random_return=_json_number(summary, "random_return", place),
        best_known_return=_json_number(summary, "best_known_return", place),
        timesteps_per_s=_json_number(summary, "timesteps_per_s", place),
        folder=folder.path.resolve().name,
    )


def by_seed(
    columns: Mapping[str, np.ndarray], place: str
) -> tuple[Float[np.ndarray, " E"], Float[np.ndarray, "seeds E"]]:
    """Arrange the columns `seed`, `timesteps` and `return_mean` by seed.

    Args:
        columns: One value for each seed and evaluation, in any order.
        place: Name of the file that the columns were read from, for error messages.

    Returns:
        Environment steps until each evaluation, and mean returns.

    Raises:
        EmbrlError: A column is missing, a row stands twice, or the seeds were evaluated after
            different numbers of environment steps.
    """
    for column in ("seed", "timesteps", "return_mean"):
        if column not in columns:
            raise EmbrlError(f"{place} has no column {column}")
    seed, timesteps = columns["seed"], columns["timesteps"]
    order = np.lexsort((timesteps, seed))
    seeds, starts = np.unique(seed[order], return_index=True)
    points = np.split(timesteps[order], starts[1:])
    for one, own in zip(seeds, points, strict=True):
        if np.any(np.diff(own) == 0):
            twice = own[:-1][np.diff(own) == 0][0]
            raise EmbrlError(f"{place}: seed {one} has two rows for {twice} environment steps")
        if not np.array_equal(own, points[0]):
            raise EmbrlError(
                f"{place}: all seeds must be evaluated after the same numbers of environment "
                f"steps, but seed {one} has {own.size} evaluations up to {own[-1]} and seed "
                f"{seeds[0]} has {points[0].size} up to {points[0][-1]}"
            )
    returns = columns["return_mean"][order].reshape(len(seeds), -1)
    return points[0].astype(np.float64), returns


def _label(algorithm: str, method: str) -> str:
    """Return a label such as `VPG + JSAE` or `VPG, no embedding`."""
    algorithm = algorithm.upper()
    if method in ("", "none"):
        return f"{algorithm}, no embedding" if method else algorithm or "run"
    method = method.upper() if len(method) <= len("jsae") else method  # an abbreviation
    return f"{algorithm} + {method}" if algorithm else method


def _json_number(values: Mapping[str, Any], key: str, place: str) -> float | None:
    value = values.get(key)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise EmbrlError(f"{place}: {key} must be a number, got {value!r}")


# Panels


def is_panel(path: str | Path) -> bool:
    """Return True if the folder is a panel's, even if one of its two files is missing."""
    path = Path(path)
    if (path / "config.json").exists():  # a run has one, too
        return (path / PANEL_CURVES).exists()
    return (path / PANEL_CURVES).exists() or (path / PANEL_SUMMARY).exists()


def read_panel(path: str | Path) -> list[Curve]:
    """Read the curves of a panel, in the order of its summary.

    Raises:
        EmbrlError: A file is missing or damaged, or the two files name different curves.
    """
    path = Path(path)
    told = entries(path)
    rows = _rows(path / PANEL_CURVES)
    for label in rows.keys() - told.keys():
        raise EmbrlError(
            f"{path / PANEL_CURVES} has rows of {label!r}, which {PANEL_SUMMARY} does not name"
        )
    return [_panel_curve(path, label, known, rows.get(label)) for label, known in told.items()]


def entries(panel: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of a panel's summary by the label of their curve.

    Raises:
        EmbrlError: The summary is missing or damaged, or has a label twice.
    """
    path = panel / PANEL_SUMMARY
    curves = files.read_json(path).get("curves")
    if not isinstance(curves, list) or not curves:
        raise EmbrlError(f"{path}: curves must be a list of curves, got {_short(curves)}")
    for curve in curves:
        if not isinstance(curve, dict) or not isinstance(curve.get("label"), str):
            raise EmbrlError(f"{path}: a curve must be an object with a label, got {_short(curve)}")
    (label, times), *_ = Counter(curve["label"] for curve in curves).most_common(1)
    if times > 1:
        raise EmbrlError(f"{path} names {times} curves {label!r}; labels must be unique")
    return {curve["label"]: curve for curve in curves}


def _panel_curve(
    path: Path, label: str, known: dict[str, Any], rows: dict[str, np.ndarray] | None
) -> Curve:
    if rows is None:
        raise EmbrlError(
            f"{path / PANEL_CURVES} has no rows of {label!r}, which {PANEL_SUMMARY} names"
        )
    timesteps, returns = by_seed(rows, f"{path / PANEL_CURVES}, {label!r}")
    place = f"{path / PANEL_SUMMARY}, {label!r}"
    speed, wall = (_json_number(known, key, place) for key in ("timesteps_per_s", "wall_s"))
    if speed is None and wall:
        speed = returns.shape[0] * float(timesteps[-1]) / wall
    return Curve(
        label=label,
        timesteps=timesteps,
        returns=returns,
        environment=str(known.get("env") or ""),
        random_return=_json_number(known, "random_return", place),
        best_known_return=_json_number(known, "best_known_return", place),
        timesteps_per_s=speed,
        folder=path.resolve().name,
    )


def _rows(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Read a panel's rows and return their columns, but for the label, by label."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file)) or [[]]
    except FileNotFoundError as error:
        raise EmbrlError(f"{path} is missing") from error
    except (OSError, ValueError, csv.Error) as error:
        raise EmbrlError(f"{path} is damaged: {error}") from error
    for column in PANEL_COLUMNS:
        if column not in header:
            raise EmbrlError(f"{path} has no column {column}")
    found: dict[str, list[tuple[int, int, float]]] = {}
    for at, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise EmbrlError(f"{path} line {at} must have {len(header)} columns, got {len(line)}")
        cells = dict(zip(header, line, strict=True))
        label, *values = (_cell(path, at, column, cells[column]) for column in PANEL_COLUMNS)
        found.setdefault(label, []).append(tuple(values))
    names = list(PANEL_COLUMNS)[1:]
    return {
        label: {name: np.array([row[at] for row in rows]) for at, name in enumerate(names)}
        for label, rows in found.items()
    }


def _cell(path: Path, line: int, column: str, text: str) -> Any:
    kind = PANEL_COLUMNS[column]
    try:
        return kind(text)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise EmbrlError(f"{path} line {line}: {column} must be {wanted}, got {text!r}") from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
