"""Reproduction of a panel: run its lines one after another and write the results."""

import csv
import dataclasses
import io
import shlex
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from embrl.config.run import RunConfig
from embrl.executors.tasks import Executor, TaskReport, check_complete, write_reports
from embrl.executors.tasks import missing as lost_tasks
from embrl.executors.train_task import run_task
from embrl.papers.panel import Panel, PanelLine
from embrl.papers.report import draw_panel, readme
from embrl.papers.results import (
    PanelResult,
    checked_claims,
    curve_entry,
    differences,
    finished,
    from_run,
    run_path,
)
from embrl.storage import files
from embrl.storage.run_folder import RunFolder
from embrl.training.loop import ProgressCallback, train

AGAIN = "the same command tries them again"
"""Advice where lines are missing."""

WatchLine = Callable[[PanelLine, int, int], ProgressCallback]
"""Function called before each run with its line, the line's number and the number of lines; returns
the watcher of the run."""


def reproduce(
    panel: Panel,
    out: str | Path,
    command: str,
    watch: WatchLine,
    asked: Container[str] | None = None,
    executor: Executor | None = None,
) -> dict[str, Any]:
    """Run the lines of a panel that `out` has no results of, and write its report.

    The report is summary.json, curves.csv, figures and README.md. After an interruption, the same
    call continues to the same result.

    Args:
        panel: The panel.
        out: The folder to write to; runs are in its folder `runs`.
        command: The command that makes the whole panel. README.md quotes it, followed by `--lines`
            if lines are missing.
        watch: Called before each run.
        asked: Labels of the lines to run; None for all. The report also has other lines if `out`
            has their results already.
        executor: What runs the lines; None: this process, one after another.

    Returns:
        The summary.

    Raises:
        EmbrlError: A setting is invalid, or `out` holds other runs; or lines are missing, as they
            failed with an executor, after the report of the others is written.
    """
    out, labels = Path(out), [line.label for line in panel.lines]
    asked = labels if asked is None else asked
    if panel.examine is None:
        results = finished(panel, out)
    else:  # examining more than returns takes the runs themselves
        panel, results = panel.only(asked), {}
    missing = [line for line in panel.lines if line.label in asked and line.label not in results]
    needed = {name for line in missing for name in (line.label, line.source)}
    folders: dict[str, RunFolder] = {}
    lost: dict[str, str] = {}
    if executor is not None:
        lost = _execute(executor, panel, needed, out)
        if lost and (panel.examine is not None or (len(lost) == len(needed) and not results)):
            check_complete(lost, len(needed), AGAIN)  # there is nothing to report
    for at, line in enumerate(panel.lines):
        if line.label not in needed or line.label in lost:
            continue
        config = _with_source(line, panel, out)
        watcher = watch(line, at + 1, len(panel.lines))
        folders[line.label] = train(config, run_path(out, line), resume=True, on_progress=watcher)
        results[line.label] = from_run(line, folders[line.label])
        jax.clear_caches()  # the compiled programs of a whole panel would fill the memory
    if len(results) < len(labels):
        command += " " + shlex.join(["--lines", *(name for name in labels if name in results)])
    summary = collect(panel.only(results), results, folders, out, command)
    check_complete(lost, len(needed), AGAIN)
    return summary


def _with_source(line: PanelLine, panel: Panel, out: Path) -> RunConfig:
    """Return a line's configuration, which starts from another line's run if it has a source."""
    if not line.source:
        return line.config
    source = next(each for each in panel.lines if each.label == line.source)
    transfer = dataclasses.replace(line.config.transfer, run=str(run_path(out, source)))
    return dataclasses.replace(line.config, transfer=transfer)


def _execute(executor: Executor, panel: Panel, needed: Container[str], out: Path) -> dict[str, str]:
    """Run the lines that are not complete, and return what went wrong in each that is missing."""
    lines = [line for line in panel.lines if line.label in needed]
    reports: list[TaskReport] = []
    lost: dict[str, str] = {}
    for wave in (  # those with a source need its run
        [line for line in lines if not line.source],
        [line for line in lines if line.source],
    ):
        lost |= {line.label: f"{line.source} is missing" for line in wave if line.source in lost}
        tasks = [
            run_task(line.label, _with_source(line, panel, out), run_path(out, line))
            for line in wave
            if line.label not in lost and not RunFolder(run_path(out, line)).complete
        ]
        reports += executor.run(tasks, "lines")
        lost |= lost_tasks(reports)
    if reports:
        files.make_folder(out)
        write_reports(reports, out)
    return lost


def collect(
    panel: Panel,
    by_label: Mapping[str, PanelResult],
    folders: Mapping[str, RunFolder],
    out: Path,
    command: str,
) -> dict[str, Any]:
    """Write the report of a panel and return its summary.

    Args:
        panel: The panel.
        by_label: Results of all lines of the panel, by label.
        folders: Run folders by label; needed only if the panel examines them.
        out: The folder to write to.
        command: The command that README.md quotes.
    """
    results = [by_label[line.label] for line in panel.lines]
    summary: dict[str, Any] = {
        "figure": panel.figure,
        "title": panel.title,
        "command": command,
        "machine": "; ".join(dict.fromkeys(result.machine for result in results)),
        "wall_s": sum(result.wall_s for result in results),
        "deviations": list(panel.deviations),
        "curves": [curve_entry(result) for result in results],
        "claims": checked_claims(panel.claims, results),
        "differences": differences(panel.claims, results),
    }
    text, pictures = "", [f"{panel.figure}.png"]
    if panel.examine is None:
        draw_panel(panel, results, out / pictures[0])
    else:
        evidence = panel.examine(panel, folders, out)
        summary["claims"] += evidence.claims
        text, pictures = evidence.text, evidence.pictures
    files.write_text(out / "curves.csv", curves_csv(results))
    files.write_text(out / "README.md", readme(summary, pictures, text))
    files.write_json(out / "summary.json", summary)
    return summary


def curves_csv(results: Sequence[PanelResult]) -> str:
    """Return a CSV table of every evaluation of every seed, with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", "seed", "timesteps", "return_mean"])
    for result in results:
        for seed, returns in enumerate(np.asarray(result.returns)):
            for timesteps, value in zip(result.timesteps, returns, strict=True):
                writer.writerow([result.line.label, seed, int(timesteps), float(value)])
    return text.getvalue()
