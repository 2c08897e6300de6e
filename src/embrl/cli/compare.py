"""`embrl compare RUN|PANEL ...`"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from embrl.cli.parsing import finish_help, parse
from embrl.core.errors import EmbrlError
from embrl.storage import files

USAGE = """\
usage: embrl compare RUN|PANEL [RUN|PANEL ...] [--baseline NAME] [--level R] [--out DIR]

Prints a table of final returns, areas under the curves and the samples it took to a return of R,
with 95 % bootstrap intervals over seeds; and how much better than a baseline each is.

  RUN               folders of embrl train
  PANEL             folders of embrl reproduce: each of their curves takes part
  --baseline NAME   what the others are measured against: a label, the name of a run's folder, or
                    a part of one label (default: of two curves the first, else none)
  --level R         the return to reach (default: .5 on the gridworld, else half way
                    from random to the best known)
  --out DIR         also write DIR/table.md, DIR/table.csv, DIR/curves.png and DIR/seeds.png,
                    which shows every seed

docs/comparing.md says what each number is, and when to trust it."""


@dataclasses.dataclass(frozen=True)
class _Compare:
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of runs and panels."""
    baseline: str | None = None
    """What the others are measured against."""
    level: float | None = None
    """The return to reach."""
    out: Path | None = None
    """Where to write the table and the pictures."""


def compare(arguments: Sequence[str]) -> None:
    """Sets runs side by side."""
    finish_help(arguments, USAGE)
    given = parse(_Compare, arguments, "embrl compare")
    from embrl.report import comparison, curves, seed_dots, table
    from embrl.report.baseline import find_baseline
    from embrl.report.sources import read_curves

    if not given.runs:
        raise EmbrlError("compare what? embrl compare RUN RUN ...")
    read = read_curves(given.runs)
    found = comparison.compare(read, given.level, find_baseline(read, given.baseline))
    Console().print(table.to_rich(found))
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        files.write_text(given.out / "table.md", table.to_markdown(found))
        files.write_text(given.out / "table.csv", table.to_csv(found))
        environments = " and ".join(sorted({curve.environment for curve in read}))
        curves.plot_curves(read, given.out / "curves.png", f"Learning on the {environments}")
        seed_dots.plot_seeds(read, given.out / "seeds.png", f"Final returns on the {environments}")
        for name in ("table.md", "table.csv", "curves.png", "seeds.png"):
            print(given.out / name)
