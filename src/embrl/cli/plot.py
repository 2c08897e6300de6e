"""Command `embrl plot`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from embrl.cli.parsing import finish_help, parse

USAGE = """\
usage: embrl plot RUN [--seed K]

Draw the run's learning curve and, if it has a state embedding, the four panels of the paper's
Figure 2, in RUN/figures. X and E are drawn as they are if they have two dimensions, and by their
two principal components otherwise.

  RUN         run folder
  --seed K    index of the seed whose embedding is drawn (default: 0)"""


@dataclasses.dataclass(frozen=True)
class _Plot:
    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    seed: int = 0
    """Index of the seed whose embedding is drawn."""


def plot(arguments: Sequence[str]) -> None:
    """Draw the figures of a run and print their paths."""
    finish_help(arguments, USAGE)
    given = parse(_Plot, arguments, "embrl plot")
    from embrl.report.run_figures import draw_run

    for path in draw_run(given.run, given.seed):
        print(path)
