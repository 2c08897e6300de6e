"""Results that need no training, read from complete runs or from the report of a panel's folder.

The repository contains reports without their runs, which are large. Lines can be added to such a
report.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from embrl.config.run import check_same, from_json
from embrl.core.errors import EmbrlError
from embrl.papers.panel import Panel, PanelLine
from embrl.papers.summary import PanelResult
from embrl.report.curves import PANEL_SUMMARY, Curve, entries, read_curve, read_panel
from embrl.storage.run_folder import RunFolder


def run_path(out: Path, line: PanelLine) -> Path:
    """Return the folder of a line's run, such as `runs/512-vpg-jsae`."""
    letters = "".join(c if c.isalnum() else " " for c in line.label.lower())
    return out / "runs" / "-".join(letters.split())


def finished(panel: Panel, out: Path) -> dict[str, PanelResult]:
    """Read the results of the panel's lines that the folder `out` has, by label.

    Raises:
        EmbrlError: A file is damaged, or is about a line with other settings.
    """
    reported, found = _reported(out), {}
    for line in panel.lines:
        run = RunFolder(run_path(out, line))
        if run.holds_run:
            result = from_run(line, run) if _complete(line, run) else None
        else:
            result = _from_report(line, out, reported.get(line.label))
        if result is not None:
            found[line.label] = result
    return found


def from_run(line: PanelLine, folder: RunFolder) -> PanelResult:
    """Read the results of a complete run."""
    place = str(folder.path / "summary.json")
    return _result(line, read_curve(folder, line.label), folder.summary(), place)


def _complete(line: PanelLine, run: RunFolder) -> bool:
    """Return True if the run is complete.

    Raises:
        EmbrlError: It has other settings than the line.
    """
    found = from_json(run.config(), run.path / "config.json")
    # A panel does not know the path of the run that this one started from.
    transfer = dataclasses.replace(line.config.transfer, run=found.transfer.run)
    wanted = dataclasses.replace(line.config, transfer=transfer)
    check_same(wanted, found, f"{run.path} holds another run")
    return run.complete


def _reported(out: Path) -> dict[str, tuple[Curve, dict[str, Any]]]:
    """Return the curve and the summary entry of each line in the report, by label."""
    if not (out / PANEL_SUMMARY).exists():
        return {}
    known = entries(out)
    return {curve.label: (curve, known[curve.label]) for curve in read_panel(out)}


def _from_report(
    line: PanelLine, out: Path, reported: tuple[Curve, dict[str, Any]] | None
) -> PanelResult | None:
    if reported is None:
        return None
    curve, entry = reported
    place = f"{out / PANEL_SUMMARY}, {line.label!r}"
    # Reports of older versions have no settings, and an interruption may leave curves that are
    # newer than the summary.
    config = entry.get("config")
    if (
        not isinstance(config, dict)
        or entry.get("final_return_per_seed") != curve.returns[:, -1].tolist()
    ):
        return None
    found = from_json(config, place)
    other = "was run with other settings (choose another --out, or remove the curve from the file)"
    check_same(line.config, found, f"{place} {other}")
    return _result(line, curve, entry, place)


def _result(line: PanelLine, curve: Curve, known: Mapping[str, Any], place: str) -> PanelResult:
    try:
        return PanelResult(
            line,
            curve.timesteps,
            np.asarray(curve.returns),
            random_return=float(known["random_return"]),
            best_known_return=curve.best_known_return,
            wall_s=float(known["wall_s"]),
            machine=str(known["machine"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EmbrlError(f"{place} is damaged: {error}") from error
