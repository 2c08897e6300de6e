"""The folder of one run: its format is written down in docs/run-folder.md."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError
from embrl.storage import files

COLUMNS = (
    "seed",
    "samples",
    "return_mean",
    "return_std",
    "greedy_return_mean",
    "length_mean",
    "episodes",
)
"""Of metrics.csv, one row for each seed and evaluation; measures of learning and of the embedding
follow, as the algorithm and the method have them."""


COUNTS = ("seed", "point", "samples", "episodes")
"""Columns of whole numbers."""


class RunFolder:
    """Reads and writes `config.json`, `metrics.csv`, `summary.json`; knows where the rest lies."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoint = self.path / "checkpoint"
        self.figures = self.path / "figures"

    @classmethod
    def existing(cls, path: str | Path) -> "RunFolder":
        """The folder of a run that is there.

        Raises:
            EmbrlError: there is no run.
        """
        folder = cls(path)
        if not folder.holds_run:
            raise EmbrlError(f"{path} holds no run: it has no config.json")
        return folder

    @property
    def holds_run(self) -> bool:
        """Whether a run was started here."""
        return (self.path / "config.json").is_file()

    def config(self) -> dict[str, Any]:
        """What `config.json` says."""
        return files.read_json(self.path / "config.json")

    def write_config(self, config: dict[str, Any]) -> None:
        """Makes the folder, and a run of it."""
        self.path.mkdir(parents=True, exist_ok=True)
        files.write_json(self.path / "config.json", config)

    def aim_at(self, samples: int) -> None:
        """The run goes on to this many samples; if they are others than before, it is no longer
        complete.
        """
        config = self.config()
        if config["samples"] != samples:
            (self.path / "summary.json").unlink(missing_ok=True)  # first: a crash may follow
            self.write_config({**config, "samples": samples})

    @property
    def complete(self) -> bool:
        """Whether the run came to its end."""
        return (self.path / "summary.json").exists()

    def summary(self) -> dict[str, Any]:
        """What `summary.json` says; it is there once the run is complete."""
        return files.read_json(self.path / "summary.json")

    def write_summary(self, summary: dict[str, Any]) -> None:
        """The run's last act."""
        files.write_json(self.path / "summary.json", summary)

    def quality(self) -> list[dict[str, Any]]:
        """What `quality.json` says: a report on each seed's embedding."""
        return files.read_json(self.path / "quality.json")["seeds"]

    def write_quality(self, reports: list[dict[str, Any]]) -> None:
        """Once pre-training is over."""
        files.write_json(self.path / "quality.json", {"seeds": reports})

    def metrics(self) -> dict[str, np.ndarray]:
        """Columns of `metrics.csv`, float64 but for whole numbers (`COUNTS`).

        Raises:
            EmbrlError: missing or damaged; the message names the line.
        """
        path = self.path / "metrics.csv"
        try:
            with path.open(newline="") as file:
                rows = list(csv.reader(file))
        except FileNotFoundError as error:
            raise EmbrlError(f"{path} is missing: the run has not been evaluated yet") from error
        if len(rows) < 2:
            raise EmbrlError(f"{path} has no rows")
        header, *rows = rows
        for line, row in enumerate(rows, start=2):
            if len(row) != len(header):
                raise EmbrlError(
                    f"{path} line {line} has {len(row)} columns, expected {len(header)}"
                )
        columns: dict[str, np.ndarray] = {}
        for name, values in zip(header, zip(*rows, strict=True), strict=True):
            try:
                kind = np.int64 if name in COUNTS else np.float64
                # A measure of learning is empty where nothing has been learned yet.
                columns[name] = np.array([kind(value or "nan") for value in values])
            except ValueError as error:
                raise EmbrlError(f"{path} column {name}: {error}") from error
        return columns

    def seed_metrics(self) -> dict[str, np.ndarray]:
        """`metrics` of a run whose rows are the seeds of one configuration.

        Raises:
            EmbrlError: they are not, but several points of a sweep.
        """
        metrics = self.metrics()
        if "point" in metrics:
            raise EmbrlError(
                f"{self.path} holds {len(np.unique(metrics['point']))} points of a sweep side by "
                "side: look at the table and the picture that embrl sweep has written"
            )
        return metrics

    def write_metrics(self, rows: Sequence[Mapping[str, float | int | None]]) -> None:
        """All rows so far; floats come back equal to the last bit. What a row lacks is empty."""
        names = list(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)]))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        files.write_text(self.path / "metrics.csv", text.getvalue())
