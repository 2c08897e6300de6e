"""`embrl plot RUN`"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from embrl.cli.parsing import finish_help, parse

USAGE = """\
usage: embrl plot RUN [--seed K]

Draws the run's learning curve and, if it has an embedding, the four panels of the paper's Figure 2,
into RUN/figures. The panels show X and E as they are for m = d = 2, and their principal axes
otherwise.

  RUN         a run folder
  --seed K    the seed whose embedding is drawn (default: 0)"""


@dataclasses.dataclass(frozen=True)
class _Plot:
    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    seed: int = 0
    """The seed whose embedding is drawn."""


def plot(arguments: Sequence[str]) -> None:
    """Draws what there is and prints where it lies."""
    finish_help(arguments, USAGE)
    given = parse(_Plot, arguments, "embrl plot")
    from embrl.report.run_figures import draw_run

    for path in draw_run(given.run, given.seed):
        print(path)
