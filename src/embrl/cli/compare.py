"""Command `embrl compare`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from embrl.cli.parsing import parse
from embrl.core.errors import EmbrlError
from embrl.report.console import plain_console
from embrl.storage import files


@dataclasses.dataclass(frozen=True)
class _Compare:
    """Compare runs or panels in a table and two figures.

    The table has final returns, areas under the learning curves and environment steps to a return,
    with 95 % bootstrap intervals over seeds, and the differences from a baseline.
    docs/comparing.md explains each number.
    """

    run: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of embrl train, and of embrl reproduce, all of whose curves are compared."""
    baseline: str | None = None
    """Curve that the others are compared with: a label, the name of a run's folder, or a part of
    one label. Default: the first of two curves, else none."""
    level: float | None = None
    """Return to reach. Default: 0.5 in the gridworld, else half way from the random to the best
    known return."""
    out: Path | None = None
    """Folder to write table.md, table.csv, curves.png and seeds.png to."""


def compare(arguments: Sequence[str]) -> None:
    """Print tables that compare runs, and write them and figures if asked to."""
    given = parse(_Compare, arguments, "embrl compare")
    from embrl.report import comparison, table
    from embrl.report.curve_figure import plot_curves
    from embrl.report.curves import read_curves
    from embrl.report.seed_dots import plot_seeds

    if not given.run:
        raise EmbrlError("RUN must be one folder or more, got none; try embrl compare RUN RUN")
    read = read_curves(given.run)
    baseline = comparison.find_baseline(read, given.baseline)
    found = comparison.compare(read, given.level, baseline)
    console = plain_console()
    console.print(table.to_rich(found))
    for sentence in table.conclusions(found):
        console.print(sentence)
    if given.out is not None:
        files.make_folder(given.out)
        files.write_text(given.out / "table.md", table.to_markdown(found))
        files.write_text(given.out / "table.csv", table.to_csv(found))
        environments = " and ".join(sorted({curve.environment for curve in read}))
        plot_curves(read, given.out / "curves.png", f"Learning curves on {environments}")
        plot_seeds(read, given.out / "seeds.png", f"Final returns on {environments}")
        for name in ("table.md", "table.csv", "curves.png", "seeds.png"):
            print(given.out / name)
