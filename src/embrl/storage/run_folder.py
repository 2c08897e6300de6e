"""The folder of one run; docs/run-folder.md describes its format."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError
from embrl.storage import files

FORMAT = 2
"""Number of the format, in `config.json`. Format 1, without a number, is read by embrl 0.1."""

COLUMNS = (
    "seed",
    "timesteps",
    "return_mean",
    "return_std",
    "greedy_return_mean",
    "length_mean",
    "episodes",
)
"""Columns of metrics.csv, which has a row for each seed and evaluation; metrics of the algorithm
and of the embedding follow."""

COUNTS = ("seed", "point", "timesteps", "episodes")
"""Columns of whole numbers."""


class RunFolder:
    """Access to `config.json`, `metrics.csv`, `quality.json`, `summary.json` and the checkpoint."""

    def __init__(self, path: str | Path) -> None:
        self.path = files.as_path(path)
        self.checkpoint = self.path / "checkpoint"
        self.figures = self.path / "figures"
        self._metrics_names: list[str] = []
        self._metrics_count = 0
        """Columns and number of rows of metrics.csv as this object wrote it."""

    @classmethod
    def existing(cls, path: str | Path) -> "RunFolder":
        """Return the folder of a run that exists.

        Raises:
            EmbrlError: there is no run.
        """
        folder = cls(path)
        if not folder.holds_run:
            raise EmbrlError(f"{path} is not a run folder: it has no config.json")
        return folder

    @property
    def holds_run(self) -> bool:
        """True if a run was started here."""
        return (self.path / "config.json").is_file()

    def config(self) -> dict[str, Any]:
        """Return the content of `config.json`.

        Raises:
            EmbrlError: it is missing, damaged, or of another format.
        """
        config = files.read_json(self.path / "config.json")
        if (found := config.get("format", 1)) != FORMAT:
            version = "embrl 0.1" if found == 1 else "a newer embrl"
            raise EmbrlError(
                f"{self.path / 'config.json'} has format {found}, this version reads {FORMAT}; use "
                f"{version}"
            )
        return config

    def write_config(self, config: dict[str, Any]) -> None:
        """Create the folder, and a run in it; the number of the format is added."""
        files.make_folder(self.path)
        files.write_json(self.path / "config.json", {"format": FORMAT, **config})

    def start(self, config: dict[str, Any]) -> None:
        """Begin a run, where there is none or one that ended before anything was saved."""
        left = [self.path / name for name in ("metrics.csv", "quality.json", "environment.json")]
        for path in (*left, *self.path.glob("*.npy")):
            path.unlink(missing_ok=True)
        self.write_config(config)

    def set_target(self, total_timesteps: int) -> None:
        """Set the number of timesteps that the run continues to.

        If it is another than before, the run is no longer complete.
        """
        config = self.config()
        if config["total_timesteps"] != total_timesteps:
            (self.path / "summary.json").unlink(missing_ok=True)  # first: a crash may follow
            self.write_config({**config, "total_timesteps": total_timesteps})

    @property
    def complete(self) -> bool:
        """True if the run has finished."""
        return (self.path / "summary.json").exists()

    def summary(self) -> dict[str, Any]:
        """Return the content of `summary.json`, which exists once the run is complete."""
        return files.read_json(self.path / "summary.json")

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write `summary.json`, which completes the run."""
        files.write_json(self.path / "summary.json", summary)

    def quality(self) -> list[dict[str, Any]]:
        """Return the quality reports in `quality.json`, one for each seed."""
        path = self.path / "quality.json"
        found = files.read_json(path).get("seeds")
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise EmbrlError(f"{path} is damaged: it must have a report for each of seeds")
        return found

    def write_quality(self, reports: list[dict[str, Any]]) -> None:
        """Write `quality.json`, after pre-training."""
        files.write_json(self.path / "quality.json", {"seeds": reports})

    def metrics(self) -> dict[str, np.ndarray]:
        """Return the columns of `metrics.csv`, int64 for `COUNTS` and float64 for the others.

        Raises:
            EmbrlError: missing or damaged; the message names the line.
        """
        path = self.path / "metrics.csv"
        try:
            whole, end, _ = path.read_text(encoding="utf-8").rpartition("\n")
            rows = list(csv.reader(io.StringIO(whole + end, newline="")))
        except FileNotFoundError as error:
            raise EmbrlError(f"{path} is missing: the run has not been evaluated yet") from error
        except (OSError, ValueError, csv.Error) as error:
            raise EmbrlError(f"{path} is damaged: {error}") from error
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
                # A metric of learning is empty where nothing has been learned yet.
                columns[name] = np.array([kind(value or "nan") for value in values])
            except ValueError as error:
                raise EmbrlError(f"{path} column {name}: {error}") from error
        return columns

    def seed_metrics(self) -> dict[str, np.ndarray]:
        """Return `metrics` of a run whose rows are the seeds of one configuration.

        Raises:
            EmbrlError: they are several points of a sweep.
        """
        metrics = self.metrics()
        if "point" in metrics:
            raise EmbrlError(
                f"{self.path} holds {len(np.unique(metrics['point']))} points of a sweep; look at "
                "the table and the figure that embrl sweep has written"
            )
        return metrics

    def write_metrics(self, rows: Sequence[Mapping[str, float | int | None]]) -> None:
        """Write all rows so far. Floats are read back bit for bit; what a row lacks is empty.

        Rows that follow those of an earlier call are appended. A process that is killed while it
        does so leaves an incomplete line, which `metrics` leaves out and the next one replaces.
        """
        path, new = self.path / "metrics.csv", rows[self._metrics_count :]
        known, fields = self._metrics_names, {name for row in new for name in row}
        append = bool(known) and fields <= set(known) and path.exists()
        self._metrics_names = []  # until it is written
        names = known if append else list(dict.fromkeys([*COLUMNS, *(n for r in rows for n in r)]))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        if append:
            writer.writerows(new)
            files.append_text(path, text.getvalue())
        else:
            writer.writeheader()
            writer.writerows(rows)
            files.write_text(path, text.getvalue())
        self._metrics_names, self._metrics_count = names, len(rows)
