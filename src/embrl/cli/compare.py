"""`embrl compare RUN RUN ...`"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from embrl.cli.parsing import finish_help, parse
from embrl.errors import EmbrlError
from embrl.training import files

USAGE = """\
usage: embrl compare RUN [RUN ...] [--level R] [--out DIR]

Prints a table of final returns, areas under the curves and the samples it took to a return of R,
with 95 % bootstrap intervals over seeds.

  RUN          run folders
  --level R    the return to reach (default: .5 on the gridworld, else half way
               from random to the best known)
  --out DIR    also write DIR/table.md, DIR/table.csv and DIR/curves.png"""


@dataclasses.dataclass(frozen=True)
class _Compare:
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders."""
    level: float | None = None
    """The return to reach."""
    out: Path | None = None
    """Where to write the table and the picture."""


def compare(arguments: Sequence[str]) -> None:
    """Sets runs side by side."""
    finish_help(arguments, USAGE)
    given = parse(_Compare, arguments, "embrl compare")
    from embrl.report import curves, table

    if not given.runs:
        raise EmbrlError("compare what? embrl compare RUN RUN ...")
    read = curves.read_curves(given.runs)
    comparison = table.compare(read, given.level)
    Console().print(table.to_rich(comparison))
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        files.write_text(given.out / "table.md", table.to_markdown(comparison))
        files.write_text(given.out / "table.csv", table.to_csv(comparison))
        environments = " and ".join(sorted({curve.environment for curve in read}))
        curves.plot_curves(read, given.out / "curves.png", f"Learning on the {environments}")
        for name in ("table.md", "table.csv", "curves.png"):
            print(given.out / name)
