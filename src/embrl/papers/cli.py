"""Command `embrl reproduce`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from embrl.cli.executor_flags import chosen_executor, parse_with_executor
from embrl.cli.parsing import Switch
from embrl.core.errors import require
from embrl.core.runtime import prepare_jax
from embrl.papers.panel import GROUPS, SEEDS, Group, PanelLine, ReproductionOptions, chosen
from embrl.papers.panels import FIGURES, make_panel
from embrl.papers.reproduce import reproduce as run
from embrl.report.console import plain_console
from embrl.report.progress_bar import ProgressBar
from embrl.training.loop import Progress, ProgressCallback


@dataclasses.dataclass(frozen=True)
class _Reproduce:
    """Reproduce a figure of the paper.

    Runs every line of a figure of Pritz et al. (2021), in runs/ of the output folder, and writes
    summary.json, curves.csv, README.md and the figure. The same command resumes after an
    interruption, and does not run lines again that summary.json has with the same settings.
    """

    figure: Annotated[str, tyro.conf.Positional]
    """Name of the figure: {names}."""
    seeds: int = SEEDS
    """Number of independent runs of each line, 1 or more."""
    quick: Switch = False
    """Run a small version that tests the code in under 3 minutes."""
    out: Path | None = None
    """Output folder. Default: reproductions/FIGURE, or reproductions/FIGURE-quick."""
    groups: tuple[Group, ...] = GROUPS
    """Groups of lines to run; the report keeps other lines that the output folder has."""
    lines: tuple[str, ...] = ()
    """Names of lines to run, such as 'VPG' '512 ours'. Default: all."""
    data: Path | None = None
    """Purchase log for the recommender (fig3g), a CSV or Parquet file."""
    full_sac: Switch = False
    """Update SAC once per environment step, as in the paper, instead of 0.25 times (fig3f) and 0.1
    times (fig3g)."""
    envpool: Switch = False
    """Simulate robots in envpool's threads: same dynamics, faster (fig3d, fig3f)."""


def reproduce(arguments: Sequence[str]) -> None:
    """Run the lines that are missing, write the report and print which claims hold."""
    given, values = parse_with_executor(
        _Reproduce, arguments, "embrl reproduce", names=", ".join(FIGURES)
    )
    require("matplotlib", "plot")  # before the work, not after it
    prepare_jax()
    options = ReproductionOptions(
        seeds=given.seeds,
        quick=given.quick,
        data=None if given.data is None else str(given.data),
        full_sac=given.full_sac,
        envpool=given.envpool,
    )
    panel = make_panel(given.figure, options)
    asked = chosen(panel, given.groups, given.lines)
    out = given.out or Path("reproductions") / (given.figure + "-quick" * given.quick)
    console = plain_console()
    executor = chosen_executor(values, console)
    with _Bars(console) as bars:
        summary = run(panel, out, _command(given), bars.begin, asked, executor)
    _report(summary, out, console)


class _Bars:
    """Progress bars of the lines, one after another."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: ProgressBar | None = None

    def __enter__(self) -> "_Bars":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def begin(self, line: PanelLine, at: int, of: int) -> ProgressCallback:
        """Start a line and return its watcher, which shows a bar at the first progress."""
        self._end()

        def show(progress: Progress) -> None:
            if self.bar is None:
                self.console.print(f"line {at} of {of}: {line.label}", soft_wrap=True)
                self.bar = ProgressBar(self.console, line.config)
                self.bar.__enter__()
            self.bar.show(progress)

        return show

    def _end(self) -> None:
        if self.bar is not None:
            self.bar.__exit__(None, None, None)
            self.bar = None


def _command(given: _Reproduce) -> str:
    """Return the command that makes the whole figure, without absolute paths of this machine."""
    parts = ["embrl reproduce", given.figure]
    parts += [f"--seeds {given.seeds}"] * (given.seeds != SEEDS)
    parts += ["--quick"] * given.quick
    if given.out is not None:
        parts.append(f"--out {given.out.name if given.out.is_absolute() else given.out}")
    parts += ["--data LOG"] * (given.data is not None)
    parts += ["--full-sac"] * given.full_sac
    parts += ["--envpool"] * given.envpool
    return " ".join(parts)


def _report(summary: dict[str, Any], out: Path, console: Console) -> None:
    for claim in summary["claims"]:
        mark = "holds         " if claim["holds"] else "does not hold "
        console.print(mark + claim["claim"], soft_wrap=True)
    console.print(f"{summary['wall_s'] / 60:.1f} minutes of training\n{out}", soft_wrap=True)
