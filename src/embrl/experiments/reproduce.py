"""Runs a panel's lines one after another, and writes down what they come to."""

import csv
import dataclasses
import io
import shlex
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from embrl.experiments import readme
from embrl.experiments.finished import finished, from_run, run_path
from embrl.experiments.panel import Group, Line, Panel
from embrl.experiments.summary import Result, curve_entry, differences, judged
from embrl.report.curves import Curve
from embrl.report.panel_figure import Strand, plot_panel
from embrl.storage import files
from embrl.storage.run_folder import RunFolder
from embrl.training.loop import ProgressCallback, train

SIDES: tuple[tuple[str, tuple[Group, ...]], ...] = (
    ("as published", ("published",)),
    ("equally tuned baselines, and ours", ("tuned", "ours")),
)

WatchLine = Callable[[Line, int, int], ProgressCallback]
"""Told which line comes, the how-manieth of how many; what watches its run."""


def reproduce(
    panel: Panel,
    out: str | Path,
    command: str,
    watch: WatchLine,
    asked: Container[str] | None = None,
) -> dict[str, Any]:
    """Runs what `out` does not know yet, then writes summary.json, curves.csv, the picture and
    README.md.

    Interrupted, it goes on where it stopped, to the same result.

    Arguments:
        command: that makes the whole panel; README.md has it, with what names a part of the lines.
        asked: labels of the lines to run; None: all. Others are in the report if `out` has them
            already.

    **Returns** the summary.

    Raises:
        EmbrlError: a setting is wrong, or `out` holds other runs.
    """
    out, labels = Path(out), [line.label for line in panel.lines]
    asked = labels if asked is None else asked
    if panel.look is None:
        results = finished(panel, out)
    else:  # whoever looks at more than returns needs the runs themselves
        panel, results = panel.only(asked), {}
    missing = [line for line in panel.lines if line.label in asked and line.label not in results]
    needed = {name for line in missing for name in (line.label, line.source)}
    folders: dict[str, RunFolder] = {}
    for at, line in enumerate(panel.lines):
        if line.label not in needed:
            continue
        config = line.config
        if line.source:
            run = str(folders[line.source].path)
            config = dataclasses.replace(
                config, transfer=dataclasses.replace(config.transfer, run=run)
            )
        watcher = watch(line, at + 1, len(panel.lines))
        folders[line.label] = train(config, run_path(out, line), resume=True, on_progress=watcher)
        results[line.label] = from_run(line, folders[line.label])
        jax.clear_caches()  # a panel's compiled programs, all kept, fill the memory
    if len(results) < len(labels):
        command += " " + shlex.join(["--lines", *(name for name in labels if name in results)])
    return collect(panel.only(results), results, folders, out, command)


def collect(
    panel: Panel,
    by_label: Mapping[str, Result],
    folders: Mapping[str, RunFolder],
    out: Path,
    command: str,
) -> dict[str, Any]:
    """Everything in `out` but the runs, from what these came to."""
    results = [by_label[line.label] for line in panel.lines]
    summary: dict[str, Any] = {
        "figure": panel.figure,
        "title": panel.title,
        "command": command,
        "machine": "; ".join(dict.fromkeys(result.machine for result in results)),
        "wall_s": sum(result.wall_s for result in results),
        "deviations": list(panel.deviations),
        "curves": [curve_entry(result) for result in results],
        "claims": judged(panel.claims, results),
        "differences": differences(panel.claims, results),
    }
    text, pictures = "", [f"{panel.figure}.png"]
    if panel.look is None:
        draw(panel, results, out / pictures[0])
    else:
        evidence = panel.look(panel, folders, out)
        summary["claims"] += evidence.claims
        text, pictures = evidence.text, evidence.pictures
    files.write_text(out / "curves.csv", curves_csv(results))
    files.write_text(out / "README.md", readme.markdown(summary, pictures, text))
    files.write_json(out / "summary.json", summary)
    return summary


def draw(panel: Panel, results: Sequence[Result], path: Path) -> None:
    """The picture of learning curves."""
    shown = [result for result in results if result.line.drawn]
    dashes = list(dict.fromkeys(result.line.dash for result in shown))
    sides = [
        (
            heading,
            [
                Strand(curve_of(result), result.line.colour, dashes.index(result.line.dash))
                for result in shown
                if result.line.group in groups
            ],
        )
        for heading, groups in SIDES
    ]
    budget = max(result.line.config.total_timesteps for result in shown)
    plot_panel(path, panel.title, sides, budget)


def curve_of(result: Result) -> Curve:
    """For drawing."""
    return Curve(
        result.line.label,
        result.samples,
        result.returns,
        result.line.config.environment,
        result.random_return,
        result.best_known_return,
    )


def curves_csv(results: Sequence[Result]) -> str:
    """Every evaluation of every seed, all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", "seed", "samples", "return_mean"])
    for result in results:
        for seed, returns in enumerate(np.asarray(result.returns)):
            for samples, value in zip(result.samples, returns, strict=True):
                writer.writerow([result.line.label, seed, int(samples), float(value)])
    return text.getvalue()
