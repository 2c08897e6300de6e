"""Lines that need no training: their runs are complete, or the folder's own report has them.

A report without its runs, which are large, is what a clone of this repository holds: lines can be
added to it.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from embrl.config.run import check_same, from_json
from embrl.core.errors import EmbrlError
from embrl.experiments.panel import Line, Panel
from embrl.experiments.summary import Result
from embrl.report.curves import Curve, read_curve
from embrl.report.panels import SUMMARY, entries, read_panel
from embrl.storage.run_folder import RunFolder


def run_path(out: Path, line: Line) -> Path:
    """Where a line's run lies: `runs/512-vpg-jsae`."""
    letters = "".join(c if c.isalnum() else " " for c in line.label.lower())
    return out / "runs" / "-".join(letters.split())


def finished(panel: Panel, out: Path) -> dict[str, Result]:
    """What `out` knows of the panel's lines, by label.

    Raises:
        EmbrlError: a file is damaged, or is about the line with other settings.
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


def from_run(line: Line, folder: RunFolder) -> Result:
    """What a complete run says of itself."""
    place = str(folder.path / "summary.json")
    return _result(line, read_curve(folder, line.label), folder.summary(), place)


def _complete(line: Line, run: RunFolder) -> bool:
    found = from_json(run.config(), run.path / "config.json")
    # A panel does not know the path of the run that this one began with.
    transfer = dataclasses.replace(line.config.transfer, run=found.transfer.run)
    wanted = dataclasses.replace(line.config, transfer=transfer)
    check_same(wanted, found, f"{run.path} holds another run")
    return run.complete


def _reported(out: Path) -> dict[str, tuple[Curve, dict[str, Any]]]:
    """Label to curve and entry of the report, if there is one."""
    if not (out / SUMMARY).exists():
        return {}
    known = entries(out)
    return {curve.label: (curve, known[curve.label]) for curve in read_panel(out)}


def _from_report(
    line: Line, out: Path, reported: tuple[Curve, dict[str, Any]] | None
) -> Result | None:
    if reported is None:
        return None
    curve, entry = reported
    place = f"{out / SUMMARY}, {line.label!r}"
    # Reports of before had no settings; and a crash may leave a curve newer than its table.
    config = entry.get("config")
    if (
        not isinstance(config, dict)
        or entry.get("final_return_per_seed") != curve.returns[:, -1].tolist()
    ):
        return None
    found = from_json(config, place)
    other = "was run with other settings (choose another --out, or take the curve out of the file)"
    check_same(line.config, found, f"{place} {other}")
    return _result(line, curve, entry, place)


def _result(line: Line, curve: Curve, known: Mapping[str, Any], place: str) -> Result:
    try:
        return Result(
            line,
            curve.samples,
            np.asarray(curve.returns),
            random_return=float(known["random_return"]),
            best_known_return=curve.best_known_return,
            wall_s=float(known["wall_s"]),
            machine=str(known["machine"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EmbrlError(f"{place} is damaged: {error}") from error
