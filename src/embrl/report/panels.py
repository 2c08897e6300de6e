"""Panels: several curves of one figure in one folder, as `embrl reproduce` writes them."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError
from embrl.report.curves import Curve, by_seed, number
from embrl.storage import files

ROWS = "curves.csv"
"""One row for each curve, seed and evaluation."""
COLUMNS = {"label": str, "seed": int, "samples": int, "return_mean": float}
SUMMARY = "summary.json"


def is_panel(path: str | Path) -> bool:
    """Whether the folder is a panel's; one that lacks a file is, too: reading it says which."""
    path = Path(path)
    if (path / "config.json").exists():  # a run's
        return (path / ROWS).exists()
    return (path / ROWS).exists() or (path / SUMMARY).exists()


def read_panel(path: str | Path) -> list[Curve]:
    """A panel's curves, in the order of its summary.

    Raises:
        EmbrlError: a file is missing or damaged, or the two do not speak of the same curves.
    """
    path = Path(path)
    told = entries(path)
    rows = _rows(path / ROWS)
    for label in rows.keys() - told.keys():
        raise EmbrlError(f"{path / ROWS} has rows of {label!r}, which {SUMMARY} does not name")
    return [_curve(path, label, known, rows.get(label)) for label, known in told.items()]


def _curve(
    path: Path, label: str, known: dict[str, Any], rows: dict[str, np.ndarray] | None
) -> Curve:
    if rows is None:
        raise EmbrlError(f"{path / ROWS} has no rows of {label!r}, which {SUMMARY} names")
    samples, returns = by_seed(rows, f"{path / ROWS}, {label!r}")
    place = f"{path / SUMMARY}, {label!r}"
    speed, wall = (number(known, key, place) for key in ("timesteps_per_s", "wall_s"))
    if speed is None and wall:
        speed = returns.shape[0] * float(samples[-1]) / wall
    return Curve(
        label=label,
        samples=samples,
        returns=returns,
        environment=str(known.get("env") or ""),
        random_return=number(known, "random_return", place),
        best_known_return=number(known, "best_known_return", place),
        timesteps_per_s=speed,
        folder=path.resolve().name,
    )


def entries(panel: Path) -> dict[str, dict[str, Any]]:
    """Label to what the panel's summary knows of it.

    Raises:
        EmbrlError: the summary is missing or damaged, or has a label twice.
    """
    path = panel / SUMMARY
    curves = files.read_json(path).get("curves")
    if not isinstance(curves, list) or not curves:
        raise EmbrlError(f"{path}: curves is {_short(curves)}, expected a list of curves")
    for curve in curves:
        if not isinstance(curve, dict) or not isinstance(curve.get("label"), str):
            raise EmbrlError(f"{path}: {_short(curve)} is no curve, expected one with a label")
    (label, times), *_ = Counter(curve["label"] for curve in curves).most_common(1)
    if times > 1:
        raise EmbrlError(f"{path} names {times} curves {label!r}: a label is one curve's")
    return {curve["label"]: curve for curve in curves}


def _rows(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Label to the other columns of its rows."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file)) or [[]]
    except FileNotFoundError as error:
        raise EmbrlError(f"{path} is missing") from error
    except (OSError, ValueError, csv.Error) as error:
        raise EmbrlError(f"{path} is damaged: {error}") from error
    for column in COLUMNS:
        if column not in header:
            raise EmbrlError(f"{path} has no column {column}")
    found: dict[str, list[tuple[int, int, float]]] = {}
    for at, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise EmbrlError(f"{path} line {at} has {len(line)} columns, expected {len(header)}")
        cells = dict(zip(header, line, strict=True))
        label, *values = (_cell(path, at, column, cells[column]) for column in COLUMNS)
        found.setdefault(label, []).append(tuple(values))
    names = list(COLUMNS)[1:]
    return {
        label: {name: np.array([row[at] for row in rows]) for at, name in enumerate(names)}
        for label, rows in found.items()
    }


def _cell(path: Path, line: int, column: str, text: str) -> Any:
    kind = COLUMNS[column]
    try:
        return kind(text)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise EmbrlError(f"{path} line {line}: {column} is {text!r}, expected {wanted}") from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
