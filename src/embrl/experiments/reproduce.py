"""Runs a panel's lines one after another, and writes down what they come to."""

import csv
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from embrl.errors import EmbrlError
from embrl.experiments import readme
from embrl.experiments.panel import Group, Line, Panel
from embrl.experiments.summary import Result, curve_entry, differences, judged
from embrl.report.curves import Curve, read_curve
from embrl.report.panel_figure import Strand, plot_panel
from embrl.training import files
from embrl.training.run_folder import RunFolder
from embrl.training.runner import Watcher, train

SIDES: tuple[tuple[str, tuple[Group, ...]], ...] = (
    ("as published", ("published",)),
    ("equally tuned baselines, and ours", ("tuned", "ours")),
)

WatchLine = Callable[[Line, int, int], Watcher]
"""Told which line comes, the how-manieth of how many; what watches its run."""


def reproduce(panel: Panel, out: str | Path, command: str, watch: WatchLine) -> dict[str, Any]:
    """Runs what is not yet complete in `out`/runs, then writes summary.json, curves.csv, the
    picture and README.md.

    Interrupted, it goes on where it stopped, to the same result.

    Arguments:
        command: what README.md says it was made by.

    **Returns** the summary.

    Raises:
        EmbrlError: a setting is wrong, or `out` holds other runs.
    """
    out = Path(out)
    folders: dict[str, RunFolder] = {}
    for at, line in enumerate(panel.lines):
        config = line.config
        if line.source:
            run = str(folders[line.source].path)
            config = dataclasses.replace(
                config, transfer=dataclasses.replace(config.transfer, run=run)
            )
        watcher = watch(line, at + 1, len(panel.lines))
        folders[line.label] = train(config, run_path(out, line), resume=True, watch=watcher)
        jax.clear_caches()  # a panel's compiled programs, all kept, fill the memory
    return collect(panel, folders, out, command)


def run_path(out: Path, line: Line) -> Path:
    """Where a line's run lies: `runs/512-vpg-jsae`."""
    letters = "".join(c if c.isalnum() else " " for c in line.label.lower())
    return out / "runs" / "-".join(letters.split())


def collect(
    panel: Panel, folders: Mapping[str, RunFolder], out: Path, command: str
) -> dict[str, Any]:
    """Everything in `out` but the runs, from the runs."""
    results = [result_of(line, folders[line.label]) for line in panel.lines]
    summary: dict[str, Any] = {
        "figure": panel.figure,
        "title": panel.title,
        "command": command,
        "machine": results[0].machine,
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


def result_of(line: Line, folder: RunFolder) -> Result:
    """What a finished run says of itself."""
    curve, summary = read_curve(folder, line.label), folder.summary()
    try:
        return Result(
            line,
            curve.samples,
            curve.returns,
            random_return=float(summary["random_return"]),
            best_known_return=curve.best_known_return,
            wall_s=float(summary["wall_s"]),
            machine=str(summary["machine"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EmbrlError(f"{folder.path / 'summary.json'} is damaged: {error}") from error


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
    budget = max(result.line.config.samples for result in shown)
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
