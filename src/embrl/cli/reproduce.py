"""`embrl reproduce FIG`"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from embrl.cli.parsing import finish_help, parse
from embrl.cli.progress import ProgressBar
from embrl.core.errors import EmbrlError
from embrl.core.runtime import prepare_jax
from embrl.experiments.panel import GROUPS, SEEDS, Group, Line, Options, chosen
from embrl.experiments.panels import FIGURES, make_panel
from embrl.experiments.reproduce import reproduce as run
from embrl.training.loop import Progress, ProgressCallback

USAGE = """\
usage: embrl reproduce FIG [--seeds N] [--quick] [--out DIR] [--groups G ...] [--lines L ...]
                           [--data LOG] [--full-sac] [--envpool]

Runs every line of a figure of Pritz et al. (2021) and writes DIR/summary.json, DIR/curves.csv,
the picture and DIR/README.md; the runs lie in DIR/runs. The same command again goes on where it
stopped, and lines that DIR/summary.json has with the same settings are not run again.

  FIG          {figures}
  --seeds N    independent runs of each line (default: {seeds})
  --quick      a small version of the same code, in under 3 minutes
  --out DIR    (default: reproductions/FIG, or reproductions/FIG-quick)
  --groups G   of published, tuned and ours: which lines to run (default: all); others that DIR
               has already stay in the report
  --lines L    the same by their names, 'VPG' '512 ours'; others stay
  --data LOG   the purchase log, for fig3g
  --full-sac   fig3f, fig3g: an update of SAC for every sample, as in the paper; here .25 and .1
  --envpool    fig3d, fig3f: robots in envpool's threads, of the same dynamics and faster"""


@dataclasses.dataclass(frozen=True)
class _Reproduce:
    figure: Annotated[str, tyro.conf.Positional]
    """Which figure."""
    seeds: int = SEEDS
    """Independent runs of each line."""
    quick: bool = False
    """A small version of the same code."""
    out: Path | None = None
    """Where to write."""
    groups: tuple[Group, ...] = GROUPS
    """Which lines to run."""
    lines: tuple[str, ...] = ()
    """Which of these, by name; left out: all."""
    data: Path | None = None
    """The purchase log."""
    full_sac: bool = False
    """An update of SAC for every sample."""
    envpool: bool = False
    """Robots in envpool's threads."""


def reproduce(arguments: Sequence[str]) -> None:
    """Runs what is missing, writes what it comes to, and says which claims hold."""
    finish_help(arguments, USAGE.format(figures=", ".join(FIGURES), seeds=SEEDS))
    if not arguments or arguments[0].startswith("-"):
        raise EmbrlError(
            f"reproduce what? embrl reproduce FIG, where FIG is one of {', '.join(FIGURES)}"
        )
    given = parse(_Reproduce, arguments, "embrl reproduce")
    prepare_jax()
    options = Options(
        seeds=given.seeds,
        quick=given.quick,
        data=None if given.data is None else str(given.data),
        full_sac=given.full_sac,
        envpool=given.envpool,
    )
    panel = make_panel(given.figure, options)
    asked = chosen(panel, given.groups, given.lines)
    out = given.out or Path("reproductions") / (given.figure + "-quick" * given.quick)
    console = Console()
    with _Bars(console) as bars:
        summary = run(panel, out, _command(given), bars.begin, asked)
    _report(summary, out, console)


class _Bars:
    """A bar for each line, one after another."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: ProgressBar | None = None

    def __enter__(self) -> "_Bars":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def begin(self, line: Line, at: int, of: int) -> ProgressCallback:
        """Shows the line's title; its bar once there is something to show."""
        self._end()

        def show(progress: Progress) -> None:
            if self.bar is None:
                self.console.print(
                    f"line {at} of {of}: {line.label}", highlight=False, soft_wrap=True
                )
                self.bar = ProgressBar(self.console, line.config)
                self.bar.__enter__()
            self.bar.show(progress)

        return show

    def _end(self) -> None:
        if self.bar is not None:
            self.bar.__exit__(None, None, None)
            self.bar = None


def _command(given: _Reproduce) -> str:
    """The command that makes the whole figure, without the machine's own paths."""
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
        console.print(mark + claim["claim"], highlight=False, soft_wrap=True, markup=False)
    console.print(f"{summary['wall_s'] / 60:.1f} minutes of training\n{out}", highlight=False)
